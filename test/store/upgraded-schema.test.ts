import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StoreConfig } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { openStore } from "../../src/store/store.js";
import { POSTGRES_URL, TestDatabase } from "../fixtures/postgres.js";
import { type Ask, askFile } from "../fixtures/trail.js";
import { restorePostgres, restoreSqlite } from "../fixtures/versions/database.js";
import { EARLIER_VERSIONS, worksOnPostgres } from "../fixtures/versions/versions.js";

/** Tables without the text that made them, for a column that was added later stands elsewhere in it. */
const OF_SQLITE = `
  select name, iif(type = 'table', '', sql) as definition,
    (select json_group_array(json_array(c.name, c.type, c."notnull", c.dflt_value, c.pk)) from pragma_table_info(m.name) c)
      as columns
  from sqlite_master m order by type, name`;

const OF_POSTGRES = `
  select table_name || '.' || column_name as name,
    concat_ws(' ', ordinal_position, data_type, collation_name, is_nullable, column_default) as definition
    from information_schema.columns where table_schema = 'public'
  union all select indexname, indexdef from pg_indexes where schemaname = 'public'
  union all select conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
    from pg_constraint where connamespace = 'public'::regnamespace
  order by 1, 2`;

/** As this version has it once it has opened the database. */
async function schemaOf(config: StoreConfig, ask: Ask): Promise<unknown[]> {
  const store = await openStore(config);
  await store.close();
  return await ask(config.kind === "sqlite" ? OF_SQLITE : OF_POSTGRES);
}

describe("the schema of a database that was upgraded is that of a new one, on SQLite", () => {
  let folder: string;
  let expected: unknown[];
  const read = async (file: string) => await schemaOf({ kind: "sqlite", file }, async (sql) => askFile(file, sql));

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "gateway-schema-"));
    expected = await read(join(folder, "new.db"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(EARLIER_VERSIONS.map((version) => [version.schema, version] as const))("from %s", async (name, version) => {
    const file = join(folder, `${name}.db`);
    restoreSqlite(version, file, "resource.example.com");
    expect(await read(file)).toEqual(expected);
  });
});

const leftOut = POSTGRES_URL === undefined ? " (left out: TEST_POSTGRES_URL is not set)" : "";

describe.skipIf(leftOut)(
  `the schema of a database that was upgraded is that of a new one, on Postgres${leftOut}`,
  () => {
    let expected: unknown[];
    const read = async ({ url, ask }: { url: string; ask: Ask }) =>
      await schemaOf({ kind: "postgres", url: new Secret(url), maxConnections: 2, queueSize: 500 }, ask);

    beforeAll(async () => {
      const database = await TestDatabase.create(POSTGRES_URL ?? "");
      try {
        expected = await read({ url: database.url, ask: (sql) => database.ask(sql) });
      } finally {
        await database.drop();
      }
    });

    it.each(EARLIER_VERSIONS.filter(worksOnPostgres).map((version) => [version.schema, version] as const))(
      "from %s",
      async (_, version) => {
        const database = await restorePostgres(version, POSTGRES_URL ?? "", "resource.example.com");
        try {
          expect(await read(database)).toEqual(expected);
        } finally {
          await database.drop();
        }
      },
    );
  },
);
