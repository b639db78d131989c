import type { RedisConnection } from "./redis.js";
import type { SingleUse } from "./single-use.js";

/** Holds across all instances. A Redis that loses its memory, or evicts, forgets what was used: give it room. */
export function redisSingleUse({ client }: RedisConnection, name: string): SingleUse {
  return {
    claim: async (key, ttlMs) => (await client.set(`${name}:${key}`, "", "PX", Math.ceil(ttlMs), "NX")) === "OK",
  };
}
