import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { LimitsConfig } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { memoryCounter } from "../../src/limits/counter-memory.js";
import { Limits } from "../../src/limits/limits.js";
import { budgets, countGranted, limitsConformance, newUser } from "../conformance/limits.js";
import { FaultyLine, redisUrl, removeKeys, TEST_REDIS_URL, TestRedis, WHY_SKIPPED } from "../fixtures/redis.js";

/** As AUDIT_KEY is. */
const KEY = new Secret(Buffer.alloc(32, 5).toString("base64"));

const now = () => Date.now();

limitsConformance("memory", async () => {
  let time = 1_000_000;
  return {
    make: (setup) => new Limits({ key: KEY, ...setup, now: () => time, observe: () => {} }),
    pass: async (milliseconds) => {
      time += milliseconds;
    },
    close: async () => {},
  };
});

/** An instance, and how often it had to count by itself. */
class Instance {
  readonly limits: Limits;
  countedHere = 0;

  constructor(
    readonly redis: TestRedis,
    config: Partial<LimitsConfig>,
  ) {
    const observe = () => {
      this.countedHere += 1;
    };
    this.limits = new Limits({ key: KEY, config: budgets(config), redis: redis.connection, now, observe });
  }
}

describe.skipIf(!TEST_REDIS_URL)(`on a server${WHY_SKIPPED}`, () => {
  limitsConformance("Redis", async () => {
    const redis = await new TestRedis().ready();
    const observe = (error: unknown) => {
      throw error;
    };
    return {
      make: (setup) => new Limits({ key: KEY, ...setup, redis: redis.connection, now, observe }),
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

  describe("limits of several instances", () => {
    const config = { requestsPerSubject: 30, mintsPerSubject: 30, mintsPerIssuer: 40, instances: 3 };
    let line: FaultyLine;
    let one: Instance;
    let other: Instance;
    beforeEach(async () => {
      line = await FaultyLine.open();
      one = new Instance(await new TestRedis(redisUrl(line.port)).ready(), config);
      other = new Instance(await new TestRedis(redisUrl(line.port), one.redis.prefix).ready(), config);
    });
    afterEach(async () => {
      await Promise.all([one.redis.close(), other.redis.close()]);
      await line.close();
      await removeKeys(one.redis.prefix);
    });

    /** Of 50 takes at each instance, how many each lets through. */
    async function grantedByEach(): Promise<number[]> {
      const user = newUser();
      return await Promise.all(
        [one, other].map(({ limits }) => countGranted(50, async () => await limits.takeRequest(user))),
      );
    }

    async function backAgain(): Promise<void> {
      line.mend();
      for (const instance of [one, other]) {
        await instance.redis.ready();
        // The first command on a new connection may find a busy machine.
        await expect
          .poll(async () => {
            instance.countedHere = 0;
            await instance.limits.takeRequest(newUser());
            return instance.countedHere;
          })
          .toBe(0);
      }
    }

    it("are one budget, and are counted by none of them", async () => {
      const [first = 0, second = 0] = await grantedByEach();
      expect(first + second).toBe(30);
      expect([one.countedHere, other.countedHere]).toEqual([0, 0]);
    });

    it("are each instance's part of the budget while Redis is away, and one budget again after", async () => {
      line.cut();
      await expect.poll(() => [one, other].map(({ redis }) => redis.connection.client.status)).not.toContain("ready");
      expect(await grantedByEach()).toEqual([10, 10]);
      expect([one.countedHere, other.countedHere]).toEqual([50, 50]);
      await backAgain();
      const [first = 0, second = 0] = await grantedByEach();
      expect(first + second).toBe(30);
      expect([one.countedHere, other.countedHere]).toEqual([0, 0]);
    });

    it("are each instance's part while Redis does not answer, and one budget again after", async () => {
      line.stall();
      expect(await grantedByEach()).toEqual([10, 10]);
      expect(await grantedByEach()).toEqual([10, 10]);
      await expect.poll(() => one.redis.outages, { timeout: 5000 }).toEqual(["lost"]);
      await expect.poll(() => other.redis.outages, { timeout: 5000 }).toEqual(["lost"]);
      await backAgain();
      const [first = 0, second = 0] = await grantedByEach();
      expect(first + second).toBe(30);
    });

    it("count mints in the same way, by user and by issuer", async () => {
      line.cut();
      await expect.poll(() => one.redis.connection.client.status).not.toBe("ready");
      const { issuer } = newUser();
      const [alice, bob] = [newUser(issuer), newUser(issuer)];
      expect(await countGranted(20, () => one.limits.takeMint(alice))).toBe(10);
      // 13 is the issuer's part of 40.
      expect(await countGranted(20, () => one.limits.takeMint(bob))).toBe(3);
    });

    it("say which budget is in force", async () => {
      const user = newUser();
      expect(await one.limits.takeRequest(user)).toMatchObject({ limit: 30, remaining: 29 });
      expect(await other.limits.takeRequest(user)).toMatchObject({ limit: 30, remaining: 28 });
      line.cut();
      await expect.poll(() => one.redis.connection.client.status).not.toBe("ready");
      expect(await one.limits.takeRequest(user)).toMatchObject({ limit: 10, remaining: 9 });
    });

    it("are counted here where Redis refuses, and there though it has forgotten the script", async () => {
      const { client } = one.redis.connection;
      const user = newUser();
      await one.limits.takeRequest(user);
      await client.script("FLUSH");
      expect(await one.limits.takeRequest(user)).toMatchObject({ limit: 30, remaining: 28 });
      const [key = ""] = await client.keys(`${one.redis.prefix}*`);
      const bare = key.slice(one.redis.prefix.length);
      await client.del(bare);
      await client.lpush(bare, "no number");
      await client.expire(bare, 60);
      expect(await one.limits.takeRequest(user)).toMatchObject({ limit: 10, remaining: 9 });
      expect(one.countedHere).toBe(1);
    });

    it("leave in Redis neither who nor where from, and nothing without an end", async () => {
      const user = { issuer: "https://issuer.example.com", subject: "alice" };
      await one.limits.takeRequest(user);
      await one.limits.takeMint(user);
      await one.limits.takeFailedAuth("192.0.2.7");
      const { client } = one.redis.connection;
      const keys = (await client.keys(`${one.redis.prefix}*`)).map((key) => key.slice(one.redis.prefix.length));
      expect(keys.map((key) => key.replace(/:[\w-]{43}$/, "")).sort()).toEqual([
        "limits:failed-auth",
        "limits:issuer-mints",
        "limits:mints",
        "limits:requests",
      ]);
      for (const key of keys) {
        expect(await client.get(key)).toBe("1");
        const left = await client.pttl(key);
        expect(left).toBeGreaterThan(50_000);
        expect(left).toBeLessThanOrEqual(60_000);
      }
    });
  });
});

describe("limits whose Redis was never there", () => {
  it("are the instance's part of the budget, and at least 1", async () => {
    // Port 9 is for discarding, and nothing listens on it.
    const redis = new TestRedis("redis://127.0.0.1:9");
    const { limits } = new Instance(redis, { requestsPerSubject: 10, failedAuthPerAddress: 2, instances: 4 });
    const user = newUser();
    expect(await countGranted(50, () => limits.takeRequest(user))).toBe(2);
    expect(await countGranted(50, () => limits.takeFailedAuth(randomUUID()))).toBe(50);
    expect(await countGranted(50, () => limits.takeFailedAuth("192.0.2.7"))).toBe(1);
    await redis.close();
  });
});

describe("a counter in memory", () => {
  it("keeps no more windows than it may, and forgets the one that ends first", async () => {
    let time = 0;
    const counter = memoryCounter({ limit: 1, windowSeconds: 60, maxKeys: 3, now: () => time });
    const granted = async (key: string) => (await counter.take(key)).granted;
    for (const key of ["a", "b", "c", "d"]) {
      time += 1000;
      expect(await granted(key)).toBe(true);
    }
    expect([await granted("b"), await granted("c"), await granted("d")]).toEqual([false, false, false]);
    expect(await granted("a")).toBe(true);
  });

  it("is as large as the configuration says", async () => {
    const config = budgets({ requestsPerSubject: 1, rememberedCounts: 2 });
    const limits = new Limits({ key: KEY, config, now, observe: () => {} });
    const [first, second, third] = [newUser(), newUser(), newUser()];
    for (const user of [first, second, third]) await limits.takeRequest(user);
    await expect(limits.takeRequest(third)).rejects.toMatchObject({ code: "RATE_LIMITED" });
    await expect(limits.takeRequest(second)).rejects.toMatchObject({ code: "RATE_LIMITED" });
    await limits.takeRequest(first);
  });

  it("does not hold anybody longer than a window when the clock is set back", async () => {
    let time = 3_600_000;
    const counter = memoryCounter({ limit: 1, windowSeconds: 60, maxKeys: 3, now: () => time });
    await counter.take("a");
    time = 0;
    expect(await counter.take("a")).toMatchObject({ granted: true, msLeft: 60_000 });
    expect(await counter.take("a")).toMatchObject({ granted: false, msLeft: 60_000 });
  });

  it("gives back to the window that was taken from, and to no later one", async () => {
    let time = 0;
    const counter = memoryCounter({ limit: 1, windowSeconds: 60, maxKeys: 3, now: () => time });
    const taken = await counter.take("a");
    time = 60_000;
    await counter.take("a");
    await taken.giveBack();
    expect(await counter.take("a")).toMatchObject({ granted: false });
  });
});
