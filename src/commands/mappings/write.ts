import type { Identity } from "../../identities/identity.js";
import { MAPPING_FIELDS, writeMapping } from "../../identities/mapping.js";
import { writeCsv } from "./csv.js";
import { writeJsonLine } from "./json-lines.js";
import type { Format } from "./row.js";

/** Without the line's end. */
export function writeRow(format: Format, identity: Identity): string {
  const fields = writeMapping(identity);
  return format === "csv" ? writeCsv(MAPPING_FIELDS.map((name) => fields[name])) : writeJsonLine(fields);
}
