import { type ApplicationUser, userKey } from "../identities/identity.js";

/** How many of something each user has of those that one may have. */
export class UserPlaces {
  readonly #taken = new Map<string, number>();

  constructor(readonly most: number) {}

  /** False when the user has as many already. */
  take(user: ApplicationUser): boolean {
    const key = userKey(user);
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= this.most) return false;
    this.#taken.set(key, taken + 1);
    return true;
  }

  /** Of one that was taken. */
  leave(user: ApplicationUser): void {
    const key = userKey(user);
    const left = (this.#taken.get(key) ?? 0) - 1;
    if (left > 0) this.#taken.set(key, left);
    else this.#taken.delete(key);
  }
}
