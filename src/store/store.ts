/**
 * What the gateway must not forget, in SQL through Kysely. One implementation; a dialect is all that differs between
 * databases. Whatever the database fails with surfaces as STORE_UNAVAILABLE.
 */
import { Kysely, sql } from "kysely";
import type { Config } from "../config/config.js";
import { StartError } from "../errors.js";
import { openSqlite } from "./dialect-sqlite.js";
import { IdentityStore } from "./identity-store.js";
import { migrate } from "./migrations.js";
import type { Tables } from "./tables.js";

export interface Store {
  readonly identities: IdentityStore;
  /** Resolves when the database answers. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the database and brings its schema up to date. Throws a `StartError` when it cannot. */
export async function openStore({ file }: Config["store"]): Promise<Store> {
  const database = new Kysely<Tables>({ dialect: openSqlite(file) });
  try {
    await migrate(database);
  } catch (error) {
    await database.destroy();
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    const why = cause instanceof Error ? cause.message : "unknown error";
    throw new StartError(
      `The schema of the database ${file} cannot be brought up to date (${why}): restore a back-up, or name another with DATABASE_URL.`,
      {
        cause: error,
      },
    );
  }
  return {
    identities: new IdentityStore(database),
    check: async () => {
      await sql`select 1`.execute(database);
    },
    close: () => database.destroy(),
  };
}
