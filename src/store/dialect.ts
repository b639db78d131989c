import { type Kysely, PostgresAdapter } from "kysely";

/** For the few statements that the databases have no common form of. */
export function isPostgres<Tables>(database: Kysely<Tables>): boolean {
  return database.getExecutor().adapter instanceof PostgresAdapter;
}
