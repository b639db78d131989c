/** A file of mappings: CSV with a header, or JSON lines. Read row by row, in bounded memory. */
import {
  MAPPING_FIELDS,
  type MappingField,
  type MappingFields,
  type MappingRefused,
} from "../../identities/mapping.js";
import { UsageError } from "../usage.js";

const FORMATS = ["csv", "jsonl"] as const;
export type Format = (typeof FORMATS)[number];

export interface Row {
  /** Of its first line, from 1. */
  readonly line: number;
  /** Bytes of the file up to its end, the line's end included. */
  readonly end: number;
  readonly content: MappingFields | MappingRefused;
}

/** A row may not be longer. */
export const MAX_ROW_BYTES = 65_536;

/** As said, or as the file's name tells. Throws a `UsageError`. */
export function formatOf(file: string | undefined, said: string | undefined): Format {
  const name = said ?? /\.(\w+)$/.exec(file ?? "")?.[1]?.toLowerCase();
  if (name === "csv") return "csv";
  if (name === "jsonl" || (name === "ndjson" && said === undefined)) return "jsonl";
  throw new UsageError(`--format is ${FORMATS.join(" or ")}; it can be left out for a file whose name ends so`);
}

export function isField(name: string): name is MappingField {
  return MAPPING_FIELDS.some((field) => field === name);
}
