import { describe, expect, it } from "vitest";
import { Chance } from "../faults/random.js";
import { isLeak, type Sample, slopeOf } from "./slope.js";

const MINUTE_MS = 60_000;
const EVERY_MS = 5_000;
const LIMIT = 16;

/** A heap of some 40 MB that is collected now and then, with noise, and with what a leak adds by the hour. */
function heap(seed: number, minutes: number, leakPerHour: number): Sample[] {
  const chance = new Chance(seed);
  let garbage = 0;
  return Array.from({ length: (minutes * MINUTE_MS) / EVERY_MS }, (_, index) => {
    const at = index * EVERY_MS;
    garbage = garbage > 20 ? 0 : garbage + chance.next() * 6;
    return { at, value: 40 + garbage + chance.next() * 3 + (leakPerHour * at) / (60 * MINUTE_MS) };
  });
}

const look = (samples: readonly Sample[]) => slopeOf(samples, { windowMs: MINUTE_MS, of: "least" });
const SEEDS = Array.from({ length: 200 }, (_, seed) => seed);

describe("whether a figure grows", () => {
  it("is said of a planted leak, whatever the noise, about as large as it is", () => {
    for (const seed of SEEDS) {
      const slope = look(heap(seed, 25, 40));
      expect(slope && isLeak(slope, LIMIT), `seed ${seed}: ${JSON.stringify(slope)}`).toBe(true);
      expect(slope?.perHour).toBeGreaterThan(20);
      expect(slope?.perHour).toBeLessThan(60);
    }
  });

  it("is not said of noise", () => {
    const cries = SEEDS.filter((seed) => {
      const slope = look(heap(seed, 25, 0));
      return slope !== undefined && isLeak(slope, LIMIT);
    });
    expect(cries).toEqual([]);
  });

  it("is said of chance as often as 95 % allow, and no more, before the limit is looked at", () => {
    const grows = SEEDS.filter((seed) => (look(heap(seed, 25, 0))?.low ?? 0) > 0);
    expect(grows.length).toBeLessThan(SEEDS.length * 0.06);
  });

  it("is not said of growth below the limit, nor of what shrinks", () => {
    for (const leakPerHour of [6, -40]) {
      const slope = look(heap(1, 25, leakPerHour));
      expect(slope && isLeak(slope, LIMIT)).toBe(false);
    }
  });

  it("is not moved by single outliers", () => {
    const samples = heap(3, 25, 0).map((sample, index) => (index > 280 ? { ...sample, value: 400 } : sample));
    const slope = look(samples);
    expect(slope && isLeak(slope, LIMIT)).toBe(false);
  });

  it("is said of a handle that is left open every other minute, and not of ones that stay", () => {
    const handles = (more: (minute: number) => number) =>
      Array.from({ length: 25 * 12 }, (_, index) => ({
        at: index * EVERY_MS,
        value: 60 + more(Math.floor(index / 12)),
      }));
    const leaking = look(handles((minute) => Math.floor(minute / 2)));
    const steady = look(handles((minute) => minute % 3));
    expect(leaking && isLeak(leaking, 12)).toBe(true);
    expect(steady && isLeak(steady, 12)).toBe(false);
  });

  it("is left open when there are too few windows to say", () => {
    expect(look(heap(1, 9, 400))).toBeUndefined();
  });
});
