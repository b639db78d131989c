import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConcurrencyLimit } from "../../../src/acs/guard/concurrency-limit.js";
import { Gate } from "../../../src/acs/guard/gate.js";
import { Pace } from "../../../src/acs/guard/pace.js";
import { SERVICE_OPERATIONS, type ServiceOperation } from "../../../src/acs/service.js";
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

function open(clock: Clock): Gate {
  const { elapsed } = clock;
  const counter = slidingMemoryCounter({ limit: 1000, intervals: 32, intervalMs: 1000, now: elapsed });
  const observe = () => {};
  const pace = new Pace({ counters: forEach(counter), limits: forEach(1000), key: "contoso", elapsed, observe });
  return new Gate({ limit: new ConcurrencyLimit(10), pace, queueSize: 10, elapsed, random: () => 0, observe });
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
});
