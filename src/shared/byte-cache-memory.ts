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
  // A Map keeps the order of insertion, so the first is the least recently used when each use inserts anew.
  const entries = new Map<string, Entry>();
  return {
    get: async (key) => {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entries.delete(key);
      if (entry.expiresAt <= now()) return undefined;
      entries.set(key, entry);
      return entry.value;
    },
    set: async (key, value, ttlMs) => {
      entries.delete(key);
      entries.set(key, { value, expiresAt: now() + ttlMs });
      for (const oldest of entries.keys()) {
        if (entries.size <= maxEntries) break;
        entries.delete(oldest);
      }
    },
  };
}
