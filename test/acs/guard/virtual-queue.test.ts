import { describe, expect, it } from "vitest";
import { VirtualQueue } from "../../../src/acs/guard/virtual-queue.js";
import type { Priority } from "../../../src/acs/guard/waiting-line.js";
import type { ServiceOperation } from "../../../src/acs/service.js";

/** Places of so many who are sent away at `from`, a second each. */
function placesIn(queue: VirtualQueue, count: number, from: number, priority: Priority = "early"): number[] {
  return Array.from({ length: count }, () => placeOf(queue, "issueToken", from, priority));
}

function placeOf(queue: VirtualQueue, operation: ServiceOperation, from: number, priority: Priority): number {
  return queue.join({ operation, priority }, from, 1000) / 1000;
}

describe("the virtual queue", () => {
  it("gives each a place behind those before it, in each operation for itself", () => {
    const queue = new VirtualQueue();
    expect(placesIn(queue, 3, 5000)).toEqual([0, 1, 2]);
    expect(placeOf(queue, "createIdentity", 5000, "early")).toBe(0);
  });

  it("gets shorter as the first moves on, down to nothing", () => {
    const queue = new VirtualQueue();
    placesIn(queue, 10, 5000);
    expect(placesIn(queue, 2, 11_000)).toEqual([4, 5]);
    expect(placesIn(queue, 2, 60_000)).toEqual([0, 1]);
  });

  it("has nobody wait for who is less urgent", () => {
    const queue = new VirtualQueue();
    placesIn(queue, 5, 5000);
    expect(placesIn(queue, 2, 5000, "expiring")).toEqual([0, 1]);
    expect(placesIn(queue, 2, 5000)).toEqual([7, 8]);
    // Of whom more are ahead in the line.
    placesIn(queue, 1, 20_000);
    expect(placesIn(queue, 1, 5000, "expiring")).toEqual([2]);
  });

  it("begins anew when a minute is full", () => {
    const queue = new VirtualQueue();
    expect(placesIn(queue, 62, 5000).slice(-3)).toEqual([59, 0, 1]);
    placesIn(queue, 1000, 5000);
    expect(placesIn(queue, 1, 66_000)).toEqual([0]);
  });
});
