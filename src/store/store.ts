/**
 * What the gateway must not forget, in SQL through Kysely. One implementation; a dialect is all that differs between
 * databases. Whatever the database fails with surfaces as STORE_UNAVAILABLE.
 */
import { setImmediate as nextTurn, setTimeout } from "node:timers/promises";
import { type Dialect, Kysely, sql } from "kysely";
import type { StoreConfig } from "../config/config.js";
import { GatewayError, StartError } from "../errors.js";
import type { Tracing } from "../observe/tracing.js";
import { AttemptStore } from "./attempt-store.js";
import { AuditListing } from "./audit-listing.js";
import { AuditReader } from "./audit-reader.js";
import { AuditStore, type TrailDatabase } from "./audit-store.js";
import { AuditTail } from "./audit-tail.js";
import { isPostgres } from "./dialect.js";
import { isDamaged, isHeld, openSqlite, SqliteRows } from "./dialect-sqlite.js";
import { traceDialect } from "./dialect-traced.js";
import { ErasureStore } from "./erasure-store.js";
import { type IdentityRows, rowsOfSqlite, rowsTogether } from "./identity-rows.js";
import { type BeforeRecord, IdentityStore } from "./identity-store.js";
import { InventoryStore } from "./inventory-store.js";
import { KeyCheckStore } from "./key-check-store.js";
import { MappingStore } from "./mapping-store.js";
import { migrate, TooNewSchema } from "./migrations.js";
import { checkServer, nameDatabase } from "./postgres-server.js";
import { isNotAllowed, reasonOf } from "./reason.js";
import { INSERTS_OF_JSON, insertJson } from "./record-insert.js";
import type { Tables } from "./tables.js";
import { openWalSync, type WalSync } from "./wal-sync.js";
import { WorkStore } from "./work-store.js";

export interface Store {
  /** Newer: a later version of the gateway has been here, and this one can work with what it left. */
  readonly schema: "current" | "newer";
  readonly identities: IdentityStore;
  readonly attempts: AttemptStore;
  readonly work: WorkStore;
  readonly mappings: MappingStore;
  readonly inventory: InventoryStore;
  readonly audit: AuditStore;
  readonly auditReader: AuditReader;
  readonly auditTail: AuditTail;
  readonly listing: AuditListing;
  readonly erasures: ErasureStore;
  readonly keyChecks: KeyCheckStore;
  /** Resolves when the database answers, to the trail too, and is not one that takes no writes, such as a replica. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** Others are on their way while the server works on one: it waits for no answer, and the gateway not for the server. */
const TRAIL_WRITES_AT_ONCE = 3;
/** Smaller ones follow each other more closely than those of all that there is: while the server is at one, the next comes together. */
const ENOUGH_ON_POSTGRES = 16;
/** Behind each write there may be a look at the rows that its records are about, in up to three statements. */
const TRAIL_STATEMENTS_AT_ONCE = 4 * TRAIL_WRITES_AT_ONCE;

/** How long a change of the schema is tried for while others hold the tables, as a back-up does, and the pause between. */
const HELD_LIMIT_MS = 20_000;
const HELD_PAUSE_MS = 3000;

/** For the transaction alone. Postgres has one log: a record that is synced after it syncs it, too, with its stand-bys as with its disk. */
const UNSYNCED = sql<boolean>`set_config('synchronous_commit', 'off', true) is not null`;

/**
 * Opens the database and brings its schema up to date. Throws a `StartError` when it cannot, also for a server that is
 * away: a wrong address is seen at once, and whoever starts the gateway starts it again. An outage later is waited out.
 */
export async function openStore(config: StoreConfig, options: StoreOptions = {}): Promise<Store> {
  return config.kind === "sqlite"
    ? await openSqliteStore(config.file, options)
    : await openPostgresStore(config, options);
}

interface StoreOptions {
  readonly tracing?: Tracing | undefined;
  /** Somebody else uses the tables, and a change of the schema waits for them. */
  readonly onHeld?: ((reason: string) => void) | undefined;
}

async function openSqliteStore(file: string, { tracing, onHeld }: StoreOptions): Promise<Store> {
  const open = (dialect: Dialect) => new Kysely<Tables>({ dialect: traceDialect(dialect, "sqlite", tracing) });
  const database = open(openSqlite(file));
  return await orDestroy(database, async () => {
    // They are on disk together with what is written first. Lost with the power, they are made again at the next start.
    await sql`pragma synchronous = normal`.execute(database);
    const schema = await bringUpToDate(database, file, { isHeld, onHeld });
    await sql`pragma synchronous = full`.execute(database);
    const wal = await openWalSync(file, database);
    // Its own, whose syncs do not hold up the process. What is listed over it is on disk with the next records.
    const trail = wal && open(openSqlite(file, "trail"));
    // Without a log a reader would be in the way of who writes.
    const rows = wal && rowsOfSqlite(new SqliteRows(file), database, tracing);
    return storeOf(database, { database: trail ?? database, wal, schema, listsLater: true }, rows);
  });
}

/** The store on any dialect of Postgres; `name` is what messages call the database. */
export async function openStoreOn(dialect: Dialect, name: string): Promise<Store> {
  const database = new Kysely<Tables>({ dialect });
  return await orDestroy(database, async () => {
    const schema = await bringUpToDate(database, name);
    return storeOf(database, { database, schema, insert: insertJson });
  });
}

async function openPostgresStore(
  config: StoreConfig & { readonly kind: "postgres" },
  { tracing, onHeld }: StoreOptions,
): Promise<Store> {
  const { maxConnections, queueSize } = config;
  const url = config.url.reveal();
  // Loaded only when used.
  const { isPlanLost, isTableHeld, openPostgres } = await import("./dialect-postgres.js");
  const name = nameDatabase(url);
  const losses = { count: 0 };
  const open = (purpose: "requests" | "trail" | "migration", most: number) => {
    const ahead = { prepared: INSERTS_OF_JSON, atOnce: TRAIL_STATEMENTS_AT_ONCE };
    const options = { url, maxConnections: most, queueSize, purpose, losses, ...(purpose === "trail" && ahead) };
    const dialect = openPostgres(options);
    return new Kysely<Tables>({ dialect: traceDialect(dialect, "postgresql", tracing) });
  };
  const database = open("requests", maxConnections);
  return await orDestroy(database, async () => {
    await checkServer(database, name);
    const patient = open("migration", 1);
    const held = { isHeld: isTableHeld, onHeld };
    const schema = await bringUpToDate(patient, name, held).finally(() => patient.destroy());
    // Its own, so that no reads, however many and long, keep a record from being written; but those few that wait for a record.
    const forTrail = {
      insert: insertJson,
      writesAtOnce: TRAIL_WRITES_AT_ONCE,
      enoughForAWrite: ENOUGH_ON_POSTGRES,
      isNotRun: isPlanLost,
    };
    const trail = { database: open("trail", 1), ...forTrail };
    const rowsBehind = rowsTogether(trail.database);
    return storeOf(database, { ...trail, schema, unsynced: UNSYNCED, rowsBehind }, rowsTogether(database));
  });
}

async function orDestroy(database: Kysely<Tables>, work: () => Promise<Store>): Promise<Store> {
  try {
    return await work();
  } catch (error) {
    await database.destroy();
    throw error;
  }
}

async function bringUpToDate(
  database: Kysely<Tables>,
  name: string,
  { isHeld, onHeld }: Pick<StoreOptions, "onHeld"> & { readonly isHeld?: (error: unknown) => boolean } = {},
): Promise<"current" | "newer"> {
  for (let until: number | undefined; ; ) {
    try {
      return await migrate(database);
    } catch (error) {
      if (!isHeld?.(error)) throw notUpToDate(name, error);
      if (until === undefined) onHeld?.(reasonOf(error));
      until ??= performance.now() + HELD_LIMIT_MS;
      if (performance.now() > until) {
        throw new StartError(
          `The schema of the database ${name} cannot be brought up to date while somebody else, such as a back-up or a vacuum, uses its tables (${reasonOf(error)}): start the gateway again once that is through.`,
          { cause: error },
        );
      }
      await setTimeout(HELD_PAUSE_MS);
    }
  }
}

function notUpToDate(name: string, error: unknown): StartError {
  if (error instanceof TooNewSchema) {
    return new StartError(
      `A later version of the gateway has changed the schema of the database ${name} so that this version cannot use it: run the later version.`,
    );
  }
  return new StartError(
    `The schema of the database ${name} cannot be brought up to date (${reasonOf(error)}): ${cureOf(error)}.`,
    { cause: error },
  );
}

function cureOf(error: unknown): string {
  if (isNotAllowed(error))
    return "let this user create tables in the database's first schema, and make those of the gateway that are there this user's own";
  if ((error instanceof GatewayError && !isDamaged(error)) || isDiscarded(error))
    return "see to it that the database answers, and start the gateway again";
  return "restore a back-up, or name another with DATABASE_URL";
}

/** What is asked of a connection that was lost in the middle of a transaction, such as to take it back. */
function isDiscarded(error: unknown): boolean {
  return error instanceof Error && error.message === "Postgres connection has been discarded";
}

async function checkWritable(database: Kysely<Tables>): Promise<void> {
  // On a replica it is on, too.
  const value = isPostgres(database) ? sql<string>`current_setting('transaction_read_only')` : sql<string>`'off'`;
  const { rows } = await sql<{ isReadOnly: string }>`select ${value} as "isReadOnly"`.execute(database);
  if (rows[0]?.isReadOnly === "on") throw new Error("the database is read-only: a replica, or set to be");
}

interface Opened extends TrailDatabase {
  readonly wal?: WalSync | undefined;
  readonly schema: Store["schema"];
  /** A server keeps its indexes beside the gateway's work, and pays for a later change of a record with another copy of it. */
  readonly listsLater?: boolean;
  readonly unsynced?: BeforeRecord["unsynced"];
  /** Over the trail's connection, where that has one statement after the other. */
  readonly rowsBehind?: Pick<IdentityRows, "byId">;
}

function storeOf(database: Kysely<Tables>, trail: Opened, rows?: IdentityRows): Store {
  const all = [...new Set([database, trail.database])];
  const { unsynced, rowsBehind } = trail;
  // Where nothing is listed later, the trail's connection is for records and what is asked behind them; what somebody has marked is
  // listed all the same.
  const besideRecords = trail.listsLater ? trail.database : database;
  const listing = new AuditListing(besideRecords, trail.listsLater ?? false);
  return {
    schema: trail.schema,
    identities: new IdentityStore(database, rows, { database: besideRecords, unsynced }, rowsBehind),
    attempts: new AttemptStore(database),
    work: new WorkStore(database),
    mappings: new MappingStore(database),
    inventory: new InventoryStore(database),
    audit: new AuditStore(database, listing, { ...trail, sync: trail.wal?.sync }),
    auditReader: new AuditReader(database, (condition) => listing.listThose(condition)),
    auditTail: new AuditTail(database),
    listing,
    erasures: new ErasureStore(database),
    keyChecks: new KeyCheckStore(database),
    check: async () => {
      await Promise.all(all.map(checkWritable));
    },
    close: async () => {
      // What this turn of the event loop has asked for is read at its end.
      await nextTurn();
      rows?.close?.();
      await Promise.all(all.map((each) => each.destroy()));
      await trail.wal?.close();
    },
  };
}
