/**
 * A database, looked at as it is, for who wants to know whether the gateway can work on it. Nothing is changed: what is written
 * is rolled back, and a database that is not there is not made.
 */
import { existsSync } from "node:fs";
import { access, constants, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { Kysely, type RawBuilder, sql } from "kysely";
import type { StoreConfig } from "../config/config.js";
import { StartError } from "../errors.js";
import { openSqlite } from "./dialect-sqlite.js";
import { KeyCheckStore } from "./key-check-store.js";
import { type SchemaState, stateOfSchema } from "./migrations.js";
import { describeServer, LEAST_VERSION, nameDatabase } from "./postgres-server.js";
import type { Tables } from "./tables.js";

export interface StoreInspection {
  /** How a reader knows it. */
  readonly name: string;
  /** Rejects when it does not answer. */
  describe(): Promise<StoreDescription>;
  schema(): Promise<SchemaState>;
  /** By the server's clock, ms since 1970; undefined where that is this machine's. */
  clock(): Promise<number | undefined>;
  /** Adds a row and takes it back, and asks for the same right on each table. Rejects when it may not. */
  tryToWrite(): Promise<void>;
  /** What tells the keys that it was used with last, by their names; of a schema that has them. */
  keyChecks(): Promise<ReadonlyMap<string, string>>;
  /** Rejects when the next version could not change the schema. */
  tryToMakeTable(): Promise<void>;
  close(): Promise<void>;
}

interface StoreDescription {
  /** Such as `SQLite 3.50.0`. */
  readonly version: string;
  /** Why the gateway does not work with this version; undefined: it does. */
  readonly tooOld: string | undefined;
  /** Such as `UTF8`. */
  readonly encoding: string;
  readonly keepsEveryText: boolean;
}

/** Opens it to read. Throws a `StartError` for a SQLite file that cannot be opened. */
export async function inspectStore(config: StoreConfig): Promise<StoreInspection> {
  return config.kind === "sqlite" ? inspectSqlite(config.file) : await inspectPostgres(config);
}

function inspectSqlite(file: string): StoreInspection {
  const database = new Kysely<Tables>({ dialect: openSqlite(file, "reading") });
  return {
    name: file,
    describe: async () => {
      const encoding = await readText(database, sql`select encoding as value from pragma_encoding`);
      const version = await readText(database, sql`select sqlite_version() as value`);
      return { version: `SQLite ${version}`, tooOld: undefined, encoding, keepsEveryText: true };
    },
    schema: () => stateOfSchema(database),
    clock: async () => undefined,
    tryToWrite: async () => {
      const writing = new Kysely<Tables>({ dialect: openSqlite(file, "writing") });
      await rolledBack(writing, writeToAll).finally(() => writing.destroy());
    },
    keyChecks: () => new KeyCheckStore(database).all(),
    tryToMakeTable: async () => {},
    close: () => database.destroy(),
  };
}

async function inspectPostgres(config: StoreConfig & { readonly kind: "postgres" }): Promise<StoreInspection> {
  const { openPostgres } = await import("./dialect-postgres.js");
  const url = config.url.reveal();
  const dialect = openPostgres({ ...config, url, maxConnections: 1, purpose: "requests" });
  const database = new Kysely<Tables>({ dialect });
  return {
    name: nameDatabase(url),
    describe: async () => {
      const { version, encoding } = await describeServer(database);
      const isOld = version < LEAST_VERSION * 10_000;
      return {
        version: `Postgres ${Math.floor(version / 10_000)}`,
        tooOld: isOld ? `the gateway needs version ${LEAST_VERSION} or later` : undefined,
        encoding,
        keepsEveryText: encoding === "UTF8",
      };
    },
    schema: () => stateOfSchema(database),
    clock: async () =>
      Number(await readText(database, sql`select round(extract(epoch from clock_timestamp()) * 1000)::text as value`)),
    tryToWrite: async () => {
      await refuseReadOnly(database);
      await rolledBack(database, writeToAll);
    },
    keyChecks: () => new KeyCheckStore(database).all(),
    tryToMakeTable: async () => {
      await refuseReadOnly(database);
      await rolledBack(database, (transaction) =>
        transaction.schema.createTable("doctor").addColumn("id", "integer").execute(),
      );
    },
    close: () => database.destroy(),
  };
}

/** No right that could be granted is what is missing there. */
async function refuseReadOnly(database: Kysely<Tables>): Promise<void> {
  if ((await readText(database, sql`select current_setting('transaction_read_only') as value`)) === "off") return;
  throw new StartError(
    "The database is read-only, as a replica is, or set to be: name the primary in DATABASE_URL, or take the setting back.",
  );
}

async function readText(database: Kysely<Tables>, query: RawBuilder<unknown>): Promise<string> {
  const { rows } = await (query as RawBuilder<{ value: string }>).execute(database);
  return rows[0]?.value ?? "unknown";
}

/** Whether a SQLite file is there; rejects when it is not and could not be made. */
export async function findFile(file: string): Promise<boolean> {
  if (existsSync(file)) return true;
  await access(nearestFolder(file), constants.W_OK | constants.X_OK);
  return false;
}

/** Bytes that are free where a file is, or would be. */
export async function freeBytes(file: string): Promise<number> {
  const { bavail, bsize } = await statfs(existsSync(file) ? file : nearestFolder(file));
  return bavail * bsize;
}

/** The folder of the file, or the one in which that would be made. */
function nearestFolder(file: string): string {
  let folder = dirname(resolve(file));
  while (!existsSync(folder)) folder = dirname(folder);
  return folder;
}

/** Each with a column. */
const TABLES: Readonly<Record<keyof Tables, string>> = {
  identities: "id",
  provisioning_attempts: "id",
  service_work: "communication_user_id",
  audit_events: "id",
  audit_erasures: "identity_id",
  audit_dropped: "writer",
  audit_writers: "writer",
  key_checks: "name",
};

/** A row in one table. Of the others, statements that find nothing to change: the database asks for the right to all the same. */
async function writeToAll(transaction: Kysely<Tables>): Promise<unknown> {
  await transaction.insertInto("audit_writers").values({ writer: "doctor", written_at: 0 }).execute();
  for (const [name, column] of Object.entries(TABLES)) {
    const [table, id] = [sql.table(name), sql.ref(column)];
    await sql`insert into ${table} select * from ${table} where 1 = 0`.execute(transaction);
    await sql`update ${table} set ${id} = ${id} where 1 = 0`.execute(transaction);
    await sql`delete from ${table} where 1 = 0`.execute(transaction);
  }
  return undefined;
}

/** Ends a transaction that has shown what it was to show. */
class RolledBack extends Error {}

async function rolledBack(database: Kysely<Tables>, work: (transaction: Kysely<Tables>) => Promise<unknown>) {
  const done = database.transaction().execute(async (transaction) => {
    await work(transaction);
    throw new RolledBack();
  });
  await done.catch((error: unknown) => {
    if (!(error instanceof RolledBack)) throw error;
  });
}
