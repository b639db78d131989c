import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { inTime, inTimeOrAborted, waitAtMost } from "../src/in-time.js";

const never = new Promise<never>(() => {});
const failing = Promise.reject(new Error("broken"));
failing.catch(() => {});

describe("work that is waited for", () => {
  it("has its result, and its failure, when it ends in time", async () => {
    expect(await inTime(Promise.resolve(1), 1000, "late")).toBe(1);
    expect(await inTimeOrAborted(async () => 2, 1000, "late")).toBe(2);
    expect(await waitAtMost(Promise.resolve(3), 1000)).toBe(3);
    await expect(inTime(failing, 1000, "late")).rejects.toThrow("broken");
    await expect(inTimeOrAborted(() => failing, 1000, "late")).rejects.toThrow("broken");
    await expect(waitAtMost(failing, 1000)).rejects.toThrow("broken");
  });

  it("is given up when it does not", async () => {
    await expect(inTime(never, 10, "late")).rejects.toThrow("late");
    expect(await waitAtMost(never, 10)).toBeUndefined();
  });

  it("is aborted when it is given up, and what it makes of that is of no interest", async () => {
    let ended: unknown;
    const work = async (deadline: AbortSignal) =>
      await setTimeout(60_000, undefined, { signal: deadline }).catch((error: unknown) => {
        ended = error;
        throw error;
      });
    await expect(inTimeOrAborted(work, 10, "late")).rejects.toThrow("late");
    await expect.poll(() => ended).toMatchObject({ name: "AbortError" });
  });

  it("keeps no timer once it has ended", async () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = timers();
    await Promise.all([inTime(Promise.resolve(), 60_000, "late"), waitAtMost(Promise.resolve(), 60_000)]);
    expect(timers()).toBe(before);
  });
});
