import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConcurrencyLimit } from "../../../src/acs/guard/concurrency-limit.js";
import { type Entrant, Gate } from "../../../src/acs/guard/gate.js";
import { Pace } from "../../../src/acs/guard/pace.js";
import { SERVICE_OPERATIONS, type ServiceFailure, type ServiceOperation } from "../../../src/acs/service.js";
import type { Counter, Take } from "../../../src/limits/counter.js";
import { slidingMemoryCounter } from "../../../src/limits/counter-sliding.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Ever so slightly later at each look, from 0 on. */
class Clock {
  time = 0;
  readonly elapsed = () => {
    const now = this.time;
    this.time += 0.01;
    return now;
  };
}

function forEach<Value>(value: Value) {
  return Object.fromEntries(SERVICE_OPERATIONS.map((operation) => [operation, value])) as Record<
    ServiceOperation,
    Value
  >;
}

interface Options {
  readonly limit?: number;
  readonly slots?: ConcurrencyLimit;
  readonly random?: () => number;
}

function open(clock: Clock, counter?: Counter, options: Options = {}): Gate {
  const { limit = 1000, slots = new ConcurrencyLimit(10), random = () => 0 } = options;
  const { elapsed } = clock;
  const counting = counter ?? slidingMemoryCounter({ limit, intervals: 32, intervalMs: 1000, now: elapsed });
  const observe = () => {};
  const pace = new Pace({ counters: forEach(counting), limits: forEach(limit), key: "contoso", elapsed, observe });
  return new Gate({ limit: slots, pace, queueSize: 20, elapsed, random, observe });
}

/** What the gate tells one who has to come back. */
async function secondsFor(gate: Gate, terms: Partial<Entrant>): Promise<number> {
  const entrant = { operation: "issueToken", priority: "early", beginUntil: 1000, signals: [], ...terms } as const;
  const error: unknown = await gate.enter(entrant).catch((reason: unknown) => reason);
  return (error as ServiceFailure).retryAfterSeconds ?? Number.NaN;
}

const ALWAYS: Counter = {
  take: async () => ({ granted: true, limit: 1, remaining: 1, msLeft: 1, giveBack: async () => {} }),
};

async function fill(gate: Gate, slots: number): Promise<void> {
  const entrant = { operation: "issueToken", priority: "normal", beginUntil: 1000, signals: [] } as const;
  await Promise.all(Array.from({ length: slots }, () => gate.enter(entrant)));
}

/** Spread evenly, however many are asked for. */
function evenly(): () => number {
  let asked = 0;
  return () => (asked++ * 0.618034) % 1;
}

describe("the gate", () => {
  it("lets in who waits for an operation that becomes free as it is looked at", async () => {
    const entrant = { operation: "issueToken", priority: "normal", beginUntil: 5000, signals: [] } as const;
    // A timer may be due a moment before the operation is free: at the first look at the clock, and not at the next.
    for (let early = 0; early < 0.2; early += 0.005) {
      const clock = new Clock();
      const gate = open(clock);
      gate.hold("issueToken", 10);
      const entered = vi.fn();
      const entering = gate.enter(entrant).then(entered);
      clock.time = 10.1 - early;
      await vi.advanceTimersByTimeAsync(11);
      clock.time = 12;
      await vi.advanceTimersByTimeAsync(100);
      expect(entered, `${early} ms early`).toHaveBeenCalledOnce();
      await entering;
    }
  });

  it("gives back what was taken for who has left meanwhile", async () => {
    const clock = new Clock();
    const asked = Promise.withResolvers<Take>();
    const gate = open(clock, { take: () => asked.promise });
    const leaving = new AbortController();
    const terms = { operation: "issueToken", priority: "normal", beginUntil: 5000 } as const;
    const entering = gate.enter({ ...terms, signals: [leaving.signal] });
    leaving.abort();
    await expect(entering).rejects.toThrow("time was up");
    const giveBack = vi.fn(async () => {});
    asked.resolve({ granted: true, limit: 1, remaining: 0, msLeft: 1, giveBack });
    await vi.advanceTimersByTimeAsync(1);
    expect(giveBack).toHaveBeenCalledOnce();
    expect([gate.underWay, gate.waiting]).toEqual([0, 0]);
  });

  it("tells who cannot wait of those of their operation who wait before them, the most urgent of the fewest", async () => {
    const clock = new Clock();
    const gate = open(clock, { take: () => new Promise<Take>(() => {}) }, { limit: 100 });
    const waits = [
      ...Array.from({ length: 10 }, () => secondsFor(gate, {})),
      secondsFor(gate, { operation: "exchangeTeamsToken" }),
      secondsFor(gate, { priority: "expiring" }),
    ];
    for (const operation of ["issueToken", "exchangeTeamsToken"] as const) gate.hold(operation, 10_000);
    const seconds = await Promise.all(waits);
    // Of a hundred calls in 32 s each takes a third of a second.
    expect(seconds.at(-1)).toBe(10);
    expect(seconds.at(-2)).toBe(10);
    expect(Math.max(...seconds)).toBe(14);
  });

  it("tells nobody whose time is up to come before those who were ahead", async () => {
    const clock = new Clock();
    // Eight calls in 32 s.
    const gate = open(clock, ALWAYS, { limit: 8, slots: new ConcurrencyLimit(1) });
    await fill(gate, 1);
    const waits = Array.from({ length: 10 }, () => secondsFor(gate, {}));
    waits.unshift(secondsFor(gate, { priority: "expiring" }));
    await vi.advanceTimersByTimeAsync(1000);
    const [expiring, ...early] = await Promise.all(waits);
    expect(expiring).toBe(1);
    expect(early[0]).toBe(4);
    expect(early).toEqual(early.toSorted((one, other) => one - other));
  });

  it("tells a newcomer that is refused of all who would be ahead, at the speed of the slots where they are slower", async () => {
    const clock = new Clock();
    const slots = new ConcurrencyLimit(4);
    const gate = open(clock, ALWAYS, { slots });
    slots.answered("issueToken", 3000, 4);
    await fill(gate, 4);
    const waits = Array.from({ length: 20 }, () => secondsFor(gate, { priority: "normal" }));
    const gone = [AbortSignal.abort()];
    // Four calls in 3 s, and 31 in a second by the pace.
    expect(await secondsFor(gate, {})).toBe(15);
    expect(await secondsFor(gate, { signals: gone })).toBe(15);
    expect(await secondsFor(gate, { signals: gone, priority: "expiring" })).toBe(1);
    expect(await secondsFor(gate, { signals: gone, operation: "exchangeTeamsToken" })).toBe(1);
    await vi.advanceTimersByTimeAsync(1000);
    await Promise.all(waits);
  });

  it("tells of no more than a minute in line, and takes no place for who has left", async () => {
    const clock = new Clock();
    const gate = open(clock, ALWAYS, { limit: 4, slots: new ConcurrencyLimit(1) });
    await fill(gate, 1);
    const entrant = { operation: "issueToken", priority: "normal", beginUntil: 1000, signals: [] } as const;
    const waiting = Array.from({ length: 20 }, () => gate.enter(entrant));
    for (const call of waiting) call.catch(() => {});
    // A call in eight seconds.
    for (const _ of [1, 2, 3]) expect(gate.refusal(entrant, "left").retryAfterSeconds).toBe(60);
    expect(gate.refusal(entrant, "tooLate").retryAfterSeconds).toBe(60);
    expect(gate.refusal(entrant, "tooLate").retryAfterSeconds).toBe(68);
  });

  describe("when a crowd is sent away", () => {
    /** How many come back in each second, of so many who come while the operation is held for 30 s. */
    async function returns(gate: Gate, clock: Clock, count: number): Promise<number[]> {
      const now = clock.time;
      gate.hold("issueToken", 30_000);
      const counts: number[] = [];
      for (let come = 0; come < count; come++) {
        clock.time = now;
        const seconds = await secondsFor(gate, { beginUntil: now + 1000 });
        counts[seconds] = (counts[seconds] ?? 0) + 1;
      }
      return Array.from(counts, (returning = 0) => returning);
    }

    /** Of a thousand in 32 s. */
    const PACE = 1000 / 32;

    it("has it come back as fast as it can be served, and a few within three seconds", async () => {
      const clock = new Clock();
      const gate = open(clock, ALWAYS, { random: evenly() });
      const few = await returns(gate, clock, 10);
      expect(few.findIndex(Boolean)).toBeGreaterThanOrEqual(30);
      expect(few.length - 1).toBeLessThanOrEqual(33);
      expect(few.filter(Boolean).length).toBeGreaterThanOrEqual(3);
      clock.time += 40_000;
      const crowd = await returns(gate, clock, 1000);
      expect(Math.max(...crowd)).toBeLessThan(PACE * 1.25);
      expect(crowd.length).toBeLessThanOrEqual(30 + 32 + 4);
      clock.time += 70_000;
      expect(await returns(gate, clock, 10)).toHaveLength(few.length);
    });

    it("spreads one that cannot be served in a minute evenly over one", async () => {
      const clock = new Clock();
      const crowd = await returns(open(clock, ALWAYS, { random: evenly() }), clock, 10_000);
      expect(crowd.length).toBeLessThanOrEqual(30 + 60 + 4);
      expect(Math.max(...crowd)).toBeLessThan((10_000 / 60) * 1.25);
    });

    it("has it come back after an outage in the same way", async () => {
      const clock = new Clock();
      const gate = open(clock, undefined, { random: evenly() });
      const entrant = { operation: "issueToken", priority: "normal" } as const;
      const seconds = Array.from({ length: 1000 }, () => gate.refusal(entrant, "breaker", 5000).retryAfterSeconds ?? 0);
      expect(Math.min(...seconds)).toBe(5);
      expect(Math.max(...seconds)).toBeGreaterThan(5 + 30);
    });
  });
});
