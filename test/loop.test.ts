import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { runLoop } from "../src/loop.js";

describe("a loop", () => {
  it("goes on at once while there is something to do, rests after nothing, and after a failure for its own time", async () => {
    const stopped = new AbortController();
    const failures: unknown[] = [];
    const asked: number[] = [];
    const found = [true, true, false, "fails", true];
    const next = async () => {
      asked.push(performance.now());
      const outcome = found.shift();
      if (outcome === undefined) stopped.abort();
      if (outcome === "fails") throw new Error("away");
      return outcome === true;
    };
    const onFailure = (error: unknown) => failures.push(error);
    await runLoop({ next, restMs: 50, retryMs: 300, signal: stopped.signal, onFailure, onSuccess: () => {} });
    const rests = asked.slice(1).map((at, index) => at - (asked[index] ?? at));
    expect(rests.map((rest) => (rest > 250 ? "retry" : rest > 40 ? "rest" : "none"))).toEqual([
      "none",
      "none",
      "rest",
      "retry",
      "none",
    ]);
    expect(failures).toHaveLength(1);
  });

  it("rests twice as long after each failure, and as at first after one that was none", async () => {
    const stopped = new AbortController();
    const told: string[] = [];
    const asked: number[] = [];
    const found = ["fails", "fails", "fails", "nothing", "fails"];
    const next = async () => {
      asked.push(performance.now());
      const outcome = found.shift();
      if (outcome === undefined) stopped.abort();
      if (outcome === "fails") throw new Error("away");
      return false;
    };
    const [onFailure, onSuccess] = [() => told.push("failure"), () => told.push("success")];
    await runLoop({ next, restMs: 100, signal: stopped.signal, onFailure, onSuccess });
    const rests = asked.slice(1).map((at, index) => at - (asked[index] ?? at));
    const least = [100, 200, 400, 100, 100].map((rest) => rest - 5);
    expect(rests.map((rest, index) => rest >= (least[index] ?? 0))).toEqual(least.map(() => true));
    expect(Math.max(...rests.slice(3))).toBeLessThan(350);
    expect(told).toEqual(["failure", "failure", "failure", "success", "failure", "success"]);
  });

  it("rests for as long as it was told to after a failure, where that is longer than any doubling leads to", async () => {
    const stopped = new AbortController();
    let asked = 0;
    const next = async () => {
      asked += 1;
      throw new Error("away");
    };
    const loop = runLoop({
      next,
      restMs: 1,
      retryMs: 6000,
      signal: stopped.signal,
      onFailure: () => {},
      onSuccess: () => {},
    });
    await setTimeout(5500);
    stopped.abort();
    await loop;
    expect(asked).toBe(1);
  });

  it("ends its rest when it is told to stop", async () => {
    const stopped = new AbortController();
    const told = { onFailure: () => {}, onSuccess: () => {} };
    const loop = runLoop({ next: async () => false, restMs: 60_000, signal: stopped.signal, ...told });
    await setTimeout(20);
    stopped.abort();
    await loop;
  });
});
