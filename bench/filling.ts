import { Kysely, sql } from "kysely";
import type { StoreConfig } from "../src/config/config.js";
import { openPostgres } from "../src/store/dialect-postgres.js";
import { openSqlite } from "../src/store/dialect-sqlite.js";
import type { Tables } from "../src/store/tables.js";

/** Filling is not what is measured. */
const HURRY = { sqlite: "pragma synchronous = off", postgres: "set synchronous_commit = off" } as const;

/** The database, over one connection that is in a hurry; `more` are statements for that, too. */
export async function openToFill(config: StoreConfig, more: readonly string[] = []): Promise<Kysely<Tables>> {
  const dialect =
    config.kind === "sqlite"
      ? openSqlite(config.file)
      : openPostgres({ url: config.url.reveal(), maxConnections: 1, queueSize: 500, purpose: "migration" });
  const database = new Kysely<Tables>({ dialect });
  for (const statement of [HURRY[config.kind], ...more]) await sql.raw(statement).execute(database);
  return database;
}
