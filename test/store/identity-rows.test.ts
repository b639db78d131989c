import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PGlite } from "@electric-sql/pglite";
import { type Dialect, Kysely, PGliteDialect } from "kysely";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openPostgres } from "../../src/store/dialect-postgres.js";
import { openSqlite, type RowStatement, SqliteRows } from "../../src/store/dialect-sqlite.js";
import { type IdentityRows, rowsOfSqlite, rowsTogether } from "../../src/store/identity-rows.js";
import { IdentityStore } from "../../src/store/identity-store.js";
import { migrate } from "../../src/store/migrations.js";
import { openStore } from "../../src/store/store.js";
import type { Tables } from "../../src/store/tables.js";
import { onPostgres } from "../fixtures/on-postgres.js";
import { TestDatabase } from "../fixtures/postgres.js";

const USERS = 150;
const userOf = (index: number) => ({ issuer: `https://issuer-${index % 2}.test`, subject: `user-${index}` });
const idOf = (index: number) => `idn_${index}`;

interface Opened {
  readonly rows: IdentityRows;
  readonly database: Kysely<Tables>;
  close(): Promise<void>;
}

const idsOf = async (found: readonly Promise<{ readonly id: string } | undefined>[]) =>
  (await Promise.all(found)).map((row) => row?.id);
const everybody = <Result>(ask: (index: number) => Result) => Array.from({ length: USERS }, (_, index) => ask(index));

function identityRowsConformance(name: string, open: () => Promise<Opened>): void {
  describe(`rows that are read together on ${name}`, () => {
    let opened: Opened;
    let rows: IdentityRows;
    beforeAll(async () => {
      opened = await open();
      rows = opened.rows;
      await migrate(opened.database);
      const identities = new IdentityStore(opened.database);
      for (let index = 0; index < USERS; index++) await identities.claim(userOf(index), idOf(index), 1);
    }, 60_000);
    afterAll(() => opened.close());

    it("are each for who asked, however many ask at once", async () => {
      const all = everybody(idOf);
      const [byUser, byId] = await Promise.all([
        idsOf(everybody((index) => rows.byUser(userOf(index)))),
        idsOf(everybody((index) => rows.byId(idOf(index)))),
      ]);
      expect([byUser, byId]).toEqual([all, all]);
    });

    it("are for several who ask for the same, and for nobody who asks for what is not there", async () => {
      const asked = [rows.byId("idn_1"), rows.byId("idn_none"), rows.byId("idn_1"), rows.byId("idn_2")];
      expect(await idsOf(asked)).toEqual(["idn_1", undefined, "idn_1", "idn_2"]);
      const strangers = [rows.byUser({ issuer: userOf(1).issuer, subject: userOf(2).subject }), rows.byUser(userOf(3))];
      expect(await idsOf(strangers)).toEqual([undefined, "idn_3"]);
      expect(await idsOf([rows.byId("idn_4")])).toEqual(["idn_4"]);
    });

    it("are no older than the question, whoever has asked before in the same turn", async () => {
      for (const revocations of [1, 2, 3]) {
        const before = rows.byId("idn_0");
        await opened.database.updateTable("identities").set({ revocations }).where("id", "=", "idn_1").execute();
        const asked = [rows.byId("idn_1"), rows.byUser(userOf(1))];
        expect((await Promise.all(asked)).map((row) => row?.revocations)).toEqual([revocations, revocations]);
        await before;
      }
    });
  });
}

async function openOnDisk(watch: (rows: SqliteRows) => Pick<SqliteRows, "read" | "close"> = (rows) => rows) {
  const folder = mkdtempSync(join(tmpdir(), "gateway-identity-rows-"));
  const file = join(folder, "gateway.db");
  const database = new Kysely<Tables>({ dialect: openSqlite(file) });
  const rows = rowsOfSqlite(watch(new SqliteRows(file)), database);
  const close = async () => {
    rows.close?.();
    await database.destroy();
    rmSync(folder, { recursive: true });
  };
  return { rows, database, file, close };
}

async function openOn(dialect: Dialect, drop: () => Promise<void> = async () => {}): Promise<Opened> {
  const database = new Kysely<Tables>({ dialect });
  const close = async () => {
    await database.destroy();
    await drop();
  };
  return { rows: rowsTogether(database), database, close };
}

identityRowsConformance("SQLite", () => openOnDisk());
identityRowsConformance("Postgres in process (PGlite)", () => openOn(new PGliteDialect({ pglite: new PGlite() })));

onPostgres("rows that are read together", (server) => {
  identityRowsConformance("a Postgres server", async () => {
    const database = await TestDatabase.create(server);
    const options = { url: database.url, maxConnections: 5, queueSize: 500, purpose: "requests" } as const;
    return await openOn(openPostgres(options), () => database.drop());
  });
});

describe("rows that are read together on SQLite alone", () => {
  /** How many were read at a time. */
  let groups: number[];
  let isBroken: boolean;
  let opened: Awaited<ReturnType<typeof openOnDisk>>;
  const watched = (rows: SqliteRows) => ({
    read: (statements: readonly RowStatement[]) => {
      groups.push(statements.length);
      if (isBroken) throw new Error("the disk is gone");
      return rows.read(statements);
    },
    close: () => rows.close(),
  });

  beforeEach(async () => {
    groups = [];
    isBroken = false;
    opened = await openOnDisk(watched);
    await migrate(opened.database);
    const identities = new IdentityStore(opened.database);
    for (let index = 0; index < 40; index++) await identities.claim(userOf(index), idOf(index), 1);
  });
  afterEach(() => opened.close());

  it("are so many at a time, as who waits for more holds what a request has taken", async () => {
    const ids = Array.from({ length: 40 }, (_, index) => idOf(index));
    expect(await idsOf(ids.map((id) => opened.rows.byId(id)))).toEqual(ids);
    expect(groups).toEqual([16, 16, 8]);
  });

  it("come by the other connection where the quick one fails, alone or together", async () => {
    const { rows } = opened;
    isBroken = true;
    expect(await idsOf([rows.byId("idn_1"), rows.byUser(userOf(2)), rows.byId("idn_none")])).toEqual([
      "idn_1",
      "idn_2",
      undefined,
    ]);
    expect(await idsOf([rows.byId("idn_3")])).toEqual(["idn_3"]);
    isBroken = false;
    expect(await idsOf([rows.byId("idn_4")])).toEqual(["idn_4"]);
  });

  it("leave no transaction open when one fails, which would keep the log from being moved to the database", () => {
    const reader = new SqliteRows(opened.file);
    const good = { text: "select id from identities where id = ?", parameters: ["idn_1"] };
    const bad = { text: "select abs(-9223372036854775808) as overflow where ? is not null", parameters: ["a"] };
    expect(() => reader.read([good, bad])).toThrow("integer overflow");
    expect(reader.read([good, good])).toEqual([{ id: "idn_1" }, { id: "idn_1" }]);
    const other = new DatabaseSync(opened.file);
    other.exec("update identities set created_at = 2");
    expect(other.prepare("pragma wal_checkpoint(truncate)").get()).toMatchObject({ busy: 0 });
    other.close();
    reader.close();
  });
});

it("a store that is closed has read what was asked of it before", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gateway-closed-rows-"));
  const store = await openStore({ kind: "sqlite", file: join(folder, "gateway.db") });
  await store.identities.claim(userOf(1), "idn_1", 1);
  const asked = Array.from({ length: 20 }, () => store.identities.findById("idn_1"));
  await store.close();
  expect(await idsOf(asked)).toEqual(new Array(20).fill("idn_1"));
  rmSync(folder, { recursive: true });
});
