import { beforeEach, describe, expect, it } from "vitest";
import { LOOK_EVERY_MS, Load, type LoadWatcher } from "../../src/http/load.js";

let now: number;
let told: unknown[];
let unread: number;
beforeEach(() => {
  [now, unread] = [0, 0];
  told = [];
});

const watcher: LoadWatcher = {
  onShed: (reason) => told.push(reason),
  onShedding: (signs) => told.push(["shedding", signs]),
  onSheddingOver: (count) => told.push(["shedding over", count]),
  onOverloaded: (signs) => told.push(["overloaded", signs]),
  onOverloadOver: () => told.push("overload over"),
};

function loadOf({ maxRequests = 10, unreadyAtPercent = 80, requestTimeoutMs = 10_000 } = {}): Load {
  const clock = { elapsed: () => now, watcher };
  return new Load({ maxRequests, unreadyAtPercent, requestTimeoutMs, unread: () => unread, ...clock });
}

/** So much time passes, in which the process is late with each look by `lateMs`. */
function pass(load: Load, milliseconds: number, lateMs = 0): void {
  for (const end = now + milliseconds; now < end; ) {
    now += LOOK_EVERY_MS + lateMs;
    load.look();
  }
}

function fill(load: Load, count: number): void {
  for (let n = 0; n < count; n++) load.enter();
}

function empty(load: Load, count: number): void {
  for (let n = 0; n < count; n++) load.leave();
}

describe("requests under way", () => {
  it("are as many as the bound and no more, and one that ends makes room for another", () => {
    const load = loadOf({ maxRequests: 2 });
    expect([load.enter(), load.enter(), load.enter()]).toEqual([undefined, undefined, "full"]);
    expect(load.underWay).toBe(2);
    load.leave();
    expect([load.enter(), load.enter()]).toEqual([undefined, "full"]);
  });

  it("are not begun when they may have waited unseen for half of their time, until the process is back in time", () => {
    const load = loadOf({ requestTimeoutMs: 4000 });
    pass(load, 1, 2000);
    expect(load.enter()).toBeUndefined();
    pass(load, 1, 2001);
    expect(load.enter()).toBe("late");
    pass(load, 1);
    expect(load.enter()).toBeUndefined();
  });
});

describe("refusals", () => {
  it("are told once when they begin and once when there have been none for five seconds", () => {
    const load = loadOf({ maxRequests: 1, unreadyAtPercent: 0 });
    fill(load, 3);
    pass(load, 3000);
    fill(load, 2);
    pass(load, 4900);
    expect(told.filter(Array.isArray)).toEqual([["shedding", { underWay: 1, unread: 0, lateMs: 0 }]]);
    pass(load, 200);
    expect(told.filter(Array.isArray).slice(1)).toEqual([["shedding over", 4]]);
    pass(load, 10_000);
    expect(told.filter(Array.isArray)).toHaveLength(2);
  });
});

describe("an overload", () => {
  it("is one after a second of four fifths of the bound, and is over after a second of less than two fifths", () => {
    const load = loadOf();
    fill(load, 8);
    pass(load, 1000);
    expect(load.isOverloaded).toBe(false);
    pass(load, 100);
    expect(load.isOverloaded).toBe(true);
    empty(load, 4);
    pass(load, 5000);
    expect(load.isOverloaded).toBe(true);
    empty(load, 1);
    pass(load, 1000);
    expect(load.isOverloaded).toBe(true);
    pass(load, 100);
    expect(load.isOverloaded).toBe(false);
    expect(told).toEqual([["overloaded", { underWay: 8, unread: 0, lateMs: 0 }], "overload over"]);
  });

  it("is one, too, when few are under way as connections that may have more are not read", () => {
    const load = loadOf();
    fill(load, 3);
    unread = 5;
    pass(load, 1100);
    expect(told).toEqual([["overloaded", { underWay: 3, unread: 5, lateMs: 0 }]]);
    unread = 0;
    pass(load, 1100);
    expect(load.isOverloaded).toBe(false);
  });

  it("is none when it lasts for less than a second", () => {
    const load = loadOf();
    for (let times = 0; times < 10; times++) {
      fill(load, 8);
      pass(load, 900);
      empty(load, 8);
      pass(load, 100);
    }
    expect(load.isOverloaded).toBe(false);
  });

  it("is one, too, when requests are refused though few are under way whenever one looks", () => {
    const load = loadOf({ maxRequests: 5 });
    for (let times = 0; times < 12; times++) {
      fill(load, 6);
      empty(load, 5);
      pass(load, 100);
    }
    expect(load.isOverloaded).toBe(true);
  });

  it("is one, too, when the process falls behind by half a second again and again, and not when it stood still once", () => {
    const load = loadOf();
    pass(load, 1, 3000);
    pass(load, 1000);
    expect(load.isOverloaded).toBe(false);
    pass(load, 2000, 500);
    expect(load.isOverloaded).toBe(true);
    pass(load, 1200);
    expect(load.isOverloaded).toBe(false);
  });

  it("is never one where that is turned off", () => {
    const load = loadOf({ unreadyAtPercent: 0 });
    fill(load, 11);
    pass(load, 5000, 1000);
    expect(load.isOverloaded).toBe(false);
  });
});
