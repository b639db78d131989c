import { describe, expect, it } from "vitest";
import { ConcurrencyLimit } from "../../../src/acs/guard/concurrency-limit.js";

/** So many calls in a row, all of them with the limit used up. */
function answered(limit: ConcurrencyLimit, calls: number, milliseconds: number, operation = "issueToken" as const) {
  for (let call = 0; call < calls; call++) limit.answered(operation, milliseconds, limit.current);
}

describe("the limit on calls under way", () => {
  it("begins at 20 or, if that is less, at the most", () => {
    expect(new ConcurrencyLimit(100).current).toBe(20);
    expect(new ConcurrencyLimit(3).current).toBe(3);
  });

  it("grows to the most while it is used and calls are as fast as usual", () => {
    const limit = new ConcurrencyLimit(100);
    answered(limit, 100, 50);
    expect(limit.current).toBe(100);
  });

  it("stays while it is not used", () => {
    const limit = new ConcurrencyLimit(100);
    for (let call = 0; call < 1000; call++) limit.answered("issueToken", 50, 5);
    expect(limit.current).toBe(20);
  });

  it("shrinks when calls get much slower, and grows when they are as usual again", () => {
    const limit = new ConcurrencyLimit(100);
    answered(limit, 100, 50);
    answered(limit, 30, 2000);
    expect(limit.current).toBeLessThan(20);
    expect(limit.current).toBeGreaterThanOrEqual(4);
    answered(limit, 100, 50);
    expect(limit.current).toBe(100);
  });

  it("takes some noise for what it is", () => {
    const limit = new ConcurrencyLimit(100);
    for (let call = 0; call < 300; call++) limit.answered("issueToken", 40 + (call % 7) * 15, limit.current);
    expect(limit.current).toBe(100);
  });

  it("holds no operation to the speed of another", () => {
    const limit = new ConcurrencyLimit(100);
    for (let call = 0; call < 200; call++) {
      limit.answered("issueToken", 50, limit.current);
      limit.answered("revokeTokens", 450, limit.current);
    }
    expect(limit.current).toBe(100);
  });

  it("takes for usual in the end what has become so", () => {
    const limit = new ConcurrencyLimit(100);
    answered(limit, 100, 50);
    answered(limit, 50, 300);
    expect(limit.current).toBeLessThan(50);
    answered(limit, 1000, 300);
    expect(limit.current).toBe(100);
  });

  it("tells how long a call takes when it is used up, which nobody knows of an operation that was never called", () => {
    const limit = new ConcurrencyLimit(4);
    answered(limit, 10, 3000);
    expect(limit.msPerCall("issueToken")).toBe(750);
    expect(limit.msPerCall("createIdentity")).toBe(0);
  });

  it("shrinks at each sign of overload, to 4 and no less", () => {
    const limit = new ConcurrencyLimit(100);
    limit.overloaded();
    expect(limit.current).toBe(18);
    for (let call = 0; call < 100; call++) limit.overloaded();
    expect(limit.current).toBe(4);
  });
});
