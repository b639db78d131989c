/** The statement that adds records to the trail, in the form that the database is quickest at. */
import { CompiledQuery, InsertQueryNode, type Kysely, sql, TableNode } from "kysely";
import type { RecordRow, Tables } from "./tables.js";

/** All rows in one statement. */
export type RecordInsert = (rows: readonly RecordRow[]) => CompiledQuery;

/** What a statement of ours is to a dialect. */
const INSERT = InsertQueryNode.create(TableNode.create("audit_events"));
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
  return (rows) => {
    const text = texts.get(rows.length) ?? makeText(rows);
    // Each row has its values in the order in which the text has the columns.
    return asInsert(CompiledQuery.raw(text, rows.flatMap(Object.values)));
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
const FROM_JSON = `insert into audit_events (${COLUMNS}, listed) select ${COLUMNS}, 1 from json_to_recordset($1::json) as record (${TYPED})`;

/**
 * For Postgres: one parameter with all rows. Twenty for each row cost the client, and the server that has to plan for them, more
 * than the rows do.
 */
export const insertJson: RecordInsert = (rows) => asInsert(CompiledQuery.raw(FROM_JSON, [JSON.stringify(rows)]));

function asInsert(query: CompiledQuery): CompiledQuery {
  return { ...query, query: INSERT };
}
