/** The statement that adds records to the trail, in the form that the database is quickest at. */
import { CompiledQuery, InsertQueryNode, type Kysely, sql, TableNode } from "kysely";
import type { RecordRow, Tables, WriterRow } from "./tables.js";

export interface RecordInsert {
  /** All rows in one statement. */
  add(rows: readonly RecordRow[]): CompiledQuery;
  /** The same, with the entry of the writer, both or neither; where the database has a statement for that. */
  addNoting?(rows: readonly RecordRow[], writer: WriterRow): CompiledQuery;
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
    add: (rows) => {
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
const INSERT_JSON = `insert into audit_events (${COLUMNS}, listed) select ${COLUMNS}, 1 from json_to_recordset($1::json) as record (${TYPED})`;

const INSERT_JSON_NOTING = `with added as (${INSERT_JSON})
  insert into audit_writers (writer, written_at) values ($2, $3) on conflict (writer) do update set written_at = excluded.written_at`;

/**
 * For Postgres: one parameter with all rows. Twenty for each row cost the client, and the server that has to plan for them, more
 * than the rows do.
 */
export const insertJson: RecordInsert = {
  add: (rows) => asInsert(CompiledQuery.raw(INSERT_JSON, [JSON.stringify(rows)])),
  addNoting: (rows, { writer, written_at }) =>
    asInsert(CompiledQuery.raw(INSERT_JSON_NOTING, [JSON.stringify(rows), writer, written_at])),
};

/** Both: to plan them costs as much as to run them, and there is only one plan, however large the table. */
export const INSERTS_OF_JSON = [INSERT_JSON, INSERT_JSON_NOTING];

function asInsert(query: CompiledQuery): CompiledQuery {
  return { ...query, query: INSERT_NODE };
}
