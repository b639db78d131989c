/** Mappings as CSV (RFC 4180). Values are written as they are, so a spreadsheet may take one for a formula. */
import { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { StartError } from "../../errors.js";
import { MAPPING_FIELDS, type MappingField, MappingRefused, REQUIRED_FIELDS } from "../../identities/mapping.js";
import { isField, MAX_ROW_BYTES, type Row } from "./row.js";

export const CSV_HEADER = writeCsv(MAPPING_FIELDS);

interface Parsed {
  readonly record: readonly string[];
  readonly info: { readonly empty_lines: number; readonly bytes: number };
}

/** Throws a `StartError` where the text is no CSV: nobody could tell where the next row begins. */
export async function* readCsv(input: AsyncIterable<Uint8Array>): AsyncGenerator<Row> {
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_ROW_BYTES,
    record_delimiter: ["\r\n", "\n"],
  });
  let header: readonly MappingField[] | undefined;
  let next = 1;
  let empty = 0;
  try {
    for await (const { record, info } of Readable.from(decoded(input)).compose(parser) as AsyncIterable<Parsed>) {
      // The parser's own count takes a CRLF within quotes for two.
      const line = next + info.empty_lines - empty;
      next = line + 1 + linesWithin(record);
      empty = info.empty_lines;
      if (header === undefined) header = readHeader(record);
      else yield { line, end: info.bytes, content: contentOf(record, header) };
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const { lines = next } = error as { lines?: number };
    throw new StartError(
      `The file is no CSV from line ${lines} on (${error.code}): put a value with a comma, a quote or a line's end into quotes, double the quotes in it, and run it again.`,
      { cause: error },
    );
  }
  if (header === undefined) throw new StartError(`The file is empty: its first line names the columns, ${NEEDED}.`);
}

function linesWithin(record: readonly string[]): number {
  return record.reduce((sum, value) => sum + value.split("\n").length - 1, 0);
}

export function writeCsv(values: readonly (string | null)[]): string {
  return values.map((value) => (value === null ? "" : `"${value.replaceAll('"', '""')}"`)).join(",");
}

const NEEDED = REQUIRED_FIELDS.join(", ");

function readHeader(names: readonly string[]): readonly MappingField[] {
  const unknown = names.find((name) => !isField(name));
  const fault =
    unknown !== undefined
      ? `has a column ${JSON.stringify(unknown.slice(0, 100))}, which is not known`
      : new Set(names).size < names.length
        ? "names a column twice"
        : REQUIRED_FIELDS.some((field) => !names.includes(field)) && "lacks a column";
  if (!fault) return names.filter(isField);
  throw new StartError(
    `The file's first line ${fault}: it has ${NEEDED}, parted by commas, and may have ${MAPPING_FIELDS.slice(REQUIRED_FIELDS.length).join(", ")}.`,
  );
}

function contentOf(record: readonly string[], header: readonly MappingField[]): Row["content"] {
  if (record.length === header.length) {
    return Object.fromEntries(header.map((name, index) => [name, record[index] || null]));
  }
  const message = `the row has ${record.length} values, and the header ${header.length}`;
  return new MappingRefused("ROW_INVALID", message, "put a value with a comma in it into quotes");
}

async function* decoded(input: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const decode = (chunk?: Uint8Array) => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (error) {
      throw new StartError("The file is not in UTF-8: save it so, and run it again.", { cause: error });
    }
  };
  for await (const chunk of input) yield decode(chunk);
  yield decode();
}
