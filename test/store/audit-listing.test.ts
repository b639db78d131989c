import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AuditFilter } from "../../src/audit/query.js";
import { recordId } from "../../src/audit/record.js";
import { openStore, type Store } from "../../src/store/store.js";
import { TestWriter } from "../fixtures/audit.js";
import { askFile, lockFile } from "../fixtures/trail.js";

const actor = { issuer: "https://i.example.com", subject: "subject" };
const LISTED = {
  audit_events_identity_action: "identity_id, action",
  audit_events_actor_action: "actor_issuer, actor_subject, action",
  audit_events_fingerprint: "token_fingerprint",
};
const byListed: AuditFilter[] = [
  { identityId: "idn_1" },
  { identityId: "idn_1", action: ["TOKEN_ISSUED"], phase: "OUTCOME" },
  { actor },
  { actor, action: ["TOKEN_ISSUED"] },
  { tokenFingerprint: "fp" },
];
const byTime: AuditFilter[] = [{}, { phase: "OUTCOME" }, { action: ["TOKEN_ISSUED"] }, { since: 0, until: 9_000_000 }];

let folder: string;
let file: string;
let store: Store;
let writer: TestWriter;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-listing-"));
  file = join(folder, "gateway.db");
  store = await openStore({ kind: "sqlite", file });
  writer = new TestWriter("one");
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

async function append(count: number): Promise<void> {
  const begin = writer.records.length;
  for (let number = 0; number < count; number++) {
    writer.add(1000 + writer.records.length, { identityId: "idn_1", actor, tokenFingerprint: "fp", reason: "because" });
  }
  for (let start = begin; start < writer.records.length; start += 250) {
    await store.audit.append(writer.records.slice(start, start + 250));
  }
}
const read = async (filter: AuditFilter) =>
  (await store.auditReader.page({ filter, limit: 10_000, backward: true })).map(({ id }) => id);
const ids = () => writer.records.map(recordId).reverse();

describe("the log", () => {
  it("is emptied into the file, which then has all of it by itself", async () => {
    const copied = () => {
      copyFileSync(file, join(folder, "copy.db"));
      const copy = new DatabaseSync(join(folder, "copy.db"));
      try {
        return copy.prepare("select count(*) as count from audit_events").get()?.count;
      } finally {
        copy.close();
      }
    };
    await store.listing.emptyLog();
    await append(20);
    expect(copied()).toBe(0);
    await store.listing.emptyLog();
    expect(copied()).toBe(20);
  });
});

describe("records in SQLite", () => {
  it("are durable without a page of an index by user, identity or token being written", async () => {
    await append(3);
    expect(await store.listing.count()).toBe(3);
    for (const index of Object.keys(LISTED)) {
      const sql = `select count(*) as count from audit_events indexed by ${index} where listed = 1`;
      expect(askFile(file, sql)).toEqual([{ count: 0 }]);
    }
  });

  it.each(byListed)("are read by %j as soon as they are durable", async (filter) => {
    for (let round = 0; round < 2; round++) {
      await append(30);
      expect(await read(filter)).toEqual(ids());
      await append(1);
      expect(await store.auditReader.count(filter, 100)).toBe(writer.records.length);
    }
  });

  it.each(byTime)("are read by %j without being listed", async (filter) => {
    await append(5);
    expect(await read(filter)).toEqual(ids());
    expect(await store.auditReader.count(filter, 100)).toBe(5);
    expect((await store.auditReader.walk().next()).value?.records).toHaveLength(5);
    expect(await store.auditReader.findByIds(ids())).toHaveLength(5);
    expect(await store.listing.count()).toBe(5);
  });

  it("are listed for who reads by them and left as they are otherwise, however many", async () => {
    await append(500);
    const other = new TestWriter("other");
    for (let number = 0; number < 3; number++) other.add(2000 + number, { identityId: "idn_2", actor });
    await other.appendTo(store.audit);
    expect(await read({ identityId: "idn_2" })).toHaveLength(3);
    expect(await store.listing.count()).toBe(500);
    expect(await read({ identityId: "idn_1", actor })).toEqual(ids());
    expect(await store.listing.count()).toBe(0);
  });

  it("are listed in steps, between which the process goes on, and found whole by all who read meanwhile", async () => {
    await append(3000);
    let [turns, isOver] = [0, false];
    const others = (async () => {
      for (; !isOver; turns++) await setImmediate();
    })();
    const found = await Promise.all(Array.from({ length: 10 }, () => store.auditReader.count({ actor }, 5000)));
    isOver = true;
    await others;
    expect(new Set(found)).toEqual(new Set([3000]));
    expect(turns).toBeGreaterThan(2);
  });

  it("are each read by whoever asks after it, however many come and go meanwhile", async () => {
    const rounds = Array.from({ length: 20 }, async (_, round) => {
      const own = new TestWriter(`w${round}`);
      for (let number = 1; number <= 10; number++) {
        own.add(number, { actor, identityId: `idn_${round}` });
        await store.audit.append(own.records.slice(-1));
        expect(await store.auditReader.count({ identityId: `idn_${round}` }, 100)).toBe(number);
      }
    });
    await Promise.all(rounds);
  });

  it("are listed oldest first", async () => {
    await append(100);
    await store.listing.list(4);
    const listed = askFile<{ id: string }>(file, "select id from audit_events where listed = 1 order by id");
    expect(listed.map(({ id }) => id)).toEqual(writer.records.slice(0, 40).map(recordId));
  });

  it("are listed identity by identity, in the order in which those come up, however much of it has been done by others", async () => {
    const identities = Array.from({ length: 10 }, (_, index) => `idn_${index}`);
    for (let round = 0; round < 6; round++) {
      for (const identityId of identities) writer.add(1000 + writer.records.length, { identityId, actor });
    }
    writer.add(2000, { identityId: null, actor: null });
    await store.audit.append(writer.records);
    const unlisted = async () => {
      const rows = askFile<{ identity_id: string }>(
        file,
        "select distinct identity_id from audit_events where listed = 0",
      );
      return rows.map(({ identity_id }) => identity_id);
    };
    await store.listing.list(1.2);
    // Sixteen, the fewest that are listed at a time: two identities, and four records of the third.
    expect(await store.listing.count()).toBe(45);
    expect((await unlisted()).sort()).toEqual([...identities.slice(2), null].sort());
    await read({ identityId: "idn_3" });
    await read({ identityId: "idn_9" });
    while ((await store.listing.count()) > 0) await store.listing.list(4);
    expect(await read({ actor })).toEqual(ids().slice(1));
  });

  it("are listed at most twice as many at a time as before, however quick that was", async () => {
    await append(1000);
    const now = vi.spyOn(performance, "now").mockReturnValue(0);
    try {
      const sizes: number[] = [];
      for (let step = 0; step < 4; step++) sizes.push(await store.listing.list(5));
      expect(sizes).toEqual([50, 100, 200, 400]);
    } finally {
      now.mockRestore();
    }
  });

  it("are listed by one statement, which stays in memory, however many at a time", async () => {
    const prepare = vi.spyOn(DatabaseSync.prototype, "prepare");
    for (let count = 1; count < 60; count++) {
      await append(count);
      if (count % 2 === 0) await read({ actor });
      else while ((await store.listing.count()) > 0) await store.listing.list(count / 4);
    }
    const texts = prepare.mock.calls.map(([text]) => text).filter((text) => text.startsWith('update "audit_events"'));
    prepare.mockRestore();
    expect(texts).toHaveLength(1);
  });

  it("are found to be erased as soon as they are durable", async () => {
    await append(2);
    expect(await store.audit.eraseActor(actor, "idn_1")).toBe(true);
    await append(2);
    expect(await store.audit.eraseAbout("idn_1", () => true)).toBeUndefined();
    const left = "select id from audit_events where actor_subject is not null or reason is not null";
    expect(askFile(file, left)).toHaveLength(0);
  });

  it("are kept and read by time while another process keeps them from being listed, and by user after", async () => {
    await append(5);
    const release = lockFile(file);
    await expect(read({ actor })).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(await read({})).toEqual(ids());
    await release();
    expect(await read({ actor })).toEqual(ids());
  });

  it("are read as ever when somebody has taken them off the lists", async () => {
    await append(5);
    expect(await read({ actor })).toEqual(ids());
    const database = new DatabaseSync(file);
    database.exec("update audit_events set listed = 0 where sequence in (1, 4)");
    database.close();
    expect(await read({ actor })).toEqual(ids());
    expect(await store.listing.count()).toBe(0);
  });
});

describe("a database of the version before", () => {
  it("keeps its records, which are listed", async () => {
    await append(5);
    await store.close();
    const database = new DatabaseSync(file);
    database.exec("drop index audit_events_unlisted");
    const dropped = {
      audit_events_identity: "identity_id",
      audit_events_actor: "actor_issuer, actor_subject",
      audit_events_phase: "phase",
    };
    for (const [index, columns] of Object.entries({ ...LISTED, ...dropped })) {
      database.exec(`drop index if exists ${index}; create index ${index} on audit_events (${columns}, at, id)`);
    }
    database.exec("alter table audit_events drop column listed; delete from kysely_migration where name >= '0006'");
    database.exec("drop table audit_writers; drop table key_checks");
    database.close();
    store = await openStore({ kind: "sqlite", file });
    expect(await store.listing.count()).toBe(0);
    expect(await read({ actor })).toEqual(ids());
    await append(1);
    expect(await store.listing.count()).toBe(1);
    expect(await read({ actor })).toEqual(ids());
  });
});
