/** Mappings as CSV (RFC 4180). Values are written as they are, so a spreadsheet may take one for a formula. */
import { isUtf8 } from "node:buffer";
import { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { StartError } from "../../errors.js";
import { MAPPING_FIELDS, type MappingField, MappingRefused, REQUIRED_FIELDS } from "../../identities/mapping.js";
import { isField, MAX_ROW_BYTES, type Row } from "./row.js";

const LINE_END = 10;

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
    for await (const { record, info } of Readable.from(linesInUtf8(input)).compose(parser) as AsyncIterable<Parsed>) {
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
    if (error.code === "CSV_MAX_RECORD_SIZE") throw tooLong(lines, error);
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

/** In whole lines, so that one that is not in UTF-8 can be named. */
async function* linesInUtf8(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let line = 1;
  let begun: Uint8Array = Buffer.alloc(0);
  for await (const chunk of input) {
    const bytes = Buffer.concat([begun, chunk]);
    const end = bytes.lastIndexOf(LINE_END) + 1;
    const lines = bytes.subarray(0, end);
    begun = bytes.subarray(end);
    line += countInUtf8(lines, line);
    yield lines;
    if (begun.length > MAX_ROW_BYTES) throw tooLong(line);
  }
  countInUtf8(begun, line);
  yield begun;
}

/** How many lines end there. `first`: the number of the first, by which the one that is not in UTF-8 is named. */
function countInUtf8(bytes: Uint8Array, first: number): number {
  const isSound = isUtf8(bytes);
  let count = 0;
  let from = 0;
  for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END, from)) {
    if (!isSound && !isUtf8(bytes.subarray(from, end))) break;
    count += 1;
    from = end + 1;
  }
  if (isSound) return count;
  throw new StartError(`Line ${first + count} of the file is not in UTF-8: save the file so, and run it again.`);
}

function tooLong(line: number, cause?: CsvError): StartError {
  const what = `a row has more than ${MAX_ROW_BYTES} bytes`;
  const cure = "shorten it, or close the quote that is left open before it, and run it again";
  return new StartError(`The file cannot be read from line ${line} on (${what}): ${cure}.`, { cause });
}
