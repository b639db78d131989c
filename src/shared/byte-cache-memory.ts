import { keepRecent } from "../recent.js";
import type { ByteCache } from "./byte-cache.js";

interface Entry {
  readonly value: Buffer;
  /** ms since 1970 */
  readonly expiresAt: number;
}

interface MemoryOptions {
  /** When full, the entry goes that was not used for longest. */
  readonly maxEntries: number;
  readonly now: () => number;
}

export function memoryByteCache({ maxEntries, now }: MemoryOptions): ByteCache {
  const entries = keepRecent<Entry>(maxEntries);
  return {
    get: async (key) => {
      const entry = entries.get(key);
      if (entry === undefined || entry.expiresAt > now()) return entry?.value;
      entries.delete(key);
      return undefined;
    },
    set: async (key, value, ttlMs) => {
      entries.set(key, { value, expiresAt: now() + ttlMs });
    },
  };
}
