/**
 * The two reads of a row that each token takes, in the way in which the database is quickest at them. What is read is committed,
 * and no older than the call.
 */
import DataLoader from "dataloader";
import { type Kysely, sql } from "kysely";
import type { ApplicationUser } from "../identities/identity.js";
import type { Place, Tracing } from "../observe/tracing.js";
import type { RowStatement, SqliteRows } from "./dialect-sqlite.js";
import { statementsOf } from "./dialect-traced.js";
import type { IdentityRow, Tables } from "./tables.js";

/** Undefined where there is none; throws STORE_UNAVAILABLE. */
export interface IdentityRows {
  byId(id: string): Promise<IdentityRow | undefined>;
  /** The user's live row. */
  byUser(user: ApplicationUser): Promise<IdentityRow | undefined>;
  close?(): void;
}

/** By statements of their own: within a transaction, what that has changed. */
export function rowsByStatement(database: Kysely<Tables>): IdentityRows {
  const select = () => database.selectFrom("identities").selectAll();
  return {
    byId: (id) => select().where("id", "=", id).executeTakeFirst(),
    byUser: ({ issuer, subject }) =>
      select().where("issuer", "=", issuer).where("subject", "=", subject).executeTakeFirst(),
  };
}

const COLUMNS: Readonly<Record<keyof IdentityRow, true>> = {
  id: true,
  issuer: true,
  subject: true,
  communication_user_id: true,
  resource: true,
  status: true,
  created_at: true,
  last_token_issued_at: true,
  tokens_valid_after: true,
  revocation_pending: true,
  revocations: true,
  user_hash: true,
};
const SELECT = `select ${Object.keys(COLUMNS).join(", ")} from identities`;
const SELECT_BY_ID = `${SELECT} where id = ?`;
const SELECT_BY_USER = `${SELECT} where issuer = ? and subject = ?`;

/** So many are read without waiting for more: whoever waits holds what its request has taken so far. */
const MOST_WAITING = 16;

interface Asked extends RowStatement {
  readonly resolve: (row: IdentityRow | undefined | Promise<IdentityRow | undefined>) => void;
  /** The same by the connection that has the patience to wait for another process. */
  readonly patiently: () => Promise<IdentityRow | undefined>;
  /** In the trace of whoever asks. */
  readonly place: Place | undefined;
}

/**
 * All that is asked for in one turn of the event loop together, without Kysely, which costs as much as SQLite does, and over a
 * connection that sees nothing that is under way.
 */
export function rowsOfSqlite(
  rows: Pick<SqliteRows, "read" | "close">,
  database: Kysely<Tables>,
  tracing?: Pick<Tracing, "place" | "joined">,
): IdentityRows {
  const patient = rowsByStatement(database);
  const about = statementsOf("sqlite")(SELECT);
  let waiting: Asked[] = [];
  const readAll = async () => {
    const asked = waiting;
    waiting = [];
    if (asked.length === 0) return;
    const read = () => rows.read(asked) as (IdentityRow | undefined)[];
    try {
      const places = asked.map(({ place }) => place);
      const found = tracing === undefined ? read() : await tracing.joined(about, places, async () => read());
      for (const [index, { resolve }] of asked.entries()) resolve(found[index]);
    } catch {
      for (const { resolve, patiently } of asked) resolve(patiently());
    }
  };
  const ask = (statement: RowStatement, patiently: Asked["patiently"]) =>
    new Promise<IdentityRow | undefined>((resolve) => {
      waiting.push({ ...statement, resolve, patiently, place: tracing?.place() });
      if (waiting.length === 1) setImmediate(readAll);
      if (waiting.length === MOST_WAITING) void readAll();
    });
  return {
    byId: (id) => ask({ text: SELECT_BY_ID, parameters: [id] }, () => patient.byId(id)),
    byUser: (user) =>
      ask({ text: SELECT_BY_USER, parameters: [user.issuer, user.subject] }, () => patient.byUser(user)),
    close: () => rows.close(),
  };
}

const MOST_TOGETHER = 100;

/** One statement for all that is asked for in one turn of the event loop: what a server takes is mostly the way to it and back. */
export function rowsTogether(database: Kysely<Tables>): IdentityRows {
  const options = {
    cache: false,
    maxBatchSize: MOST_TOGETHER,
    batchScheduleFn: (load: () => void) => void setImmediate(load),
  };
  const byId = new DataLoader(async (ids: readonly string[]) => {
    const { rows } = await sql<IdentityRow>`select * from identities where id = any(${ids}::text[])`.execute(database);
    const found = new Map(rows.map((row) => [row.id, row]));
    return ids.map((id) => found.get(id));
  }, options);
  const byUser = new DataLoader(async (users: readonly ApplicationUser[]) => {
    const issuers = users.map(({ issuer }) => issuer);
    const subjects = users.map(({ subject }) => subject);
    const { rows } = await sql<IdentityRow>`
      select identities.* from unnest(${issuers}::text[], ${subjects}::text[]) as asked (issuer, subject)
      join identities on identities.issuer = asked.issuer and identities.subject = asked.subject`.execute(database);
    const found = new Map(rows.map((row) => [keyOf(row), row]));
    return users.map((user) => found.get(keyOf(user)));
  }, options);
  return { byId: (id) => byId.load(id), byUser: (user) => byUser.load(user) };
}

/** As JSON, the two cannot run into each other. */
function keyOf({ issuer, subject }: { readonly issuer: string | null; readonly subject: string | null }): string {
  return JSON.stringify([issuer, subject]);
}
