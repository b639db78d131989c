import type { ApplicationUser, Identity } from "../identities/identity.js";

/** A row that can be relied on in a record, if it is still so. */
export type GoodIdentity = Identity & { readonly communicationUserId: string; readonly user: ApplicationUser };

/**
 * Users' rows as they were read last, for who has a record written on the premise that they are still so. Never the truth: whoever
 * gets one has to say what it relies on. When full, the one goes that was not used for longest.
 */
export class RowMemory {
  readonly #most: number;
  /** In the order of their last use. */
  readonly #rows = new Map<string, GoodIdentity>();

  constructor(most: number) {
    this.#most = most;
  }

  find(user: ApplicationUser): GoodIdentity | undefined {
    const key = keyOf(user);
    const found = this.#rows.get(key);
    if (found === undefined) return undefined;
    this.#rows.delete(key);
    this.#rows.set(key, found);
    return found;
  }

  /** One of which no record would be written is not kept. */
  keep(identity: Identity): void {
    if (!isGood(identity)) return;
    const key = keyOf(identity.user);
    this.#rows.delete(key);
    this.#rows.set(key, identity);
    for (const oldest of this.#rows.keys()) {
      if (this.#rows.size <= this.#most) break;
      this.#rows.delete(oldest);
    }
  }

  forget(user: ApplicationUser): void {
    this.#rows.delete(keyOf(user));
  }
}

function isGood(identity: Identity): identity is GoodIdentity {
  const { status, revocationPending, communicationUserId, user } = identity;
  return status === "ACTIVE" && !revocationPending && communicationUserId !== null && user !== null;
}

/** No part can be taken for another. */
function keyOf({ issuer, subject }: ApplicationUser): string {
  return JSON.stringify([issuer, subject]);
}
