/**
 * The audit trail, or the mappings, in a database that is opened as it is, for who checks it or copies it: nothing is written, and no schema is
 * brought up to date, which would hide what is gone from it.
 */
import { existsSync } from "node:fs";
import { type Dialect, Kysely, sql } from "kysely";
import type { StoreConfig } from "../config/config.js";
import { GatewayError, StartError } from "../errors.js";
import { AuditReader } from "./audit-reader.js";
import { openSqlite } from "./dialect-sqlite.js";
import { InventoryStore } from "./inventory-store.js";
import { MappingStore } from "./mapping-store.js";
import { faultOfSchema, isEmpty, whyNotForAll } from "./migrations.js";
import { checkServer, nameDatabase } from "./postgres-server.js";
import { isNotAllowed, reasonOf } from "./reason.js";
import type { Tables } from "./tables.js";

interface Archive {
  /** The database, as messages call it. */
  readonly name: string;
  close(): Promise<void>;
}

export interface AuditArchive extends Archive {
  readonly reader: AuditReader;
  /** Nothing is heard of it meanwhile. SQLite alone can tell. */
  readonly faultOfIndexes: (() => Promise<string | undefined>) | undefined;
}

const RECORDS_A_SECOND = 50_000;

/** About how long it takes to look at the indexes of so many records. */
export function secondsForIndexes(records: number): number {
  return Math.max(1, Math.ceil(records / RECORDS_A_SECOND));
}

/** The gateway has never been started on it. */
export class EmptyDatabase extends StartError {}

/** For who runs the command, where it is the database that failed, with what is to be done then; any other error as it is. */
export function brokenOff(error: unknown, { name }: Archive, goOn: string): unknown {
  if (!(error instanceof GatewayError)) return error;
  const why = `The database ${name} cannot be read any further (${reasonOf(error)})`;
  return new StartError(`${why}: see to it that it answers, or restore a back-up. ${goOn}.`, { cause: error });
}

/** Throws a `StartError` when the database is not there, or has not the schema of this version. */
export async function openAuditArchive(config: StoreConfig): Promise<AuditArchive> {
  const what = "The audit trail";
  const { database, ...archive } = await openAsItIs(config, what);
  const why = await whyNotForAll(database);
  if (why !== undefined) {
    await archive.close();
    const cure = "take those away, restore a back-up, or name another with DATABASE_URL";
    throw new StartError(`${what} in the database ${archive.name} cannot be read (${why}): ${cure}.`);
  }
  const faultOfIndexes = config.kind === "sqlite" ? () => faultOfIndexesIn(database) : undefined;
  return { ...archive, reader: new AuditReader(database), faultOfIndexes };
}

/** What is in the table and not in an index is kept from whoever reads along that. */
async function faultOfIndexesIn(database: Kysely<Tables>): Promise<string | undefined> {
  const { rows } = await sql<{ said: string }>`
    select integrity_check as said from pragma_integrity_check('audit_events') limit 1`.execute(database);
  const [first] = rows;
  return first?.said === "ok" ? undefined : (first?.said ?? "nothing");
}

export interface MappingArchive extends Archive {
  readonly mappings: MappingStore;
  readonly inventory: InventoryStore;
}

/** As for the trail. */
export async function openMappingArchive(config: StoreConfig): Promise<MappingArchive> {
  const { database, ...archive } = await openAsItIs(config, "What is");
  return { ...archive, mappings: new MappingStore(database), inventory: new InventoryStore(database) };
}

async function openAsItIs(config: StoreConfig, what: string): Promise<Archive & { readonly database: Kysely<Tables> }> {
  const { dialect, name } = await dialectOf(config);
  const database = new Kysely<Tables>({ dialect });
  try {
    if (config.kind === "postgres") await checkServer(database, name);
    await checkSchema(database, name, what);
    return { database, name, close: () => database.destroy() };
  } catch (error) {
    await database.destroy();
    throw error;
  }
}

async function dialectOf(config: StoreConfig): Promise<{ readonly dialect: Dialect; readonly name: string }> {
  if (config.kind === "postgres") {
    const { openPostgres } = await import("./dialect-postgres.js");
    const url = config.url.reveal();
    const dialect = openPostgres({ ...config, url, purpose: "requests" });
    return { dialect, name: nameDatabase(url) };
  }
  const { file } = config;
  // To open one that is not there would make it, empty and whole.
  if (!existsSync(file)) {
    throw new StartError(`There is no database ${file}: name it with DATABASE_URL=sqlite:FILE.`);
  }
  return { dialect: openSqlite(file, "reading"), name: file };
}

async function checkSchema(database: Kysely<Tables>, name: string, what: string): Promise<void> {
  let cure = "use the version of the gateway that serves it, restore a back-up, or name another with DATABASE_URL";
  const fault = await faultOfSchema(database).catch((error: unknown) => {
    if (isNotAllowed(error)) cure = "let this user read the gateway's tables, or name their owner in DATABASE_URL";
    return reasonOf(error);
  });
  if (fault === undefined) return;
  const message = `${what} in the database ${name} cannot be read (${fault})`;
  if (!(await isEmpty(database).catch(() => false))) throw new StartError(`${message}: ${cure}.`);
  throw new EmptyDatabase(`${message}: start the gateway on it once, or name another with DATABASE_URL.`);
}
