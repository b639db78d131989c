import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { unusable } from "../lines.js";
import { readCsv } from "./csv.js";
import { readJsonLines } from "./json-lines.js";
import type { Format, Row } from "./row.js";

const READERS = { csv: readCsv, jsonl: readJsonLines } as const;

export function readRows(format: Format, input: AsyncIterable<Uint8Array>): AsyncGenerator<Row> {
  return READERS[format](input);
}

/** Nothing more of it is waited for once it is stopped. */
export function endedBy(stopped: AbortSignal, input: Readable): Readable {
  const end = () => void input.destroy();
  if (stopped.aborted) end();
  else stopped.addEventListener("abort", end, { once: true });
  return input;
}

/** Throws a `StartError` when the file cannot be read. */
export async function* bytesOf(file: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file);
  } catch (error) {
    throw unusable(`The file ${file}`, "read", error);
  }
}
