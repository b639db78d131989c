/**
 * Fills a database with a long trail, by the store's own append. Durability is relaxed meanwhile and the secondary indexes are
 * made at the end, by the very statements that the migrations made them by: filling is not what is measured. What is there
 * already is gone on from.
 */
import { setImmediate } from "node:timers/promises";
import { type Kysely, sql } from "kysely";
import type { StoreConfig } from "../../src/config/config.js";
import { AuditStore } from "../../src/store/audit-store.js";
import { migrate } from "../../src/store/migrations.js";
import type { Tables } from "../../src/store/tables.js";
import { openToFill } from "../filling.js";
import { Progress } from "../progress.js";
import { Writers } from "./events.js";

/** SQLite takes 32,766 parameters in a statement, of which a record has 21. */
const BATCH = 1500;
const BATCHES = 20;

type Say = (line: string) => void;

export async function fillTrail(config: StoreConfig, total: number, say: Say): Promise<void> {
  const database = await openToFill(config, SQL[config.kind].hurry);
  try {
    await migrate(database);
    await sql.raw(SQL[config.kind].keepIndexes).execute(database);
    await addRecords(database, total, say);
    await makeIndexes(database, say);
    await sql.raw(SQL[config.kind].finish).execute(database);
  } finally {
    await database.destroy();
  }
}

/** The table of indexes that are yet to be made outlasts a run that is broken off. */
const SQL = {
  sqlite: {
    hurry: ["pragma cache_size = -500000"],
    keepIndexes: `create table if not exists bench_indexes as select name, sql as ddl from sqlite_master
      where type = 'index' and tbl_name = 'audit_events' and sql is not null`,
    // No statistics: the gateway has none on SQLite.
    finish: "pragma wal_checkpoint(truncate)",
  },
  postgres: {
    hurry: ["set maintenance_work_mem = '1GB'"],
    keepIndexes: `create table if not exists bench_indexes as select indexname as name, indexdef as ddl from pg_indexes
      where schemaname = current_schema() and tablename = 'audit_events' and indexname <> 'audit_events_pkey'`,
    // As autovacuum does in the time in which a trail grows so long.
    finish: "vacuum (analyze) audit_events",
  },
} as const;

async function addRecords(database: Kysely<Tables>, total: number, say: Say): Promise<void> {
  const { count } = await database
    .selectFrom("audit_events")
    .select(({ fn }) => fn.countAll<number | string>().as("count"))
    .executeTakeFirstOrThrow();
  let done = Number(count);
  if (done >= total) return;
  for (const { name } of await pendingIndexes(database))
    await sql.raw(`drop index if exists ${name}`).execute(database);
  const writers = new Writers(total, endOf);
  const progress = new Progress({ what: "records", total, say }, done);
  let next = await writers.next(database, done, Math.min(BATCH, total - done));
  while (done < total) {
    await database.transaction().execute(async (transaction) => {
      const store = new AuditStore(transaction);
      for (let batch = 0; batch < BATCHES && next.length > 0; batch++) {
        const appended = store.append(next);
        await setImmediate();
        done += next.length;
        // While a server is at the one batch, the next is made.
        next = await writers.next(transaction, done, Math.min(BATCH, total - done));
        await appended;
      }
    });
    progress.at(done);
  }
}

async function endOf(database: Kysely<Tables>, writer: string) {
  return await database
    .selectFrom("audit_events")
    .select(["writer", "sequence", "hash", "at"])
    .where("id", ">", `aud_${writer}_`)
    .where("id", "<", `aud_${writer}_a`)
    .orderBy("id", "desc")
    .limit(1)
    .executeTakeFirst();
}

async function makeIndexes(database: Kysely<Tables>, say: Say): Promise<void> {
  for (const { name, ddl } of await pendingIndexes(database)) {
    say(`makes the index ${name}`);
    await database.transaction().execute(async (transaction) => {
      await sql.raw(`drop index if exists ${name}`).execute(transaction);
      await sql.raw(ddl).execute(transaction);
      await sql`delete from bench_indexes where name = ${name}`.execute(transaction);
    });
  }
}

async function pendingIndexes(database: Kysely<Tables>): Promise<{ name: string; ddl: string }[]> {
  return (await sql<{ name: string; ddl: string }>`select name, ddl from bench_indexes order by name`.execute(database))
    .rows;
}
