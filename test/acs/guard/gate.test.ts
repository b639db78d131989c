import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConcurrencyLimit } from "../../../src/acs/guard/concurrency-limit.js";
import { Gate } from "../../../src/acs/guard/gate.js";
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

function open(clock: Clock, counter?: Counter, { limit = 1000 } = {}): Gate {
  const { elapsed } = clock;
  const counting = counter ?? slidingMemoryCounter({ limit, intervals: 32, intervalMs: 1000, now: elapsed });
  const observe = () => {};
  const pace = new Pace({ counters: forEach(counting), limits: forEach(limit), key: "contoso", elapsed, observe });
  return new Gate({ limit: new ConcurrencyLimit(10), pace, queueSize: 20, elapsed, random: () => 0, observe });
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
    const enter = async (operation: ServiceOperation, priority: "early" | "expiring") => {
      const entrant = { operation, priority, beginUntil: 1000, signals: [] } as const;
      const error = await gate.enter(entrant).catch((reason: unknown) => reason);
      return (error as ServiceFailure).retryAfterSeconds ?? Number.NaN;
    };
    const waits = [
      ...Array.from({ length: 10 }, () => enter("issueToken", "early")),
      enter("exchangeTeamsToken", "early"),
      enter("issueToken", "expiring"),
    ];
    for (const operation of ["issueToken", "exchangeTeamsToken"] as const) gate.hold(operation, 10_000);
    const seconds = await Promise.all(waits);
    // Of a hundred calls in 32 s each takes a third of a second.
    expect(seconds.at(-1)).toBe(10);
    expect(seconds.at(-2)).toBe(10);
    expect(Math.max(...seconds)).toBe(14);
  });
});
