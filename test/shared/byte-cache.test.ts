import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { memoryByteCache } from "../../src/shared/byte-cache-memory.js";
import { redisByteCache } from "../../src/shared/byte-cache-redis.js";
import { byteCacheConformance } from "../conformance/byte-cache.js";
import { removeKeys, TEST_REDIS_URL, TestRedis, WHY_SKIPPED } from "../fixtures/redis.js";

byteCacheConformance("memory", async () => {
  let time = 1_000_000;
  return {
    cache: memoryByteCache({ maxEntries: 1000, now: () => time }),
    pass: async (milliseconds) => {
      time += milliseconds;
    },
    close: async () => {},
  };
});

describe.skipIf(!TEST_REDIS_URL)(`on a server${WHY_SKIPPED}`, () => {
  byteCacheConformance("Redis", async () => {
    const redis = await new TestRedis().ready();
    return {
      cache: redisByteCache(redis.connection, "bytes"),
      pass: async (milliseconds) => {
        // The server's clock and this timer may be some milliseconds apart.
        await setTimeout(milliseconds + 50);
      },
      close: async () => {
        await redis.close();
        await removeKeys(redis.prefix);
      },
    };
  });

  it("shares entries between instances, under the gateway's prefix, each with an end", async () => {
    const one = await new TestRedis().ready();
    const other = await new TestRedis(undefined, one.prefix).ready();
    await redisByteCache(one.connection, "bytes").set("a", Buffer.from("x"), 60_000);
    expect((await redisByteCache(other.connection, "bytes").get("a"))?.toString()).toBe("x");
    expect(await redisByteCache(other.connection, "elsewhere").get("a")).toBeUndefined();
    const left = await other.connection.client.pttl("bytes:a");
    expect(left).toBeGreaterThan(50_000);
    expect(left).toBeLessThanOrEqual(60_000);
    await Promise.all([one.close(), other.close()]);
    await removeKeys(one.prefix);
  });
});

describe("a full byte cache in memory", () => {
  it("keeps no more than it may, and drops what was not used for longest", async () => {
    const cache = memoryByteCache({ maxEntries: 3, now: () => 0 });
    for (const key of ["a", "b", "c"]) await cache.set(key, Buffer.from(key), 1000);
    await cache.get("a");
    await cache.set("d", Buffer.from("d"), 1000);
    const found = await Promise.all(["a", "b", "c", "d"].map(async (key) => (await cache.get(key))?.toString()));
    expect(found).toEqual(["a", undefined, "c", "d"]);
  });

  it("drops nothing when an entry is set again", async () => {
    const cache = memoryByteCache({ maxEntries: 2, now: () => 0 });
    for (const key of ["a", "b", "a", "a"]) await cache.set(key, Buffer.from(key), 1000);
    expect(await cache.get("b")).toBeDefined();
  });
});
