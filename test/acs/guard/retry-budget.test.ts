import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RetryBudget } from "../../../src/acs/guard/retry-budget.js";

describe("the budget of repeats", () => {
  let time = 0;
  const budget = (percent = 20) => new RetryBudget({ percent, elapsed: () => time });
  const call = (of: RetryBudget, calls: number) => {
    for (let made = 0; made < calls; made++) of.countCall();
  };
  const takenOf = (of: RetryBudget, tries: number) =>
    Array.from({ length: tries }, () => of.take()).filter(Boolean).length;

  it("has nothing for the first calls", () => {
    const fresh = budget();
    call(fresh, 4);
    expect(fresh.take()).toBe(false);
  });

  it("is a fifth of the calls", () => {
    const used = budget();
    call(used, 104);
    expect(takenOf(used, 100)).toBe(20);
    call(used, 1);
    expect(takenOf(used, 100)).toBe(1);
  });

  it("forgets calls and repeats after ten seconds", () => {
    const used = budget();
    call(used, 100);
    time += 9_000;
    expect(takenOf(used, 5)).toBe(5);
    time += 1_000;
    expect(used.take()).toBe(false);
    call(used, 50);
    // The five of a second ago are still counted.
    expect(takenOf(used, 10)).toBe(5);
  });

  it("never lets the repeats of any time be more than a fifth of the calls then and in the ten seconds before", () => {
    const step = fc.record({ pauseMs: fc.nat(4000), calls: fc.nat(20), tries: fc.nat(8) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 30, maxLength: 60 }), (schedule) => {
        time = 0;
        const used = budget();
        const steps = schedule.map(({ pauseMs, calls, tries }) => {
          time += pauseMs;
          call(used, calls);
          return { at: time, calls, repeats: takenOf(used, tries) };
        });
        for (const [from, { at }] of steps.entries()) {
          let [calls, repeats] = [0, 0];
          for (const before of steps.slice(0, from)) if (before.at > at - 10_000) calls += before.calls;
          for (const next of steps.slice(from)) {
            calls += next.calls;
            repeats += next.repeats;
            expect(repeats * 5).toBeLessThanOrEqual(calls);
          }
        }
      }),
    );
  });

  it("can be none at all", () => {
    const none = budget(0);
    call(none, 1000);
    expect(none.take()).toBe(false);
  });
});
