import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportTrail } from "../../src/commands/audit-export.js";
import { verifyTrail } from "../../src/commands/audit-verify.js";
import type { StoreConfig } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { StartError } from "../../src/errors.js";
import { secondsForIndexes } from "../../src/store/audit-archive.js";
import { openStore } from "../../src/store/store.js";
import { TestWriter } from "../fixtures/audit.js";
import { onPostgres } from "../fixtures/on-postgres.js";
import { TestDatabase } from "../fixtures/postgres.js";

const COUNT = 1100;

/** Each look at the clock is so much later than the one before. */
function output(stepMs: number) {
  const [printed, reported]: [string[], string[]] = [[], []];
  let now = 0;
  const print = async (line: string) => void printed.push(line);
  return {
    printed,
    reported,
    print,
    open: async () => ({ print, close: async () => {} }),
    report: (line: string) => void reported.push(line),
    now: () => {
      now += stepMs;
      return now;
    },
  };
}

async function fill(config: StoreConfig): Promise<void> {
  const store = await openStore(config);
  const writer = new TestWriter("one");
  for (let number = 0; number < COUNT; number++) writer.add(number);
  await writer.appendTo(store.audit);
  await store.close();
}

function onStore(name: string, open: () => Promise<{ store: StoreConfig; drop: () => Promise<void> }>): void {
  describe(`the trail on ${name}`, () => {
    let opened: Awaited<ReturnType<typeof open>>;

    beforeAll(async () => {
      opened = await open();
      await fill(opened.store);
    });
    afterAll(async () => {
      await opened.drop();
    });

    it("is verified with a word about it each second, and one at the end", async () => {
      const said = output(10);
      expect(await verifyTrail({ store: opened.store }, {}, said)).toBe(true);
      expect(said.printed).toEqual([`${COUNT} records of 1 writers, whole`]);
      // A look at the clock for each record: a hundred of them to the second.
      const indexes = name === "SQLite" ? [`${COUNT} records, and now the indexes, in about 1 s`] : [];
      expect(said.reported.slice(COUNT / 100, -2)).toEqual(indexes);
      expect(said.reported.slice(0, 2)).toEqual(["100 records", "200 records"]);
      expect(said.reported.at(-2)).toMatch(new RegExp(`^${COUNT} records of the database .+, done$`));
    });

    it("is not whole for being looked for in a database that no gateway has made, which stays as it is", async () => {
      const empty = await open();
      if (empty.store.kind === "sqlite") writeFileSync(empty.store.file, "");
      // A second time: the first has not made it either.
      for (const _ of [1, 2]) {
        const verified = verifyTrail({ store: empty.store }, {}, output(10));
        await expect(verified).rejects.toThrow("there is no table kysely_migration");
        await expect(verified).rejects.toBeInstanceOf(StartError);
      }
      await empty.drop();
    });

    it("is exported in the same way", async () => {
      const said = output(10);
      expect(await exportTrail(opened.store, { since: undefined, until: undefined, after: undefined }, said)).toBe(
        true,
      );
      expect(said.printed).toHaveLength(COUNT);
      expect(said.reported.at(-1)).toMatch(new RegExp(`^${COUNT} records of the database .+, done$`));
    });
  });
}

describe("a look at the indexes of a SQLite database", () => {
  it("is said to take the longer the more records there are", () => {
    expect([1, 1_000_000, 10_000_000].map(secondsForIndexes)).toEqual([1, 20, 200]);
  });
});

onStore("SQLite", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gateway-commands-"));
  return {
    store: { kind: "sqlite", file: join(folder, "gateway.db") },
    drop: async () => rmSync(folder, { recursive: true }),
  };
});

onPostgres("the trail", (server) => {
  const configOf = ({ url }: TestDatabase) =>
    ({ kind: "postgres", url: new Secret(url), maxConnections: 2, queueSize: 500 }) as const;

  onStore("a Postgres server", async () => {
    const database = await TestDatabase.create(server);
    return { store: configOf(database), drop: () => database.drop() };
  });

  describe("the trail on a Postgres server", () => {
    let database: TestDatabase;
    beforeAll(async () => {
      database = await TestDatabase.create(server);
      await (await openStore(configOf(database))).close();
      await database.ask("create function nothing() returns trigger language plpgsql as $$ begin return null; end $$");
    });
    afterAll(() => database.drop());

    it.each([
      [
        "a view is in its place",
        "alter table audit_events rename to kept; create view audit_events as select * from kept",
        "drop view audit_events; alter table kept rename to audit_events",
      ],
      [
        "a view is before it",
        'create schema other; create view other.audit_events as select * from public.audit_events; alter role current_user in database "DATABASE" set search_path = other, public',
        'drop schema other cascade; alter role current_user in database "DATABASE" reset search_path',
      ],
      [
        "it has row security",
        "alter table audit_events enable row level security, force row level security",
        "alter table audit_events no force row level security, disable row level security",
      ],
      ["another table goes on from it", "create table more () inherits (audit_events)", "drop table more"],
      ["it has a policy", "create policy few on audit_events using (sequence > 1)", "drop policy few on audit_events"],
      [
        "it has a rule",
        "create rule none as on insert to audit_events do instead nothing",
        "drop rule none on audit_events",
      ],
      [
        "it has a trigger",
        "create trigger none before insert on audit_events for each row execute function nothing()",
        "drop trigger none on audit_events",
      ],
    ])("is not called whole where %s", async (_, change, undo) => {
      const named = (sql: string) => sql.replaceAll("DATABASE", database.name);
      const verified = () => verifyTrail({ store: configOf(database) }, {}, output(10));
      await database.ask(named(change));
      await expect(verified()).rejects.toThrow("audit_events is no table, or triggers, rules or row security may");
      await database.ask(named(undo));
      expect(await verified()).toBe(true);
    });
  });

  it.each([
    [
      "its own",
      'alter database "DATABASE" set search_path = other, pg_catalog, public',
      'alter database "DATABASE" reset search_path',
    ],
    [
      "its own, of several lines,",
      `select set_config('search_path', E'other,\\npg_catalog,public', false); alter database "DATABASE" set search_path from current`,
      'alter database "DATABASE" reset search_path',
    ],
    [
      "another user's, in every database,",
      'create role "DATABASE_reader"; alter role "DATABASE_reader" set search_path = other, pg_catalog',
      'drop role "DATABASE_reader"',
    ],
    [
      "another user's",
      'create role "DATABASE_reader"; alter role "DATABASE_reader" in database "DATABASE" set search_path = other, "pg_catalog"',
      'drop role "DATABASE_reader"',
    ],
  ])(
    "the trail is not called whole where %s search_path has other operators before those of Postgres",
    async (_, change, undo) => {
      const database = await TestDatabase.create(server);
      const store = configOf(database);
      await fill(store);
      const named = (sql: string) => sql.replaceAll("DATABASE", database.name);
      await database.ask(`create schema other;
      create function other.eq(text, text) returns boolean language sql immutable
        as $$ select $1 operator(pg_catalog.=) $2 and $2 <> 'one' $$;
      create operator other.= (leftarg = text, rightarg = text, function = other.eq)`);
      expect(await verifyTrail({ store }, {}, output(10))).toBe(true);
      await database.ask(named(change));
      await expect(verifyTrail({ store }, {}, output(10))).rejects.toThrow(
        "a search_path has another schema before pg_catalog",
      );
      await database.ask(named(undo));
      expect(await verifyTrail({ store }, {}, output(10))).toBe(true);
      await database.drop();
    },
  );

  it("an export whose database goes away says after which record to go on", async () => {
    const database = await TestDatabase.create(server);
    const config: StoreConfig = {
      kind: "postgres",
      url: new Secret(database.url),
      maxConnections: 2,
      queueSize: 500,
    };
    await fill(config);
    let printed = 0;
    const print = async () => {
      if (++printed === 1000) await database.drop();
    };
    const exported = exportTrail(
      config,
      { since: undefined, until: undefined, after: undefined },
      { ...output(10), open: async () => ({ print, close: async () => {} }) },
    );
    await expect(exported).rejects.toThrow(StartError);
    await expect(exported).rejects.toThrow(
      /cannot be read any further \(.+\): .+\. Go on with --after aud_one_000000001000, into another file\.$/,
    );
    expect(printed).toBe(1000);
  });
});
