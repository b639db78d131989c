import { describe, expect, it, onTestFinished } from "vitest";
import type { Counter } from "../../src/limits/counter.js";
import { slidingMemoryCounter, slidingRedisCounter } from "../../src/limits/counter-sliding.js";
import { removeKeys, TEST_REDIS_URL, TestRedis, WHY_SKIPPED } from "../fixtures/redis.js";

/** An interval has 3 for itself, of 8; the other 25 are lent. */
const OPTIONS = { limit: 49, intervals: 8, intervalMs: 100 };
const EVEN = 3;
/** Nothing that a test does takes it from one into the next. */
const HOUR_MS = 3_600_000;
const FIRST = EVEN + 7;

interface Clocked {
  readonly counter: Counter;
  /** To where the next interval has just begun. */
  readonly nextInterval: () => Promise<void>;
}

async function takeAll(counter: Counter, key = "k"): Promise<number> {
  let granted = 0;
  while ((await counter.take(key)).granted) granted += 1;
  return granted;
}

function conformance(name: string, open: () => Promise<Clocked>): void {
  describe(`counts that slide, in ${name}`, () => {
    it("lend much after a quiet time, and always leave something", async () => {
      const clocked = await open();
      const granted: number[] = [];
      for (let interval = 0; interval < 20; interval++) {
        await clocked.nextInterval();
        granted.push(await takeAll(clocked.counter));
      }
      // A quarter of 25, of 18, of 13, of 9, of 6, of 4, of 3 and of 2.
      expect(granted.slice(0, 8)).toEqual([7, 5, 4, 3, 2, 1, 1, 1].map((lent) => EVEN + lent));
      expect(Math.min(...granted)).toBeGreaterThanOrEqual(EVEN);
      for (let from = 0; from <= 12; from++) {
        const together = granted.slice(from, from + 8).reduce((sum, count) => sum + count, 0);
        expect(together).toBeLessThanOrEqual(OPTIONS.limit);
        expect(together).toBeGreaterThan(OPTIONS.limit / 2);
      }
    });

    it("let no more through for coming at once, and each key has its own", async () => {
      const clocked = await open();
      await clocked.nextInterval();
      const takes = await Promise.all(Array.from({ length: 40 }, () => clocked.counter.take("k")));
      expect(takes.filter(({ granted }) => granted)).toHaveLength(FIRST);
      expect(Math.max(...takes.map(({ remaining }) => remaining))).toBe(FIRST - 1);
      for (const { msLeft } of takes) expect(msLeft).toBeLessThanOrEqual(HOUR_MS);
      expect((await clocked.counter.take("other")).granted).toBe(true);
    });

    it("take back what was not used, but once it is forgotten", async () => {
      const clocked = await open();
      await clocked.nextInterval();
      const take = await clocked.counter.take("k");
      await takeAll(clocked.counter);
      await take.giveBack();
      expect([await takeAll(clocked.counter), (await clocked.counter.take("k")).granted]).toEqual([1, false]);
      for (let interval = 0; interval < 9; interval++) await clocked.nextInterval();
      await take.giveBack();
      expect(await takeAll(clocked.counter)).toBe(FIRST);
    });
  });
}

conformance("memory", async () => {
  let time = 12_345;
  return {
    counter: slidingMemoryCounter({ ...OPTIONS, now: () => time }),
    nextInterval: async () => {
      time += OPTIONS.intervalMs - (time % OPTIONS.intervalMs);
    },
  };
});

describe("a count that stands in for another, and so lends nothing", () => {
  it.each([
    [1, 1],
    [2, 1],
    [49, 24],
  ])(
    "of a limit of %i grants %i in any so many intervals, if all the time it is asked for more",
    async (limit, half) => {
      const { intervals, intervalMs } = OPTIONS;
      let time = 12_345;
      const counter = slidingMemoryCounter({ ...OPTIONS, limit, lendsNothing: true, now: () => time });
      const granted: number[] = [];
      for (let interval = 0; interval < 4 * intervals; interval++) {
        granted.push(await takeAll(counter));
        time += intervalMs;
      }
      for (let from = 0; from <= 3 * intervals; from++) {
        expect(granted.slice(from, from + intervals).reduce((sum, count) => sum + count, 0)).toBe(half);
      }
    },
  );
});

describe.skipIf(!TEST_REDIS_URL)(`on a server${WHY_SKIPPED}`, () => {
  async function openRedis() {
    const redis = await new TestRedis().ready();
    onTestFinished(async () => {
      await redis.close();
      await removeKeys(redis.prefix);
    });
    return redis;
  }

  conformance("Redis", async () => {
    const { client } = (await openRedis()).connection;
    return {
      counter: slidingRedisCounter({ client }, { ...OPTIONS, intervalMs: HOUR_MS, name: "x" }),
      // An hour is over at once: all that was counted is an hour older.
      nextInterval: async () => {
        const counts = await client.hgetall("x:k");
        const older = Object.entries(counts).map(([interval, count]) => [Number(interval) - 1, count] as const);
        await client.del("x:k");
        if (older.length > 0) await client.hset("x:k", new Map(older));
      },
    };
  });

  it("rejects when what is there is nothing of its own, and forgets what nobody takes from", async () => {
    const redis = await openRedis();
    const { client } = redis.connection;
    const counter = slidingRedisCounter(redis.connection, { ...OPTIONS, intervalMs: HOUR_MS, name: "x" });
    await counter.take("k");
    expect(await client.pttl("x:k")).toBeLessThanOrEqual(OPTIONS.intervals * HOUR_MS);
    expect(await client.pttl("x:k")).toBeGreaterThan(0);
    await client.set("x:other", "7");
    await expect(counter.take("other")).rejects.toThrow("WRONGTYPE");
  });

  it("counts what was taken by a clock that was ahead", async () => {
    const redis = await openRedis();
    const { client } = redis.connection;
    const [seconds] = await client.time();
    const options = { ...OPTIONS, intervalMs: 1000 };
    await client.hset("x:k", { [Number(seconds) + 4]: EVEN + 25, [Number(seconds) + 4000]: 1000 });
    const counter = slidingRedisCounter(redis.connection, { ...options, name: "x" });
    expect(await counter.take("k")).toMatchObject({ granted: true, remaining: EVEN - 1 });
    expect(await client.hlen("x:k")).toBe(2);
  });
});
