/**
 * The two reads of a row that each token takes, in the way in which the database is quickest at them. What is read is committed,
 * and no older than the call.
 */
import { AsyncResource } from "node:async_hooks";
import { CompiledQuery, type Kysely } from "kysely";
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
/** A statement that names them answers the same to this version when a later one has added some. */
export const IDENTITY_COLUMNS = Object.keys(COLUMNS);
const SELECT = `select ${IDENTITY_COLUMNS.join(", ")} from identities`;
const SELECT_BY_ID = `${SELECT} where id = ?`;
const SELECT_BY_USER = `${SELECT} where issuer = ? and subject = ?`;

/** SQLite: so many are read without waiting for more, as whoever waits holds what its request has taken so far. */
const MOST_ROWS = 16;
/** Postgres: what a statement costs is mostly the way to the server and back. */
const MOST_IN_STATEMENT = 100;

/**
 * All that is asked for in one turn of the event loop together, without Kysely, which costs as much as SQLite does, and over a
 * connection that sees nothing that is under way. Where that fails, by the one that has the patience to wait for another process.
 */
export function rowsOfSqlite(
  rows: Pick<SqliteRows, "read" | "close">,
  database: Kysely<Tables>,
  tracing?: Pick<Tracing, "place" | "joined">,
): IdentityRows {
  interface Asked extends RowStatement {
    readonly patiently: () => Promise<IdentityRow | undefined>;
    /** In the trace of whoever asks. */
    readonly place: Place | undefined;
  }
  const patient = rowsByStatement(database);
  const about = statementsOf("sqlite")(SELECT);
  const readAll = together(MOST_ROWS, async (asked: readonly Asked[]) => {
    const read = () => rows.read(asked) as (IdentityRow | undefined)[];
    try {
      if (tracing === undefined) return read();
      const places = asked.map(({ place }) => place);
      return await tracing.joined(about, places, async () => read());
    } catch {
      return asked.map(({ patiently }) => patiently());
    }
  });
  const ask = (statement: RowStatement, patiently: Asked["patiently"]) =>
    readAll({
      ...statement,
      // Whoever reads does so in one place, for all.
      patiently: tracing === undefined ? patiently : AsyncResource.bind(patiently),
      place: tracing?.place(),
    });
  return {
    byId: (id) => ask({ text: SELECT_BY_ID, parameters: [id] }, () => patient.byId(id)),
    byUser: (user) =>
      ask({ text: SELECT_BY_USER, parameters: [user.issuer, user.subject] }, () => patient.byUser(user)),
    close: () => rows.close(),
  };
}

const SELECT_ASKED = "select asked::integer, identities.* from identities join";
const SELECT_BY_IDS = `${SELECT_ASKED} unnest($1::text[]) with ordinality as asks (id, asked) on identities.id = asks.id`;
const SELECT_BY_USERS = `${SELECT_ASKED} unnest($1::text[], $2::text[]) with ordinality as asks (issuer, subject, asked)
  on identities.issuer = asks.issuer and identities.subject = asks.subject`;

/** One statement for all that is asked for in one turn of the event loop; for one alone, of which there is less to plan. */
export function rowsTogether(database: Kysely<Tables>): IdentityRows {
  type Asked = IdentityRow & { readonly asked: number };
  const alone = rowsByStatement(database);
  const inOrder = (length: number, rows: readonly Asked[]) => {
    const found = new Array<IdentityRow | undefined>(length).fill(undefined);
    for (const row of rows) found[row.asked - 1] = row;
    return found;
  };
  const byId = together(MOST_IN_STATEMENT, async (ids: readonly string[]) => {
    const [id, second] = ids;
    if (id !== undefined && second === undefined) return [await alone.byId(id)];
    const { rows } = await database.executeQuery<Asked>(CompiledQuery.raw(SELECT_BY_IDS, [ids]));
    return inOrder(ids.length, rows);
  });
  const byUser = together(MOST_IN_STATEMENT, async (users: readonly ApplicationUser[]) => {
    const [user, second] = users;
    if (user !== undefined && second === undefined) return [await alone.byUser(user)];
    const issuers = users.map(({ issuer }) => issuer);
    const subjects = users.map(({ subject }) => subject);
    const { rows } = await database.executeQuery<Asked>(CompiledQuery.raw(SELECT_BY_USERS, [issuers, subjects]));
    return inOrder(users.length, rows);
  });
  return { byId, byUser };
}

/**
 * Reads what is asked for once the turn of the event loop is over, all of it together; or as soon as so many ask. `read` answers in
 * the order of what is asked, with rows or promises of them.
 */
function together<Asked, Row>(
  most: number,
  read: (asked: readonly Asked[]) => Promise<readonly (Row | Promise<Row>)[]>,
): (asked: Asked) => Promise<Row> {
  let waiting: { asked: Asked; resolve: (row: Row | Promise<Row>) => void; reject: (error: unknown) => void }[] = [];
  const readAll = async () => {
    const all = waiting;
    waiting = [];
    if (all.length === 0) return;
    try {
      const rows = await read(all.map(({ asked }) => asked));
      for (const [index, row] of rows.entries()) all[index]?.resolve(row);
    } catch (error) {
      for (const { reject } of all) reject(error);
    }
  };
  return (asked) =>
    new Promise((resolve, reject) => {
      waiting.push({ asked, resolve, reject });
      if (waiting.length === 1) setImmediate(readAll);
      if (waiting.length === most) void readAll();
    });
}
