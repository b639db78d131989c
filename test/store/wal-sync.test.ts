import { copyFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import type { Kysely } from "kysely";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { verifyTrail } from "../../src/commands/audit-verify.js";
import type { Identity } from "../../src/identities/identity.js";
import { openStore, type Store } from "../../src/store/store.js";
import type { Tables } from "../../src/store/tables.js";
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

function recordOf(name: string) {
  const writer = new TestWriter(name);
  writer.add(1);
  return writer;
}

describe("records in SQLite", () => {
  it("are on disk before they are told as written: the log is synced after each commit, and once for many", async () => {
    const sync = await spyOnSync();
    await recordOf("one").appendTo(store.audit);
    expect(sync).toHaveBeenCalledTimes(1);
    const many = new TestWriter("two");
    for (let number = 0; number < 200; number++) many.add(number);
    await store.audit.append(many.records);
    expect(sync).toHaveBeenCalledTimes(2);
  });

  it("are not told as written when the log cannot be synced", async () => {
    const sync = await spyOnSync();
    sync.mockRejectedValueOnce(Object.assign(new Error("EIO"), { code: "EIO" }));
    await expect(recordOf("one").appendTo(store.audit)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
  });

  describe("after a sync of the log that failed", () => {
    /** In the file alone, as it is on the disk whatever became of the log. */
    function inFile(): number {
      const copy = join(folder, "copy.db");
      copyFileSync(file, copy);
      const database = new DatabaseSync(copy);
      const { count } = database.prepare("select count(*) as count from audit_events").get() as { count: number };
      database.close();
      return count;
    }
    const append = (name: string) => store.audit.append(recordOf(name).records);
    const unavailable = { code: "STORE_UNAVAILABLE" };
    async function failingOnce() {
      const sync = await spyOnSync();
      return sync.mockRejectedValueOnce(Object.assign(new Error("EIO"), { code: "EIO" }));
    }

    it("are in the database's file before the next one is told as written, and then in a new log", async () => {
      const sync = await failingOnce();
      await expect(append("one")).rejects.toMatchObject(unavailable);
      await append("two");
      expect(inFile()).toBe(2);
      expect(statSync(`${file}-wal`).size).toBe(0);
      expect(sync).toHaveBeenCalledTimes(1);
      await append("three");
      expect(sync).toHaveBeenCalledTimes(2);
      expect(inFile()).toBe(2);
    });

    it("are not told as written while somebody reads the log, and once nobody does the trail is whole", async () => {
      await failingOnce();
      await expect(append("one")).rejects.toMatchObject(unavailable);
      const reader = new DatabaseSync(file);
      reader.exec("begin; select * from audit_events");
      for (const name of ["two", "three"]) await expect(append(name)).rejects.toMatchObject(unavailable);
      reader.close();
      await append("four");
      expect(inFile()).toBe(4);
      const output = { print: async () => {}, report: () => {}, now: () => 0 };
      expect(await verifyTrail({ store: { kind: "sqlite", file } }, {}, output)).toBe(true);
    });

    it("are not told as written by another sync at the same time, which may know nothing of it", async () => {
      const sync = await spyOnSync();
      const syncs = ["one", "two"].map(() => {
        const { promise, ...end } = Promise.withResolvers<void>();
        sync.mockReturnValueOnce(promise);
        return end;
      });
      const first = expect(append("one")).rejects.toMatchObject(unavailable);
      const second = append("two");
      await expect.poll(() => sync.mock.calls.length).toBe(2);
      syncs[0]?.reject(new Error("EIO"));
      syncs[1]?.resolve();
      await Promise.all([first, second]);
      expect(inFile()).toBe(2);
    });

    it("are not told as written before it is on the disk that the log is empty", async () => {
      const sync = await failingOnce();
      await expect(append("one")).rejects.toMatchObject(unavailable);
      const whole = vi.spyOn(sync.mock.contexts[0] as FileHandle, "sync").mockRejectedValueOnce(new Error("EIO"));
      await expect(append("two")).rejects.toMatchObject(unavailable);
      await append("three");
      expect(whole).toHaveBeenCalledTimes(2);
    });
  });

  it("hold up nothing else while the log is synced", async () => {
    const sync = await spyOnSync();
    const { promise, resolve } = Promise.withResolvers<void>();
    sync.mockReturnValueOnce(promise);
    const appended = recordOf("one").appendTo(store.audit);
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
    const appended = store.audit.append(recordOf("one").records, { behind });
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
    const unopened = {} as Kysely<Tables>;
    expect(await openWalSync(join(folder, "other.db"), unopened)).toBeUndefined();
  });
});
