import type { TokenRequest } from "../acs/service.js";
import { type ApplicationUser, type Identity, userKey } from "../identities/identity.js";

/** A row that can be relied on in a record, if it is still so. */
export type GoodIdentity = Identity & { readonly communicationUserId: string; readonly user: ApplicationUser };

interface Remembered {
  readonly identity: GoodIdentity;
  /** What the token was for that was given last: one for the same is likely to be in the cache. */
  readonly request: TokenRequest;
}

/**
 * Users' rows as they were when a token was given last, for who has a record written on the premise that they are still so. Never
 * the truth: whoever gets one has to say what it relies on. When full, the one goes that was not used for longest.
 */
export class RowMemory {
  readonly #most: number;
  /** In the order in which they were kept last, which each use ends with. */
  readonly #rows = new Map<string, Remembered>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Of who asks for the same once more. */
  find(user: ApplicationUser, request: TokenRequest): GoodIdentity | undefined {
    const found = this.#rows.get(userKey(user));
    return found && isSame(found.request, request) ? found.identity : undefined;
  }

  /** One of which no record would be written is not kept. */
  keep(identity: Identity, request: TokenRequest): void {
    if (!isGood(identity)) return;
    const key = userKey(identity.user);
    this.#rows.delete(key);
    this.#rows.set(key, { identity, request });
    for (const oldest of this.#rows.keys()) {
      if (this.#rows.size <= this.#most) break;
      this.#rows.delete(oldest);
    }
  }

  forget(user: ApplicationUser): void {
    this.#rows.delete(userKey(user));
  }
}

function isGood(identity: Identity): identity is GoodIdentity {
  const { status, revocationPending, communicationUserId, user } = identity;
  return status === "ACTIVE" && !revocationPending && communicationUserId !== null && user !== null;
}

/** In another order it is another: nothing is lost by that but a look at the row. */
function isSame(one: TokenRequest, other: TokenRequest): boolean {
  return (
    one.lifetimeMinutes === other.lifetimeMinutes &&
    one.scopes.length === other.scopes.length &&
    one.scopes.every((scope, index) => scope === other.scopes[index])
  );
}
