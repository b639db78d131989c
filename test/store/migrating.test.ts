import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Client } from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Secret } from "../../src/config/secret.js";
import { openStore } from "../../src/store/store.js";
import { POSTGRES_URL } from "../fixtures/postgres.js";
import { NO_SMALL_DISK, SmallDisk } from "../fixtures/small-disk.js";
import { askFile } from "../fixtures/trail.js";
import { type OldDatabase, restorePostgres, restoreSqlite } from "../fixtures/versions/database.js";
import { EARLIER_VERSIONS, RESOURCE } from "../fixtures/versions/versions.js";

/** What comes after it takes indexes from the table that has to be there for records. */
const WITH_MORE_INDEXES = EARLIER_VERSIONS[6];

const PATIENCE = { timeout: 20_000, interval: 20 };
const WAITING = `select 1 from pg_locks where mode = 'AccessExclusiveLock' and not granted
  and database = (select oid from pg_database where datname = current_database())`;
const INDEXES = "select name from sqlite_master where type = 'index' and name like 'audit_events_a%' order by name";

describe("the schema of a SQLite database", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "gateway-migrating-"));
    file = join(folder, "gateway.db");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is as it was when a change of it has failed in the middle, and is changed by the next start", async () => {
    restoreSqlite(EARLIER_VERSIONS[4], file, RESOURCE);
    const database = new DatabaseSync(file);
    const before = askFile(file, "select name, sql from sqlite_master order by name");
    // In the way of the second statement of 0007.
    database.exec("create index audit_writers_written_at on identities (created_at)");
    await expect(openStore({ kind: "sqlite", file })).rejects.toThrow("audit_writers_written_at already exists");
    database.exec("drop index audit_writers_written_at");
    database.close();
    expect(askFile(file, "select name, sql from sqlite_master order by name")).toEqual(before);
    await (await openStore({ kind: "sqlite", file })).close();
    expect(askFile(file, INDEXES)).toMatchObject([
      { name: "audit_events_action" },
      { name: "audit_events_actor_action" },
      { name: "audit_events_at" },
    ]);
  });

  it.skipIf(NO_SMALL_DISK)(`that finds no room is refused with that for the reason${NO_SMALL_DISK}`, async () => {
    const disk = SmallDisk.mount(1);
    try {
      const full = join(disk.folder("data"), "gateway.db");
      restoreSqlite(EARLIER_VERSIONS[2], full, RESOURCE);
      // The log is there, and has no room for more.
      const other = new DatabaseSync(full);
      other.exec("pragma journal_mode = wal; create table other (id)");
      disk.fill();
      await expect(openStore({ kind: "sqlite", file: full })).rejects.toThrow(
        /\((database or disk is full|disk I\/O error)\)/,
      );
      disk.free();
      other.close();
      await (await openStore({ kind: "sqlite", file: full })).close();
    } finally {
      disk.close();
    }
  });

  it("is made once by processes that start at the same time", async () => {
    const stores = await Promise.all(Array.from({ length: 3 }, () => openStore({ kind: "sqlite", file })));
    expect(stores.map(({ schema }) => schema)).toEqual(["current", "current", "current"]);
    await Promise.all(stores.map((store) => store.close()));
  });
});

if (POSTGRES_URL === undefined) {
  describe("the schema of a Postgres database", () => {
    it.skip("left out: TEST_POSTGRES_URL is not set");
  });
} else {
  onServer(POSTGRES_URL);
}

/** What a back-up has, and what takes a table that has to be there for records. */
function onServer(server: string): void {
  describe("the schema of a Postgres database that somebody reads all the time, as a back-up does", () => {
    let database: OldDatabase;
    let reader: Client;
    let recorder: Client;
    beforeEach(async () => {
      database = await restorePostgres(WITH_MORE_INDEXES, server, RESOURCE);
      reader = new Client({ connectionString: database.url });
      recorder = new Client({ connectionString: database.url });
      await Promise.all([reader.connect(), recorder.connect()]);
      await reader.query("begin");
      await reader.query("select count(*) from audit_events");
    });
    afterEach(async () => {
      await Promise.all([reader.end(), recorder.end()]);
      await database.drop();
    });

    const open = (onHeld?: (reason: string) => void) =>
      openStore({ kind: "postgres", url: new Secret(database.url), maxConnections: 2, queueSize: 10 }, { onHeld });
    /** An instance of the version before writes records meanwhile. Answers how long the slowest took, in ms. */
    async function recordUntil(isOver: () => boolean): Promise<number> {
      let slowest = 0;
      while (!isOver()) {
        const begin = performance.now();
        await recorder.query("insert into audit_events select * from audit_events where false");
        slowest = Math.max(slowest, performance.now() - begin);
      }
      return slowest;
    }

    it("is changed once that is through, and nobody who records waits for it too long", {
      timeout: 60_000,
    }, async () => {
      let isOpen = false;
      const opening = open().finally(() => {
        isOpen = true;
      });
      const recording = recordUntil(() => isOpen);
      const waiting = () => database.ask(WAITING);
      await expect.poll(waiting, PATIENCE).toHaveLength(1);
      await expect.poll(waiting, PATIENCE).toHaveLength(0);
      expect(isOpen).toBe(false);
      await reader.query("commit");
      await (await opening).close();
      // The trail gives up a record after 2 seconds.
      expect(await recording).toBeLessThan(2000);
      expect(await database.ask("select from pg_indexes where indexname = 'audit_events_actor'")).toEqual([]);
    });

    it("is given up when that takes long, and what is in the way is said at first and in the end", {
      timeout: 60_000,
    }, async () => {
      const held: string[] = [];
      await expect(open((reason) => held.push(reason))).rejects.toThrow(
        /cannot be brought up to date while somebody else, such as a back-up or a vacuum, uses its tables \(canceling statement due to lock timeout\): start the gateway again once that is through\.$/,
      );
      expect(held).toEqual(["canceling statement due to lock timeout"]);
    });
  });
}
