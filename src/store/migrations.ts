import { type Expression, type Kysely, sql } from "kysely";
import { DEFAULT_MIGRATION_TABLE, type Migration, Migrator } from "kysely/migration";
import { isPostgres } from "./dialect.js";

/**
 * In order of their names; one that has been released is never edited, only followed by another. While instances are updated one
 * after another, those of the version before work on the new schema, and so they must when an update is taken back: what a
 * migration takes away or changes is what the version before no longer uses. One that cannot keep to that has `-breaking-` in
 * its name (`0042-breaking-…`), and no earlier version starts on its schema.
 */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  "0001-identities": { up: createIdentities },
  "0002-service-work": { up: createServiceWork },
  "0003-audit-events": { up: createAuditEvents },
  "0004-audit-erasures": { up: createAuditErasures },
  "0005-audit-dropped": { up: createAuditDropped },
  "0006-audit-listed": { up: addAuditListed },
  "0007-audit-writers": { up: createAuditWriters },
  "0008-audit-phase": { up: createMissingPhaseIndex },
  "0009-audit-fewer-indexes": { up: dropAuditIndexes },
  "0010-key-checks": { up: createKeyChecks },
};

/**
 * Whoever waits for a table keeps all others from it: less than the trail waits for a write, and more than `deadlock_timeout`, after which
 * Postgres has an autovacuum give way.
 */
const LOCK_TIMEOUT_MS = 1200;

const AUDIT_TABLE = "audit_events";
const DROPPED_TABLE = "audit_dropped";
/** Those without which there is nothing that the gateway could have left. */
const OURS = [DEFAULT_MIGRATION_TABLE, "identities", AUDIT_TABLE];

const BREAKING = /-breaking-/;

/**
 * Brings the database to the current schema. Safe to call at every start; takes the dialect's migration lock. Resolves with
 * what is found then: a schema that is newer, and that this version can use, is left as it is.
 */
export async function migrate<Tables>(database: Kysely<Tables>): Promise<"current" | "newer"> {
  const migrations = isPostgres(database) ? Object.fromEntries(Object.entries(MIGRATIONS).map(impatient)) : MIGRATIONS;
  const migrator = new Migrator({ db: database, provider: { getMigrations: async () => migrations } });
  const { error } = await migrator.migrateToLatest();
  if (error === undefined) return "current";
  // Kysely refuses what it does not know before it changes anything.
  const state = await stateOfSchema(database);
  if (state === "newer") return state;
  throw state === "too new" ? new TooNewSchema() : error;
}

/** All migrations are made in one transaction, and the setting is that one's. */
function impatient([name, { up }]: [string, Migration]): [string, Migration] {
  const changed = async (database: Kysely<unknown>) => {
    await sql`select set_config('lock_timeout', ${String(LOCK_TIMEOUT_MS)}, true)`.execute(database);
    await up(database);
  };
  return [name, { up: changed }];
}

/** A later version has changed the schema in a way that this one cannot work with. */
export class TooNewSchema extends Error {}

/**
 * How far the schema of a database has come, as this version of the gateway sees it. One that is `newer` can be used all the
 * same; one that is `too new` cannot.
 */
export type SchemaState = "none" | "older" | "current" | "newer" | "too new";

/** Changes nothing. */
export async function stateOfSchema<Tables>(database: Kysely<Tables>): Promise<SchemaState> {
  const tables = await database.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables.some(({ name }) => name === DEFAULT_MIGRATION_TABLE)) return "none";
  const { rows } = await sql<{ name: string }>`select name from ${sql.table(DEFAULT_MIGRATION_TABLE)}`.execute(
    database,
  );
  const made = new Set(rows.map(({ name }) => name));
  const names = Object.keys(MIGRATIONS);
  if (names.some((name) => !made.has(name))) return "older";
  const unknown = [...made].filter((name) => !names.includes(name));
  if (unknown.length === 0) return "current";
  return unknown.some((name) => BREAKING.test(name)) ? "too new" : "newer";
}

/** Nothing of the gateway's is there: no start has come by yet. */
export async function isEmpty<Tables>(database: Kysely<Tables>): Promise<boolean> {
  const tables = await database.introspection.getTables({ withInternalKyselyTables: true });
  return !tables.some(({ name }) => OURS.includes(name));
}

/** What keeps the trail in the database from being read as it is, which changes nothing in it; undefined when nothing does. */
export async function faultOfSchema<Tables>(database: Kysely<Tables>): Promise<string | undefined> {
  const tables = await database.introspection.getTables({ withInternalKyselyTables: true });
  const missing = [DEFAULT_MIGRATION_TABLE, AUDIT_TABLE, DROPPED_TABLE].find(
    (table) => !tables.some(({ name }) => name === table),
  );
  if (missing !== undefined) return `there is no table ${missing}`;
  const state = await stateOfSchema(database);
  return state === "current" || state === "newer"
    ? undefined
    : `its schema is ${state === "older" ? "older than" : "too new for"} this version of the gateway`;
}

/**
 * Why what is read under the name of the trail's table may be another thing for somebody else, or than what was written; undefined where
 * it is the same.
 */
export async function whyNotForAll<Tables>(database: Kysely<Tables>): Promise<string | undefined> {
  if (isPostgres(database) && (await hasOddPath(database))) {
    return `a search_path has another schema before pg_catalog, whose operators may have readers of ${AUDIT_TABLE} get other records`;
  }
  const { rows } = await (isPostgres(database) ? ODD_ON_POSTGRES : ODD_ON_SQLITE).execute(database);
  if (rows.length === 0) return undefined;
  return `${AUDIT_TABLE} is no table, or triggers, rules or row security may have its readers get other records`;
}

/** Where it names pg_catalog at all: where it does not, that comes first. */
const ODD_PATH = /^[^,]+,.*\bpg_catalog\b/is;

/** Of this session, or of anybody's in this database: by another equality there are records that equal nothing. */
async function hasOddPath<Tables>(database: Kysely<Tables>): Promise<boolean> {
  // Before there is an operator in any statement.
  const own = await sql<{ path: string }>`select pg_catalog.current_setting('search_path') as path`.execute(database);
  if (own.rows.some(({ path }) => ODD_PATH.test(path))) return true;
  const others = await sql<{ setting: string }>`
    select unnest(setconfig) as setting from pg_db_role_setting
    where setdatabase in (0, (select oid from pg_database where datname = current_database()))`.execute(database);
  const paths = others.rows.flatMap(({ setting }) => /^search_path=(.*)$/is.exec(setting)?.[1] ?? []);
  return paths.some((path) => ODD_PATH.test(path));
}

const ODD_ON_POSTGRES = sql`
  select from pg_class as it where oid = to_regclass(${AUDIT_TABLE}) and (relkind <> 'r' or relforcerowsecurity
    or exists (select from pg_inherits where it.oid in (inhparent, inhrelid))
    or exists (select from pg_policy where polrelid = it.oid)
    or exists (select from pg_rewrite where ev_class = it.oid)
    or exists (select from pg_trigger where tgrelid = it.oid and not tgisinternal))`;

const ODD_ON_SQLITE = sql`
  select 1 from sqlite_schema where tbl_name = ${AUDIT_TABLE} collate nocase
    and (type not in ('table', 'index') or sql like 'create virtual%')`;

/** Text that is compared and ordered byte by byte, whatever the database's locale, as SQLite does by itself. */
function text(database: Kysely<unknown>): "text" | Expression<unknown> {
  return isPostgres(database) ? sql`text collate "C"` : "text";
}

async function createIdentities(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .createTable("identities")
    .addColumn("id", text(database), (column) => column.primaryKey())
    .addColumn("issuer", text(database))
    .addColumn("subject", text(database))
    .addColumn("communication_user_id", text(database), (column) => column.unique())
    .addColumn("status", text(database), (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("last_token_issued_at", "bigint", (column) => column.notNull().defaultTo(0))
    .addColumn("tokens_valid_after", "bigint", (column) => column.notNull().defaultTo(0))
    .addColumn("revocation_pending", "integer", (column) => column.notNull().defaultTo(0))
    .addColumn("revocations", "integer", (column) => column.notNull().defaultTo(0))
    // One live row a user: a tombstone has neither issuer nor subject, and nulls are distinct.
    .addUniqueConstraint("identities_user", ["issuer", "subject"])
    .execute();
  const indexes: Readonly<Record<string, readonly string[]>> = {
    identities_created: ["created_at", "id"],
    identities_last_issued: ["last_token_issued_at", "id"],
    identities_status: ["status", "created_at", "id"],
  };
  for (const [name, columns] of Object.entries(indexes)) {
    await database.schema
      .createIndex(name)
      .on("identities")
      .columns([...columns])
      .execute();
  }
}

async function createServiceWork(database: Kysely<unknown>): Promise<void> {
  for (const column of ["resource", "user_hash"]) {
    await database.schema.alterTable("identities").addColumn(column, text(database)).execute();
  }
  await database.schema.createIndex("identities_user_hash").on("identities").column("user_hash").execute();
  await database.schema
    .createTable("provisioning_attempts")
    .addColumn("id", text(database), (column) => column.primaryKey())
    .addColumn("identity_id", text(database), (column) => column.notNull())
    .addColumn("state", text(database), (column) => column.notNull())
    .addColumn("started_at", "bigint", (column) => column.notNull())
    .addColumn("lease_until", "bigint", (column) => column.notNull())
    .addColumn("ended_at", "bigint", (column) => column.notNull())
    .addColumn("error_code", text(database))
    .addColumn("retry_after_seconds", "integer")
    .addColumn("communication_user_id", text(database))
    .addColumn("resource", text(database))
    .execute();
  // Only one attempt for a row at a time.
  await database.schema
    .createIndex("provisioning_attempts_running")
    .unique()
    .on("provisioning_attempts")
    .column("identity_id")
    .where(sql.ref("state"), "=", sql.lit("RUNNING"))
    .execute();
  await database.schema
    .createIndex("provisioning_attempts_state")
    .on("provisioning_attempts")
    .columns(["state", "started_at", "id"])
    .execute();
  await database.schema
    .createTable("service_work")
    .addColumn("communication_user_id", text(database), (column) => column.primaryKey())
    .addColumn("action", text(database), (column) => column.notNull())
    .addColumn("identity_id", text(database))
    .addColumn("resource", text(database))
    .addColumn("generation", "integer", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("next_try_at", "bigint", (column) => column.notNull())
    .addColumn("tries", "integer", (column) => column.notNull())
    .addColumn("lease_until", "bigint", (column) => column.notNull())
    .addColumn("lease_holder", text(database))
    .addColumn("last_error", text(database))
    .execute();
  await database.schema.createIndex("service_work_due").on("service_work").column("next_try_at").execute();
  // Before, what was yet to be confirmed stood in the row alone, where no worker would find it.
  await sql`
    insert into service_work (communication_user_id, action, identity_id, generation, created_at, next_try_at, tries, lease_until)
    select communication_user_id, case when status = 'DELETING' then 'DELETE' else 'REVOKE' end, id, 1, tokens_valid_after, 0, 0, 0
    from identities where revocation_pending = 1 and communication_user_id is not null`.execute(database);
}

async function createAuditEvents(database: Kysely<unknown>): Promise<void> {
  const required = ["writer", "action", "phase", "actor_commitment", "reason_commitment", "request_id", "hash"];
  const optional = [
    "identity_id",
    "actor_issuer",
    "actor_subject",
    "actor_salt",
    "scopes",
    "token_fingerprint",
    "reason",
    "reason_salt",
    "client_name",
    "client_version",
  ];
  let table = database.schema
    .createTable(AUDIT_TABLE)
    .addColumn("id", text(database), (column) => column.primaryKey())
    .addColumn("sequence", "bigint", (column) => column.notNull())
    .addColumn("at", "bigint", (column) => column.notNull())
    .addColumn("token_expires_on", "bigint");
  for (const name of required) table = table.addColumn(name, text(database), (column) => column.notNull());
  for (const name of optional) table = table.addColumn(name, text(database));
  await table.execute();
  // Each filter of the schema, in the order in which pages are read; the first also parts the trail by age. With the phase at
  // its end the third counts without a look at the rows. Those that go on with action and phase are for a user with many
  // records of one kind and few of another, and for that user's tokens, which are counted from the index alone.
  const indexes: Readonly<Record<string, readonly string[]>> = {
    audit_events_at: ["at", "id"],
    audit_events_phase: ["phase", "at", "id"],
    audit_events_action: ["action", "at", "id", "phase"],
    audit_events_identity: ["identity_id", "at", "id"],
    audit_events_identity_action: ["identity_id", "action", "phase", "at", "id"],
    audit_events_actor: ["actor_issuer", "actor_subject", "at", "id"],
    audit_events_actor_action: ["actor_issuer", "actor_subject", "action", "phase", "at", "id"],
    audit_events_fingerprint: ["token_fingerprint", "at", "id"],
  };
  for (const [name, columns] of Object.entries(indexes)) {
    await database.schema
      .createIndex(name)
      .on(AUDIT_TABLE)
      .columns([...columns])
      .execute();
  }
}

async function createAuditErasures(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .createTable("audit_erasures")
    .addColumn("identity_id", text(database), (column) => column.primaryKey())
    .addColumn("next_try_at", "bigint", (column) => column.notNull())
    .addColumn("is_last", "integer", (column) => column.notNull())
    .execute();
  await database.schema.createIndex("audit_erasures_due").on("audit_erasures").column("next_try_at").execute();
}

async function createAuditDropped(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .createTable(DROPPED_TABLE)
    .addColumn("writer", text(database), (column) => column.primaryKey())
    .addColumn("line", text(database), (column) => column.notNull())
    .execute();
}

async function addAuditListed(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .alterTable(AUDIT_TABLE)
    .addColumn("listed", "integer", (column) => column.notNull().defaultTo(1))
    .execute();
  // Those of which each record has a page of its own. The others, by time, have one for many that come together.
  const indexes: Readonly<Record<string, readonly string[]>> = {
    audit_events_identity: ["identity_id", "at", "id"],
    audit_events_identity_action: ["identity_id", "action", "phase", "at", "id"],
    audit_events_actor: ["actor_issuer", "actor_subject", "at", "id"],
    audit_events_actor_action: ["actor_issuer", "actor_subject", "action", "phase", "at", "id"],
    audit_events_fingerprint: ["token_fingerprint", "at", "id"],
  };
  for (const [name, columns] of Object.entries(indexes)) {
    await database.schema.dropIndex(name).execute();
    await createListedIndex(database, name, columns, 1);
  }
  // In SQLite every index ends with the row's number, so this one has the records in the order in which they were added.
  await createListedIndex(database, "audit_events_unlisted", ["listed"], 0);
}

async function createAuditWriters(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .createTable("audit_writers")
    .addColumn("writer", text(database), (column) => column.primaryKey())
    .addColumn("written_at", "bigint", (column) => column.notNull())
    .execute();
  await database.schema.createIndex("audit_writers_written_at").on("audit_writers").column("written_at").execute();
}

/** 0003 was edited after databases had been made with it: those have no such index, all others do. */
async function createMissingPhaseIndex(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .createIndex("audit_events_phase")
    .ifNotExists()
    .on(AUDIT_TABLE)
    .columns(["phase", "at", "id"])
    .execute();
}

/** What is asked for of a user is merged from the indexes that go on with action and phase; nobody asks by the phase alone. */
async function dropAuditIndexes(database: Kysely<unknown>): Promise<void> {
  for (const name of ["audit_events_phase", "audit_events_identity", "audit_events_actor"])
    await database.schema.dropIndex(name).ifExists().execute();
}

async function createKeyChecks(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .createTable("key_checks")
    .addColumn("name", text(database), (column) => column.primaryKey())
    .addColumn("value", text(database), (column) => column.notNull())
    .execute();
}

/** Of the records that are listed, or of those that are not. */
async function createListedIndex(
  database: Kysely<unknown>,
  name: string,
  columns: readonly string[],
  listed: 0 | 1,
): Promise<void> {
  await database.schema
    .createIndex(name)
    .on(AUDIT_TABLE)
    .columns([...columns])
    .where(sql.ref("listed"), "=", sql.lit(listed))
    .execute();
}
