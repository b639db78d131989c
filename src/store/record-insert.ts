/** The statement that adds records to the trail, in the form that the database is quickest at. */
import { CompiledQuery, InsertQueryNode, type Kysely, sql, TableNode } from "kysely";
import type { Premise } from "../audit/record.js";
import { IDENTITY_COLUMNS } from "./identity-rows.js";
import type { RecordRow, Tables, WriterRow } from "./tables.js";

export interface RecordInsert {
  /** To be run once in a while over the same connection, as the tables grow for which its plans are kept. */
  readonly replan?: CompiledQuery;
  /** Whether it can tell if premises hold. */
  readonly takesPremises: boolean;
  /**
   * All rows in one statement, of which there is one at least; none, and nothing is changed, where one of the terms is not met. With
   * premises it answers the rows that they are about, as it has found them, where records were added, and none otherwise.
   */
  add(rows: readonly RecordRow[], terms?: InsertTerms): CompiledQuery;
  /** The same, with the entry of the writer, both or neither; where the database has a statement for that. */
  addNoting?(rows: readonly RecordRow[], writer: WriterRow, terms?: InsertTerms): CompiledQuery;
}

export interface InsertTerms {
  /** The id of what the session has added last. */
  readonly after?: string | undefined;
  readonly premises?: readonly Premise[] | undefined;
}

/** What a statement of ours is to a dialect. */
const INSERT_NODE = InsertQueryNode.create(TableNode.create("audit_events"));
const MOST_TEXTS = 250;

/** A parameter for each value, and a text for each number of rows: to make one costs more than to run it. */
export function insertValues(database: Kysely<Tables>, listed: 0 | 1): RecordInsert {
  const texts = new Map<number, string>();
  const makeText = (rows: readonly RecordRow[]) => {
    const values = rows.map((row) => ({ ...row, listed: sql.lit<0 | 1>(listed) }));
    const { sql: text } = database.insertInto("audit_events").values(values).compile();
    if (texts.size >= MOST_TEXTS) texts.clear();
    texts.set(rows.length, text);
    return text;
  };
  return {
    takesPremises: false,
    add: (rows, { after, premises = [] } = {}) => {
      if (after !== undefined) throw new Error("this database takes one write after the other");
      if (premises.length > 0) throw new Error("this database is asked for rows before a write, not in it");
      const text = texts.get(rows.length) ?? makeText(rows);
      // Each row has its values in the order in which the text has the columns.
      return asInsert(CompiledQuery.raw(text, rows.flatMap(Object.values)));
    },
  };
}

const TYPES: Readonly<Record<keyof RecordRow, "text" | "bigint">> = {
  id: "text",
  writer: "text",
  sequence: "bigint",
  at: "bigint",
  action: "text",
  phase: "text",
  identity_id: "text",
  actor_issuer: "text",
  actor_subject: "text",
  actor_salt: "text",
  actor_commitment: "text",
  scopes: "text",
  token_fingerprint: "text",
  token_expires_on: "bigint",
  reason: "text",
  reason_salt: "text",
  reason_commitment: "text",
  request_id: "text",
  client_name: "text",
  client_version: "text",
  hash: "text",
};
const COLUMNS = Object.keys(TYPES).join(", ");
const TYPED = Object.entries(TYPES)
  .map((column) => column.join(" "))
  .join(", ");
/**
 * What the session has added last, if that was committed: the setting goes back with a statement that fails. So what goes on from
 * it can be sent before that has been answered, and no table has to be read, for which a kept plan may be wrong.
 */
const LAST = "'acs_token_gateway.last_record'";
const FOLLOWS = `($2::text is null or current_setting(${LAST}, true) = $2)`;
/**
 * Row by row, by the key: for a table of which little is known, or that is small, a plan that is free to choose looks at all of it. That
 * it may have chosen so for the key, too, is why none is kept for long (`replan`).
 */
const FOUND = `found as materialized (
  select identity.*
  from json_to_recordset($4::json) as premise ("identityId" text, "communicationUserId" text, revocations bigint)
  cross join lateral (
    select ${IDENTITY_COLUMNS.join(", ")} from identities where id = premise."identityId" offset 0) as identity
  where identity.communication_user_id = premise."communicationUserId" and identity.revocations = premise.revocations
    and identity.status = 'ACTIVE' and identity.revocation_pending = 0)`;
const HOLD = "(select count(*) from found) = json_array_length($4::json)";
const ADD = `insert into audit_events (${COLUMNS}, listed)
  select ${COLUMNS}, 1 from place, json_to_recordset($1::json) as record (${TYPED}) where place.last is not null`;
const FOUND_IF_ADDED = "select * from found where exists (select from added)";

function placeIf(condition: string): string {
  return `place as materialized (select case when ${condition} then set_config(${LAST}, $3, false) end as last)`;
}

/** The writer's entry for what was `added`; its parameters come after so many others. */
function noteAfter(parameters: number): string {
  return `insert into audit_writers (writer, written_at)
    select $${parameters + 1}, $${parameters + 2} where exists (select from added)
    on conflict (writer) do update set written_at = excluded.written_at`;
}

/** Who holds the table of identities holds up those records alone that rely on one. */
const ANYWAY = {
  add: `with ${placeIf(FOLLOWS)} ${ADD}`,
  noting: `with ${placeIf(FOLLOWS)}, added as (${ADD} returning 1) ${noteAfter(3)}`,
};
const ADDED_ON_PREMISES = `with ${FOUND}, ${placeIf(`${FOLLOWS} and ${HOLD}`)}, added as (${ADD} returning 1)`;
const ON_PREMISES = {
  add: `${ADDED_ON_PREMISES} ${FOUND_IF_ADDED}`,
  noting: `${ADDED_ON_PREMISES}, noted as (${noteAfter(4)}) ${FOUND_IF_ADDED}`,
};

/**
 * For Postgres: one parameter with all rows. Twenty for each row cost the client, and the server that has to plan for them, more
 * than the rows do.
 */
export const insertJson: RecordInsert = {
  takesPremises: true,
  replan: CompiledQuery.raw("discard plans"),
  add: (rows, terms) => asInsert(CompiledQuery.raw(textsFor(terms).add, valuesOf(rows, terms))),
  addNoting: (rows, { writer, written_at }, terms) =>
    asInsert(CompiledQuery.raw(textsFor(terms).noting, [...valuesOf(rows, terms), writer, written_at])),
};

function textsFor({ premises = [] }: InsertTerms = {}) {
  return premises.length === 0 ? ANYWAY : ON_PREMISES;
}

function valuesOf(
  rows: readonly RecordRow[],
  { after, premises = [] }: InsertTerms = {},
): (string | null | undefined)[] {
  const values = [JSON.stringify(rows), after ?? null, rows.at(-1)?.id];
  return premises.length === 0 ? values : [...values, JSON.stringify(premises)];
}

/** All: to plan them costs as much as to run them, and for the trail there is only one plan, however large it is. */
export const INSERTS_OF_JSON = [ANYWAY, ON_PREMISES].flatMap(Object.values<string>);

function asInsert(query: CompiledQuery): CompiledQuery {
  return { ...query, query: INSERT_NODE };
}
