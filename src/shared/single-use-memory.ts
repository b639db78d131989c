import type { SingleUse } from "./single-use.js";

interface MemoryOptions {
  /** What does not fit is refused: dropping an older one would let it be used twice. */
  readonly maxEntries: number;
  readonly now: () => number;
}

export function memorySingleUse({ maxEntries, now }: MemoryOptions): SingleUse {
  /** Until when, ms since 1970, by key; about in the order of their ends, since all last equally long. */
  const claimed = new Map<string, number>();
  const forgetEnded = (at: number) => {
    for (const [key, end] of claimed) {
      if (end > at) break;
      claimed.delete(key);
    }
  };
  return {
    claim: async (key, ttlMs) => {
      const at = now();
      forgetEnded(at);
      if ((claimed.get(key) ?? 0) > at) return false;
      if (claimed.size >= maxEntries) throw new Error(`there is room for ${maxEntries} texts only`);
      claimed.delete(key);
      claimed.set(key, at + ttlMs);
      return true;
    },
  };
}
