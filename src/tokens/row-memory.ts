import type { TokenRequest } from "../acs/service.js";
import { type ApplicationUser, type Identity, userKey } from "../identities/identity.js";
import { keepRecent, type Recent } from "../recent.js";

/** A row that can be relied on in a record, if it is still so. */
export type GoodIdentity = Identity & { readonly communicationUserId: string; readonly user: ApplicationUser };

interface Remembered {
  readonly identity: GoodIdentity;
  /** What the token was for that was given last: one for the same is likely to be in the cache. */
  readonly request: TokenRequest;
}

/**
 * Users' rows as they were when they were read last, for who has a record written on the premise that they are still so. Never
 * the truth: whoever gets one has to say what it relies on. When full, the one goes that was not used for longest.
 */
export class RowMemory {
  readonly #rows: Recent<Remembered>;

  constructor(most: number) {
    this.#rows = keepRecent(most);
  }

  /** Of who asks for the same once more. */
  find(user: ApplicationUser, request: TokenRequest): GoodIdentity | undefined {
    const found = this.#rows.get(userKey(user));
    return found && isSame(found.request, request) ? found.identity : undefined;
  }

  /** One of which no record would be written is not kept. */
  keep(identity: Identity, request: TokenRequest): void {
    if (isGood(identity)) this.#rows.set(userKey(identity.user), { identity, request });
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
