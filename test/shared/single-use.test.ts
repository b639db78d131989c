import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { memorySingleUse } from "../../src/shared/single-use-memory.js";
import { redisSingleUse } from "../../src/shared/single-use-redis.js";
import { singleUseConformance } from "../conformance/single-use.js";
import { removeKeys, TEST_REDIS_URL, TestRedis, WHY_SKIPPED } from "../fixtures/redis.js";

singleUseConformance("memory", async () => {
  let time = 1_000_000;
  return {
    used: memorySingleUse({ maxEntries: 1000, now: () => time }),
    pass: async (milliseconds) => {
      time += milliseconds;
    },
    close: async () => {},
  };
});

describe.skipIf(!TEST_REDIS_URL)(`on a server${WHY_SKIPPED}`, () => {
  singleUseConformance("Redis", async () => {
    const redis = await new TestRedis().ready();
    return {
      used: redisSingleUse(redis.connection, "used"),
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

  it("is shared between instances, and rejects when it cannot be told", async () => {
    const one = await new TestRedis().ready();
    const other = await new TestRedis(undefined, one.prefix).ready();
    expect(await redisSingleUse(one.connection, "used").claim("a", 60_000, "alice")).toBe(true);
    expect(await redisSingleUse(other.connection, "used").claim("a", 60_000, "alice")).toBe(false);
    await one.close();
    await expect(redisSingleUse(one.connection, "used").claim("b", 60_000, "alice")).rejects.toThrow();
    await other.close();
    await removeKeys(one.prefix);
  });
});

describe("a full record in memory", () => {
  it("takes no more, rather than to forget what was used, until the oldest is over", async () => {
    let time = 0;
    const used = memorySingleUse({ maxEntries: 2, now: () => time });
    await used.claim("a", 1000, "alice");
    time = 500;
    await used.claim("b", 1000, "bob");
    await expect(used.claim("c", 1000, "carol")).rejects.toThrow("room for 2");
    expect(await used.claim("a", 1000, "alice")).toBe(false);
    time = 1000;
    expect(await used.claim("c", 1000, "alice")).toBe(true);
    expect(await used.claim("b", 1000, "bob")).toBe(false);
  });

  it("has room for others, however much one asks for, until what that one used is over", async () => {
    let time = 0;
    const used = memorySingleUse({ maxEntries: 8, now: () => time });
    for (const key of ["a", "b"]) expect(await used.claim(key, 1000, "alice")).toBe(true);
    await expect(used.claim("c", 1000, "alice")).rejects.toThrow("room for 2 texts of one owner");
    expect(await used.claim("a", 1000, "alice")).toBe(false);
    expect(await used.claim("c", 1000, "bob")).toBe(true);
    time = 1000;
    expect(await used.claim("d", 1000, "alice")).toBe(true);
  });
});
