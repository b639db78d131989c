import { describe, expect, it, onTestFinished } from "vitest";
import { budgetOf, Pace } from "../../../src/acs/guard/pace.js";
import { SERVICE_OPERATIONS, type ServiceOperation } from "../../../src/acs/service.js";
import type { Config } from "../../../src/config/config.js";
import { startEmulator } from "../../../src/emulator/emulator.js";
import { slidingMemoryCounter } from "../../../src/limits/counter-sliding.js";
import { EMULATOR, GuardedEmulator, times } from "../../fixtures/guard.js";
import { FaultyLine, redisUrl, removeKeys, TEST_REDIS_URL, TestRedis, WHY_SKIPPED } from "../../fixtures/redis.js";

const LIMIT = 64;
/** Of 64, an interval has one for itself, and the first a quarter of the other 32. */
const FIRST_INTERVAL = 9;
/** Ten times as fast as it is. */
const INTERVAL_MS = 100;
const LIMIT_MS = 30 * INTERVAL_MS;
/** For a machine that is so much later with one call than with another. */
const LATE_MS = 10 * INTERVAL_MS;

function paceOf(limit: number): Config["acs"]["pace"] {
  return { percent: 100, ...forEach(() => limit) };
}

function forEach<Value>(of: () => Value) {
  return Object.fromEntries(SERVICE_OPERATIONS.map((operation) => [operation, of()])) as Record<
    ServiceOperation,
    Value
  >;
}

/** However slow the machine, nobody's time is up. */
const timeoutSeconds = 60;
const options = { acs: { pace: paceOf(LIMIT), timeoutSeconds }, intervalMs: INTERVAL_MS };

/** The most that came within any so many milliseconds. */
function mostWithin(moments: readonly number[], milliseconds: number): number {
  const counts = moments.map((from) => moments.filter((at) => at >= from && at < from + milliseconds).length);
  return Math.max(0, ...counts);
}

/** When the issues of all of them ended. */
function issuesOf(guarded: readonly GuardedEmulator[]): number[] {
  return guarded
    .flatMap(({ attempts }) => attempts)
    .filter(({ operation }) => operation === "issueToken")
    .map(({ at }) => at);
}

/** Of a thousand calls. */
function open(now: () => number): Pace {
  const counters = forEach(() => slidingMemoryCounter({ ...budgetOf(1000, 100), intervalMs: 1000, now }));
  return new Pace({ counters, limits: forEach(() => 1000), key: "contoso", elapsed: now, observe: () => {} });
}

describe("the pace", () => {
  it.each([
    [1000, 100, 1000],
    [1000, 50, 500],
    [500, 33, 165],
    [1, 50, 1],
  ])("of %i at %i percent is %i", (limit, percent, calls) => {
    expect(budgetOf(limit, percent).limit).toBe(calls);
  });

  it("is held as long as the service asks, a minute at the most, and not shortened by who asks for less", () => {
    let time = 0;
    const paced = open(() => time);
    paced.hold("issueToken", 7000, "retryAfter");
    expect(paced.heldFor("issueToken")).toBe(7000);
    paced.hold("issueToken", 3_600_000, "retryAfter");
    expect(paced.heldFor("issueToken")).toBe(60_000);
    time = 10_000;
    paced.hold("issueToken", 1000, "pace");
    expect(paced.heldFor("issueToken")).toBe(50_000);
    expect(paced.heldFor("createIdentity")).toBe(0);
  });

  it("keeps any 30 s below the limit, however calls come", async () => {
    let time = 0;
    const paced = open(() => time);
    const granted: number[] = [];
    // Now in floods, now in drops.
    for (let step = 0; step < 4000; step++) {
      time += step % 500 < 250 ? 20 : 90;
      for (let call = 0; call < (step % 70 === 0 ? 200 : 1); call++) {
        if (paced.heldFor("issueToken") === 0 && (await paced.take("issueToken")).granted) granted.push(time);
      }
    }
    expect(granted.length).toBeGreaterThan(2500);
    // And a second more, for calls that are slow to get there.
    expect(mostWithin(granted, 31_000)).toBeLessThanOrEqual(1000);
  });

  it("keeps them below it from the end of one second to the beginning of another", async () => {
    let time = 900;
    const counter = slidingMemoryCounter({ ...budgetOf(1000, 100), intervalMs: 1000, now: () => time });
    const granted: number[] = [];
    for (; time < 40_000; time += 100) while ((await counter.take("k")).granted) granted.push(time);
    expect(mostWithin(granted, 31_000)).toBeLessThanOrEqual(1000);
    expect(mostWithin(granted, 31_000)).toBeGreaterThan(950);
  });
});

describe("calls of one instance", () => {
  it("that come at once after a quiet time are made at once, a third of the limit in three intervals", async () => {
    const guarded = await GuardedEmulator.start({ acs: { pace: paceOf(1000), timeoutSeconds } });
    const outcomes = await times(330, () => guarded.issue());
    expect(outcomes.filter((outcome) => outcome !== "ok")).toEqual([]);
    // The first may be nearly over.
    const holds = await guarded.metric('gateway_service_holds_total{operation="issueToken",reason="pace"}');
    expect(holds).toBeLessThanOrEqual(3);
  });

  it("beyond an interval's wait for the next ones, and each operation for its own", async () => {
    const guarded = await GuardedEmulator.start(options);
    const began = Date.now();
    const outcomes = await Promise.all([
      times(80, () => guarded.issue()),
      times(FIRST_INTERVAL, () => guarded.create()),
    ]);
    expect(outcomes.flat().filter((outcome) => outcome !== "ok")).toEqual([]);
    expect(Date.now() - began).toBeGreaterThan(LIMIT_MS);
    expect(mostWithin(issuesOf([guarded]), LIMIT_MS - LATE_MS)).toBeLessThanOrEqual(LIMIT);
    // The creates did not wait for what the issues had to wait for.
    const order = guarded.attempts.map(({ operation }) => operation);
    expect(order.lastIndexOf("createIdentityWithToken")).toBeLessThan(order.lastIndexOf("issueToken") - 50);
    expect(await guarded.metric('gateway_service_holds_total{operation="issueToken",reason="pace"}')).toBeGreaterThan(
      9,
    );
  });

  it("that cannot be made in time are told when all who are ahead will have been", async () => {
    // Three of six intervals, in two seconds; then none is left.
    const guarded = await GuardedEmulator.start({ acs: { pace: paceOf(3), timeoutSeconds: 4 } });
    const outcomes = await times(12, () => guarded.issue());
    const refused = outcomes.filter((outcome) => outcome !== "ok");
    expect(await guarded.reached("issueAccessToken")).toBe(12 - refused.length);
    expect(refused.length).toBeGreaterThanOrEqual(9);
    const waits = refused.map((outcome) => Number(/^notBegun, effect none, retry after (\d+)$/.exec(outcome)?.[1]));
    // Each is told of those ahead of it, ten seconds each, in the minute that so many share.
    expect(Math.max(...waits)).toBeGreaterThan(50);
    expect(Math.max(...waits)).toBeLessThan(65);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(1);
  });

  it("go to the most urgent when the next interval begins", async () => {
    const guarded = await GuardedEmulator.start(options);
    const ended: string[] = [];
    const note = (urgency: "early" | "expiring") => async () => {
      await guarded.issue({ urgency });
      ended.push(urgency);
    };
    await Promise.all([times(60, note("early")), times(5, note("expiring"))]);
    // Two intervals may have had their calls by then.
    expect(ended.lastIndexOf("expiring")).toBeLessThan(2 * FIRST_INTERVAL + 5);
  });
});

describe.skipIf(!TEST_REDIS_URL)(`calls of two instances with one Redis${WHY_SKIPPED}`, () => {
  async function two(line: FaultyLine, acs: { readonly timeoutSeconds?: number } = {}) {
    const emulator = await startEmulator(EMULATOR);
    onTestFinished(() => emulator.close());
    const first = await new TestRedis(redisUrl(line.port)).ready();
    const second = await new TestRedis(redisUrl(line.port), first.prefix).ready();
    onTestFinished(async () => {
      await Promise.all([first.close(), second.close()]);
      await line.close();
      await removeKeys(first.prefix);
    });
    const start = (redis: TestRedis) =>
      GuardedEmulator.start({
        ...options,
        acs: { ...options.acs, ...acs },
        emulator,
        instances: 2,
        redis: redis.connection,
      });
    return [await start(first), await start(second)] as const;
  }

  it("keep one pace together", async () => {
    const both = await two(await FaultyLine.open());
    const outcomes = await Promise.all(both.map((guarded) => times(40, () => guarded.issue())));
    expect(outcomes.flat().filter((outcome) => outcome !== "ok")).toEqual([]);
    expect(mostWithin(issuesOf(both), LIMIT_MS - LATE_MS)).toBeLessThanOrEqual(LIMIT);
  });

  it("tell whom they send away when to come back by their part of it", async () => {
    const [one] = await two(await FaultyLine.open(), { timeoutSeconds: 2 });
    await one.fault({ operation: "issueAccessToken", kind: "status", status: 429, retryAfterSeconds: 20 });
    await one.issue();
    const told = (await times(20, () => one.issue())).map((outcome) => Number(/retry after (\d+)/.exec(outcome)?.[1]));
    // Of 64 calls in 32 s each has one a second.
    const spans = [Math.min(...told), Math.max(...told)];
    expect(spans).toEqual([20, 39]);
  });

  it("keep each its part of it while Redis is away", async () => {
    const line = await FaultyLine.open();
    const both = await two(line);
    line.cut();
    const outcomes = await Promise.all(both.map((guarded) => times(24, () => guarded.issue())));
    expect(outcomes.flat().filter((outcome) => outcome !== "ok")).toEqual([]);
    // Half of their part: the rest may just have been lent by Redis.
    for (const guarded of both)
      expect(mostWithin(issuesOf([guarded]), LIMIT_MS - LATE_MS)).toBeLessThanOrEqual(LIMIT / 2 / 2);
  });
});
