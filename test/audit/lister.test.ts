import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Lister } from "../../src/audit/lister.js";

/** More than one look. */
const A_WHILE_MS = 1300;
const PATIENCE_MS = 5000;
/** More than may wait for the process to have time. */
const MANY = 52_000;
const AT_A_TIME = 500;

/** So many that are not listed. */
class Records {
  readonly chunks: number[] = [];
  asked = 0;
  fault: Error | undefined;

  constructor(public left: number) {}

  async count(): Promise<number> {
    this.asked += 1;
    if (this.fault) throw this.fault;
    return this.left;
  }

  emptied = 0;

  async emptyLog(): Promise<void> {
    this.emptied += 1;
  }

  async list(milliseconds: number): Promise<number> {
    this.chunks.push(milliseconds);
    const listed = Math.min(this.left, AT_A_TIME);
    this.left -= listed;
    return listed;
  }
}

let utilization: number;
let failures: unknown[];
let lister: Lister;
beforeEach(() => {
  [utilization, failures] = [0, []];
});
afterEach(() => lister.stop());

function start(records: Records): void {
  const observe = { failed: (error: unknown) => failures.push(error), works: () => {} };
  lister = new Lister({ listing: records, utilization: () => utilization, observe });
  lister.start();
}

describe("records that are not listed", () => {
  it("are listed in short steps, all of them, while the process has little else to do", async () => {
    const records = new Records(3000);
    start(records);
    await expect.poll(() => records.left, { timeout: PATIENCE_MS }).toBe(0);
    expect(records.chunks).toHaveLength(3000 / AT_A_TIME);
    await expect.poll(() => records.emptied).toBeGreaterThan(0);
    expect(Math.max(...records.chunks)).toBeLessThanOrEqual(5);
  });

  it("are not counted again for each step, as that takes as long as to list some", async () => {
    const records = new Records(10_000);
    start(records);
    await expect.poll(() => records.left, { timeout: PATIENCE_MS }).toBe(0);
    expect(records.chunks).toHaveLength(10_000 / AT_A_TIME);
    expect(records.asked).toBeLessThan(records.chunks.length / 2);
  });

  it("wait while the process is busy, until it is no more", async () => {
    utilization = 0.9;
    const records = new Records(3000);
    start(records);
    await setTimeout(A_WHILE_MS);
    expect([records.chunks, records.emptied]).toEqual([[], 0]);
    utilization = 0.1;
    await expect.poll(() => records.left, { timeout: PATIENCE_MS }).toBe(0);
  });

  it("are listed beside whatever else there is to do once they are many, for longer the more they are, and no further", async () => {
    utilization = 1;
    const records = new Records(MANY);
    start(records);
    await setTimeout(A_WHILE_MS);
    const [first = 0, last = 0] = [records.chunks[0], records.chunks.at(-1)];
    expect(first).toBeGreaterThan(last);
    expect(last).toBeGreaterThanOrEqual(20);
    expect(records.left).toBe(50_000);
  });

  it("are tried again not at once when that fails, and the failure is told once", async () => {
    const records = new Records(1);
    records.fault = new Error("away");
    start(records);
    await setTimeout(A_WHILE_MS);
    expect([failures, records.asked]).toEqual([[records.fault], 1]);
    records.fault = undefined;
  });

  it("are listed at a stop, for as long as that may take", async () => {
    utilization = 1;
    const [few, endless] = [new Records(3000), new Records(Number.POSITIVE_INFINITY)];
    start(few);
    await lister.stop();
    expect(few.left).toBe(0);
    start(endless);
    const began = performance.now();
    await lister.stop();
    expect(performance.now() - began).toBeLessThan(PATIENCE_MS);
  });

  it("are counted again when a reader has listed them", async () => {
    utilization = 1;
    const records = new Records(MANY);
    start(records);
    await expect.poll(() => records.left, { timeout: PATIENCE_MS }).toBe(50_000);
    const steps = records.chunks.length;
    records.left = 0;
    await lister.stop();
    expect(records.chunks.length - steps).toBeLessThanOrEqual(1);
  });

  it("keep no gateway from stopping when the database is away", async () => {
    const records = new Records(3000);
    start(records);
    records.fault = new Error("away");
    await lister.stop();
    expect(failures).toEqual([records.fault]);
  });
});
