import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Identity } from "../../src/identities/identity.js";
import { openStore, type Store } from "../../src/store/store.js";
import { openWalSync } from "../../src/store/wal-sync.js";
import { TestWriter } from "../fixtures/audit.js";

let folder: string;
let file: string;
let store: Store;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-wal-"));
  file = join(folder, "gateway.db");
  store = await openStore({ kind: "sqlite", file });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await store.close();
  rmSync(folder, { recursive: true });
});

async function spyOnSync() {
  const handle = await open(join(folder, "any"), "w");
  const spy = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, "datasync");
  await handle.close();
  return spy;
}

function oneRecord() {
  const writer = new TestWriter("one");
  writer.add(1);
  return writer;
}

describe("records in SQLite", () => {
  it("are on disk before they are told as written: the log is synced after each commit, and once for many", async () => {
    const sync = await spyOnSync();
    await oneRecord().appendTo(store.audit);
    expect(sync).toHaveBeenCalledTimes(1);
    const many = new TestWriter("two");
    for (let number = 0; number < 200; number++) many.add(number);
    await store.audit.append(many.records);
    expect(sync).toHaveBeenCalledTimes(2);
  });

  it("are not told as written when the log cannot be synced", async () => {
    const sync = await spyOnSync();
    sync.mockRejectedValueOnce(Object.assign(new Error("EIO"), { code: "EIO" }));
    await expect(oneRecord().appendTo(store.audit)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });

  it("hold up nothing else while the log is synced", async () => {
    const sync = await spyOnSync();
    const { promise, resolve } = Promise.withResolvers<void>();
    sync.mockReturnValueOnce(promise);
    const appended = oneRecord().appendTo(store.audit);
    await expect.poll(() => sync.mock.calls.length).toBe(1);
    await store.identities.claim({ issuer: "i", subject: "s" }, "idn_1", 1);
    expect(await store.auditReader.count({}, 10)).toBe(1);
    resolve();
    await appended;
  });
});

describe("what is asked behind records in SQLite", () => {
  it("is answered while the log is synced, and as it is with them there", async () => {
    await store.identities.claim({ issuer: "i", subject: "s" }, "idn_1", 1);
    const sync = await spyOnSync();
    const { promise, resolve } = Promise.withResolvers<void>();
    sync.mockReturnValueOnce(promise);
    // Another process changes the row while the record waits for it.
    const other = new DatabaseSync(file);
    other.exec("begin immediate");
    let seen: Promise<Identity | undefined> | undefined;
    const behind = () => {
      seen = store.identities.findBehindRecord("idn_1");
    };
    const appended = store.audit.append(oneRecord().records, { behind });
    await setTimeout(50);
    other.exec("update identities set revocations = 7; commit");
    other.close();
    await expect.poll(() => sync.mock.calls.length).toBe(1);
    expect(await seen).toMatchObject({ revocations: 7 });
    resolve();
    await appended;
  });
});

describe("a database without a log", () => {
  it("is none whose log could be synced", async () => {
    expect(await openWalSync(join(folder, "other.db"))).toBeUndefined();
  });
});
