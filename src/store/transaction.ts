import type { Kysely, Transaction } from "kysely";
import type { Tables } from "./tables.js";

/** Runs the work in one transaction: the one that is under way, or a new one. */
export async function inTransaction<Result>(
  database: Kysely<Tables>,
  work: (transaction: Kysely<Tables>) => Promise<Result>,
): Promise<Result> {
  if (database.isTransaction) return await work(database as Transaction<Tables>);
  return await database.transaction().execute(work);
}

/** Runs reads that all see the database as it is at one instant, whatever others write meanwhile. */
export async function atOneInstant<Result>(
  database: Kysely<Tables>,
  work: (transaction: Kysely<Tables>) => Promise<Result>,
): Promise<Result> {
  return await database.transaction().setIsolationLevel("repeatable read").execute(work);
}
