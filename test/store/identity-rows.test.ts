import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Kysely } from "kysely";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Place, SpanAbout, Tracing } from "../../src/observe/tracing.js";
import { openSqlite, type RowStatement, SqliteRows } from "../../src/store/dialect-sqlite.js";
import { type IdentityRows, rowsOfSqlite } from "../../src/store/identity-rows.js";
import { openStore } from "../../src/store/store.js";
import type { Tables } from "../../src/store/tables.js";

const USERS = 40;
const userOf = (index: number) => ({ issuer: "https://issuer.test", subject: `user-${index}` });

let folder: string;
let database: Kysely<Tables>;
let other: DatabaseSync;
let reader: SqliteRows;
/** How many rows were read at a time. */
let groups: number[];
let isBroken: boolean;
let rows: IdentityRows;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-identity-rows-"));
  const file = join(folder, "gateway.db");
  const store = await openStore({ kind: "sqlite", file });
  for (let index = 0; index < USERS; index++) await store.identities.claim(userOf(index), `idn_${index}`, 1);
  await store.close();
  other = new DatabaseSync(file);
  database = new Kysely<Tables>({ dialect: openSqlite(file) });
  reader = new SqliteRows(file);
  groups = [];
  isBroken = false;
  rows = rowsOfSqlite(watched(), database);
});
afterEach(async () => {
  reader.close();
  other.close();
  await database.destroy();
  rmSync(folder, { recursive: true });
});

function watched() {
  return {
    read: (statements: readonly RowStatement[]) => {
      groups.push(statements.length);
      if (isBroken) throw new Error("the disk is gone");
      return reader.read(statements);
    },
    close: () => {},
  };
}

const idsOf = async (found: Promise<unknown[]>) => (await found).map((row) => (row as { id?: string } | undefined)?.id);
const all = <Result>(ask: (index: number) => Result) => Array.from({ length: USERS }, (_, index) => ask(index));

it("what is asked for in one turn is read together, so many at a time, and everybody gets their own", async () => {
  const byUser = all((index) => rows.byUser(userOf(index)));
  const byId = all((index) => rows.byId(`idn_${index}`));
  const expected = all((index) => `idn_${index}`);
  expect(await idsOf(Promise.all(byUser))).toEqual(expected);
  expect(await idsOf(Promise.all(byId))).toEqual(expected);
  expect(groups).toEqual([16, 16, 16, 16, 16]);
  groups.length = 0;
  expect(await idsOf(Promise.all([rows.byId("idn_1"), rows.byId("idn_none"), rows.byId("idn_2")]))).toEqual([
    "idn_1",
    undefined,
    "idn_2",
  ]);
  expect(await idsOf(Promise.all([rows.byId("idn_3")]))).toEqual(["idn_3"]);
  expect(groups).toEqual([3, 1]);
});

it("a row is no older than the question", async () => {
  const status = "update identities set status = ? where id = 'idn_1'";
  await Promise.all(all((index) => rows.byId(`idn_${index}`)));
  const asked = Promise.all([rows.byId("idn_0"), rows.byId("idn_1")]);
  other.prepare(status).run("SUSPENDED");
  expect((await asked)[1]?.status).toBe("SUSPENDED");
  other.prepare(status).run("ACTIVE");
  expect((await Promise.all([rows.byId("idn_0"), rows.byId("idn_1")]))[1]?.status).toBe("ACTIVE");
});

it("what the quick connection cannot read is read by the other one, alone or together", async () => {
  isBroken = true;
  const asked = [rows.byId("idn_1"), rows.byUser(userOf(2)), rows.byId("idn_none")];
  expect(await idsOf(Promise.all(asked))).toEqual(["idn_1", "idn_2", undefined]);
  expect(await idsOf(Promise.all([rows.byId("idn_3")]))).toEqual(["idn_3"]);
  isBroken = false;
  expect(await idsOf(Promise.all([rows.byId("idn_4")]))).toEqual(["idn_4"]);
});

it("what fails leaves no transaction open, which would keep the log from being moved to the database", () => {
  const good = { text: "select id from identities where id = ?", parameters: ["idn_1"] };
  const bad = { text: "select abs(-9223372036854775808) as overflow where ? is not null", parameters: ["a"] };
  expect(() => reader.read([good, bad])).toThrow("integer overflow");
  expect(reader.read([good, good])).toEqual([{ id: "idn_1" }, { id: "idn_1" }]);
  other.exec("update identities set created_at = 2");
  expect(other.prepare("pragma wal_checkpoint(truncate)").get()).toMatchObject({ busy: 0 });
});

it("a trace is told of a read that is part of several", async () => {
  const places: Place[] = ["one", "other"].map((traceId) => ({ ids: { traceId, spanId: traceId } }));
  const joined: [string, readonly (Place | undefined)[]][] = [];
  const asking = [...places];
  const tracing: Pick<Tracing, "place" | "joined"> = {
    place: () => asking.shift(),
    joined: ({ name }: SpanAbout, of, run) => {
      joined.push([name, of]);
      return run();
    },
  };
  rows = rowsOfSqlite(watched(), database, tracing);
  const asked = Promise.all([rows.byId("idn_1"), rows.byUser(userOf(2))]);
  await nextTurn();
  expect(await idsOf(asked)).toEqual(["idn_1", "idn_2"]);
  expect(joined).toEqual([["SELECT identities", places]]);
});
