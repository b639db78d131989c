import { createReadStream } from "node:fs";
import { unusable } from "../lines.js";
import { readCsv } from "./csv.js";
import { readJsonLines } from "./json-lines.js";
import type { Format, Row } from "./row.js";

const READERS = { csv: readCsv, jsonl: readJsonLines } as const;

export function readRows(format: Format, input: AsyncIterable<Uint8Array>): AsyncGenerator<Row> {
  return READERS[format](input);
}

/** Throws a `StartError` when the file cannot be read. */
export async function* bytesOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file);
  } catch (error) {
    throw unusable(`The file ${file}`, "read", error);
  }
}
