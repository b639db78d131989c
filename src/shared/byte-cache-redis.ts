import type { ByteCache } from "./byte-cache.js";
import type { RedisConnection } from "./redis.js";

/** Redis bounds its memory by its own `maxmemory` setting; an entry that it drops is a miss. */
export function redisByteCache({ client }: RedisConnection, name: string): ByteCache {
  const keyOf = (key: string) => `${name}:${key}`;
  return {
    get: async (key) => (await client.getBuffer(keyOf(key))) ?? undefined,
    set: async (key, value, ttlMs) => {
      await client.set(keyOf(key), value, "PX", Math.ceil(ttlMs));
    },
  };
}
