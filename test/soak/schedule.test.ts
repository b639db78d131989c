import { describe, expect, it } from "vitest";
import { FAULT_KINDS, scheduleOf } from "./schedule.js";

const lengthOf = (minutes: number, seed = 1) =>
  scheduleOf(seed, minutes).reduce((sum, { quietMs, lastsMs }) => sum + quietMs + lastsMs, 0) / 60_000;

describe("a schedule", () => {
  it("is the same for the same seed, and another for another", () => {
    expect(scheduleOf(7, 30)).toEqual(scheduleOf(7, 30));
    expect(scheduleOf(8, 30)).not.toEqual(scheduleOf(7, 30));
  });

  it("has each fault once before any comes twice, in a short run too", () => {
    expect(new Set(scheduleOf(1, 0.3).map(({ kind }) => kind))).toEqual(new Set(FAULT_KINDS));
    const kinds = scheduleOf(1, 30).map(({ kind }) => kind);
    expect(new Set(kinds.slice(0, FAULT_KINDS.length)).size).toBe(FAULT_KINDS.length);
    for (const kind of FAULT_KINDS) expect(kinds.filter((other) => other === kind).length).toBeGreaterThan(2);
  });

  it("fits into its time, and leaves time between two faults to recover and to be watched", () => {
    expect(lengthOf(30)).toBeLessThan(29);
    expect(lengthOf(30)).toBeGreaterThan(24);
    expect(lengthOf(0.3)).toBeLessThan(0.3);
    for (const { quietMs } of scheduleOf(1, 30)) expect(quietMs).toBeGreaterThan(20_000);
  });
});
