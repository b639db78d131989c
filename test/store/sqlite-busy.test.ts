import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openStore, type Store } from "../../src/store/store.js";
import { TestWriter } from "../fixtures/audit.js";
import { lockFile } from "../fixtures/trail.js";

const unavailable = { code: "STORE_UNAVAILABLE" };

let folder: string;
let store: Store;
let release: (() => Promise<void>) | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-busy-"));
  store = await openStore({ kind: "sqlite", file: join(folder, "gateway.db") });
});
afterEach(async () => {
  await release?.();
  await store.close();
  rmSync(folder, { recursive: true });
});

const lock = () => {
  release = lockFile(join(folder, "gateway.db"));
};
const unlock = async () => {
  await release?.();
  release = undefined;
};
const write = async (writer: string) => {
  const chain = new TestWriter(writer);
  chain.add(0);
  await chain.appendTo(store.audit);
};

describe("a SQLite database to which another process writes", () => {
  it("is waited for, and the process does other things meanwhile", async () => {
    lock();
    const done: string[] = [];
    const writing = write("one").then(() => done.push("written"));
    for (let turn = 0; turn < 5; turn++) await setTimeout(20);
    done.push("other things");
    await unlock();
    await writing;
    expect(done).toEqual(["other things", "written"]);
  });

  it("is waited for again long after it was given up, though nothing was written between", async () => {
    lock();
    await expect(write("first")).rejects.toMatchObject(unavailable);
    await unlock();
    await setTimeout(1200);
    lock();
    const writing = write("second");
    await setTimeout(50);
    await unlock();
    await writing;
  });

  it("is given up by all who wait when that takes long, not by one after the other, and is asked again", async () => {
    lock();
    const started = performance.now();
    const refused = await Promise.allSettled(Array.from({ length: 30 }, (_, number) => write(`${number}`)));
    expect(refused).toEqual(
      refused.map(() => expect.objectContaining({ reason: expect.objectContaining(unavailable) })),
    );
    expect(performance.now() - started).toBeLessThan(10_000);
    await unlock();
    await write("after");
    lock();
    const waiting = write("patient again");
    await setTimeout(50);
    await unlock();
    await waiting;
  });

  it("is read as ever", async () => {
    lock();
    expect(await store.work.count()).toBe(0);
  });
});
