/** Mappings as JSON lines: an object a line. */
import { type MappingField, type MappingFields, MappingRefused } from "../../identities/mapping.js";
import { parseStrictJson } from "../../json.js";
import { isField, MAX_ROW_BYTES, type Row } from "./row.js";

interface Line {
  /** In bytes, its end included. */
  readonly length: number;
  /** Undefined of one that is too long to be a row. */
  readonly bytes: Uint8Array | undefined;
}

const LINE_END = 10;
const SPACE = 32;
/** What some editors and shells put before UTF-8. */
const MARK = Buffer.from("\ufeff");

export async function* readJsonLines(input: AsyncIterable<Uint8Array>): AsyncGenerator<Row> {
  let line = 0;
  let end = 0;
  for await (const { length, bytes } of linesOf(input)) {
    line += 1;
    end += length;
    if (bytes?.every((byte) => byte <= SPACE)) continue;
    const isMarked = line === 1 && bytes !== undefined && MARK.equals(bytes.subarray(0, MARK.length));
    yield { line, end, content: contentOf(isMarked ? bytes.subarray(MARK.length) : bytes) };
  }
}

export function writeJsonLine(fields: Readonly<Record<MappingField, string | null>>): string {
  return JSON.stringify(fields);
}

async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  let begun: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of input) {
    let from = 0;
    for (let at = chunk.indexOf(LINE_END); at >= 0; at = chunk.indexOf(LINE_END, from)) {
      yield lineOf([...begun, chunk.subarray(from, at + 1)], length + at + 1 - from);
      begun = [];
      length = 0;
      from = at + 1;
    }
    if (length <= MAX_ROW_BYTES) begun.push(chunk.subarray(from));
    length += chunk.length - from;
  }
  if (length > 0) yield lineOf(begun, length);
}

function lineOf(parts: readonly Uint8Array[], length: number): Line {
  return { length, bytes: length > MAX_ROW_BYTES ? undefined : Buffer.concat(parts) };
}

function contentOf(bytes: Uint8Array | undefined): Row["content"] {
  if (bytes === undefined) return refused(`the line has more than ${MAX_ROW_BYTES} bytes`);
  let value: unknown;
  try {
    value = parseStrictJson(bytes);
  } catch (error) {
    return refused(error instanceof SyntaxError ? error.message : "not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return refused("the line is no object");
  const fields: Partial<Record<MappingField, string | null>> = {};
  for (const [name, text] of Object.entries(value)) {
    if (!isField(name)) return refused(`the member ${JSON.stringify(name.slice(0, 100))} is not known`);
    if (text !== null && typeof text !== "string") return refused(`the member ${name} is no text`);
    fields[name] = text;
  }
  return fields satisfies MappingFields;
}

function refused(message: string): MappingRefused {
  return new MappingRefused(
    "ROW_INVALID",
    message,
    "write an object of known members in one line, each a text or null",
  );
}
