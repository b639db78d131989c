/**
 * The two reads of a row that each token takes, in the way in which the database is quickest at them. What is read is committed,
 * and no older than the call.
 */
import DataLoader from "dataloader";
import { type Kysely, sql } from "kysely";
import type { ApplicationUser } from "../identities/identity.js";
import type { SqliteRows } from "./dialect-sqlite.js";
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

/**
 * Without Kysely, which costs as much as SQLite does, over a connection that sees nothing that is under way. Where that fails,
 * by the one that has the patience to wait for another process.
 */
export function rowsOfSqlite(rows: Pick<SqliteRows, "read" | "close">, database: Kysely<Tables>): IdentityRows {
  const patient = rowsByStatement(database);
  const read = async (
    [statement, ...parameters]: readonly [string, ...string[]],
    otherwise: () => Promise<IdentityRow | undefined>,
  ) => {
    try {
      return rows.read(statement, parameters) as IdentityRow | undefined;
    } catch {
      return await otherwise();
    }
  };
  return {
    byId: (id) => read([`${SELECT} where id = ?`, id], () => patient.byId(id)),
    byUser: (user) =>
      read([`${SELECT} where issuer = ? and subject = ?`, user.issuer, user.subject], () => patient.byUser(user)),
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
