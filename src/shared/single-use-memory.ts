import type { SingleUse } from "./single-use.js";

interface MemoryOptions {
  /** What does not fit is refused: dropping an older one would let it be used twice. */
  readonly maxEntries: number;
  readonly now: () => number;
}

interface Claim {
  /** ms since 1970 */
  readonly end: number;
  readonly owner: string;
}

/** The part of the room that one owner may have, so that nobody alone keeps all others out. */
const SHARE = 0.25;

export function memorySingleUse({ maxEntries, now }: MemoryOptions): SingleUse {
  const mostOfOne = Math.ceil(maxEntries * SHARE);
  /** By key; about in the order of their ends, since all last equally long. */
  const claimed = new Map<string, Claim>();
  const owned = new Map<string, number>();
  const forget = (key: string, { owner }: Claim) => {
    claimed.delete(key);
    const left = (owned.get(owner) ?? 0) - 1;
    if (left > 0) owned.set(owner, left);
    else owned.delete(owner);
  };
  const forgetEnded = (at: number) => {
    for (const [key, claim] of claimed) {
      if (claim.end > at) break;
      forget(key, claim);
    }
  };
  return {
    claim: async (key, ttlMs, owner) => {
      const at = now();
      forgetEnded(at);
      const before = claimed.get(key);
      if (before !== undefined && before.end > at) return false;
      if (before !== undefined) forget(key, before);
      const taken = owned.get(owner) ?? 0;
      if (taken >= mostOfOne) throw new Error(`there is room for ${mostOfOne} texts of one owner only`);
      if (claimed.size >= maxEntries) throw new Error(`there is room for ${maxEntries} texts only`);
      claimed.set(key, { end: at + ttlMs, owner });
      owned.set(owner, taken + 1);
      return true;
    },
  };
}
