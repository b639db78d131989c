import { describe, expect, it, onTestFinished } from "vitest";
import { callsPerWindow, Pace } from "../../../src/acs/guard/pace.js";
import type { Config } from "../../../src/config/config.js";
import { startEmulator } from "../../../src/emulator/emulator.js";
import { createCounter } from "../../../src/limits/limits.js";
import { EMULATOR, GuardedEmulator, times } from "../../fixtures/guard.js";
import { FaultyLine, redisUrl, removeKeys, TEST_REDIS_URL, TestRedis, WHY_SKIPPED } from "../../fixtures/redis.js";

/** Ten calls in each window, of which seven make what the limit counts in. */
const LIMIT = 70;
const PER_WINDOW = 10;
const WINDOW_MS = 1000;
/** Timers and Redis round to milliseconds. */
const SLACK_MS = 20;

type Limits = Config["acs"]["pace"];
const pace: Limits = {
  percent: 100,
  createIdentity: LIMIT,
  createIdentityWithToken: LIMIT,
  issueToken: LIMIT,
  revokeTokens: LIMIT,
  deleteIdentity: LIMIT,
  exchangeTeamsToken: LIMIT,
};
const options = { acs: { pace, timeoutSeconds: 20 }, windowSeconds: 1 };

/** The most that came within any so many milliseconds. */
function mostWithin(moments: readonly number[], milliseconds: number): number {
  const counts = moments.map((from) => moments.filter((at) => at >= from && at < from + milliseconds).length);
  return Math.max(0, ...counts);
}

/**
 * The issues that had ended before the windows that could have begun by then had room for them. A busy machine puts off an
 * end and never brings one forward.
 */
function tooEarly(guarded: readonly GuardedEmulator[], began: number, perWindow = PER_WINDOW): number[] {
  const moments = guarded
    .flatMap(({ attempts }) => attempts)
    .filter(({ operation }) => operation === "issueToken")
    .map(({ at }) => at - began + SLACK_MS)
    .sort((one, other) => one - other);
  return moments.filter((at, index) => index >= perWindow * (Math.floor(at / WINDOW_MS) + 1));
}

describe("the share of the limit that a window has", () => {
  it.each([
    [1000, 100, 142],
    [500, 100, 71],
    [1000, 50, 71],
    [1, 100, 1],
  ])("of %i at %i percent is %i", (limit, percent, calls) => {
    expect(callsPerWindow(limit, percent)).toBe(calls);
  });

  it("keeps any 30 s below the limit, however calls come", async () => {
    let time = 0;
    const counter = () =>
      createCounter(
        { config: { instances: 1, rememberedCounts: 10 }, now: () => time, observe: () => {}, windowSeconds: 5 },
        "x",
        callsPerWindow(1000, 100),
      );
    const counters = {
      createIdentity: counter(),
      createIdentityWithToken: counter(),
      issueToken: counter(),
      revokeTokens: counter(),
      deleteIdentity: counter(),
      exchangeTeamsToken: counter(),
    };
    const paced = new Pace({ counters, key: "contoso", elapsed: () => time, observe: () => {} });
    const granted: number[] = [];
    // Now in floods, now in drops.
    for (let step = 0; step < 4000; step++) {
      time += step % 500 < 250 ? 20 : 90;
      for (let call = 0; call < (step % 70 === 0 ? 200 : 1); call++) {
        if (paced.heldFor("issueToken") === 0 && (await paced.take("issueToken")).granted) granted.push(time);
      }
    }
    expect(granted.length).toBeGreaterThan(2000);
    expect(mostWithin(granted, 30_000)).toBeLessThan(1000);
  });
});

describe("calls of one instance", () => {
  it("beyond a window's wait for the next ones, and each operation for its own", async () => {
    const guarded = await GuardedEmulator.start(options);
    const began = Date.now();
    const outcomes = await Promise.all([times(25, () => guarded.issue()), times(PER_WINDOW, () => guarded.create())]);
    expect(outcomes.flat()).toEqual(Array.from({ length: 35 }, () => "ok"));
    expect(Date.now() - began).toBeGreaterThan(2 * WINDOW_MS - SLACK_MS);
    expect(tooEarly([guarded], began)).toEqual([]);
    // The creates did not wait for the second window of the issues.
    const order = guarded.attempts.map(({ operation }) => operation);
    expect(order.lastIndexOf("createIdentityWithToken")).toBeLessThan(2 * PER_WINDOW);
    expect(await guarded.metric('gateway_service_holds_total{operation="issueToken",reason="pace"}')).toBe(2);
  });

  it("that cannot wait for the next window are told at once when to come back", async () => {
    const guarded = await GuardedEmulator.start({ acs: { pace, timeoutSeconds: 4 } });
    const began = performance.now();
    const outcomes = await times(12, () => guarded.issue());
    expect(outcomes.filter((outcome) => outcome === "ok")).toHaveLength(PER_WINDOW);
    expect(outcomes.filter((outcome) => outcome === "notBegun, effect none, retry after 5")).toHaveLength(2);
    expect(performance.now() - began).toBeLessThan(1900);
    expect(await guarded.reached("issueAccessToken")).toBe(PER_WINDOW);
  });

  it("go to the most urgent when the next window begins", async () => {
    const guarded = await GuardedEmulator.start(options);
    await times(PER_WINDOW, () => guarded.issue());
    const ended: string[] = [];
    const note = (urgency: "early" | "expiring") => async () => {
      await guarded.issue({ urgency });
      ended.push(urgency);
    };
    await Promise.all([times(PER_WINDOW, note("early")), times(PER_WINDOW, note("expiring"))]);
    expect(ended.slice(0, PER_WINDOW)).toEqual(Array.from({ length: PER_WINDOW }, () => "expiring"));
  });
});

describe.skipIf(!TEST_REDIS_URL)(`calls of two instances with one Redis${WHY_SKIPPED}`, () => {
  async function two(line: FaultyLine) {
    const emulator = await startEmulator(EMULATOR);
    onTestFinished(() => emulator.close());
    const first = await new TestRedis(redisUrl(line.port)).ready();
    const second = await new TestRedis(redisUrl(line.port), first.prefix).ready();
    onTestFinished(async () => {
      await Promise.all([first.close(), second.close()]);
      await line.close();
      await removeKeys(first.prefix);
    });
    const open = (redis: TestRedis) =>
      GuardedEmulator.start({ ...options, emulator, instances: 2, redis: redis.connection });
    return [await open(first), await open(second)] as const;
  }

  it("keep one pace together", async () => {
    const both = await two(await FaultyLine.open());
    const began = Date.now();
    const outcomes = await Promise.all(both.map((guarded) => times(20, () => guarded.issue())));
    expect(outcomes.flat()).toEqual(Array.from({ length: 40 }, () => "ok"));
    expect(Date.now() - began).toBeGreaterThan(3 * WINDOW_MS - SLACK_MS);
    expect(tooEarly(both, began)).toEqual([]);
  });

  it("keep each its part of it while Redis is away", async () => {
    const line = await FaultyLine.open();
    const both = await two(line);
    line.cut();
    const began = Date.now();
    await Promise.all(both.map((guarded) => times(15, () => guarded.issue())));
    expect(Date.now() - began).toBeGreaterThan(2 * WINDOW_MS - SLACK_MS);
    for (const guarded of both) expect(tooEarly([guarded], began, PER_WINDOW / 2)).toEqual([]);
  });
});
