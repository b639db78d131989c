/** Where an export goes on that was broken off: after the last whole row of its file; half a row after it is taken away. */
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { StartError } from "../../errors.js";
import { MappingRefused } from "../../identities/mapping.js";
import { unusable } from "../lines.js";
import { CSV_HEADER } from "./csv.js";
import { bytesOf, readRows } from "./read.js";
import { type Format, MAX_ROW_BYTES } from "./row.js";

export interface Continued {
  /** The communication user id of the last row; empty at the beginning. */
  readonly after: string;
  readonly needsHeader: boolean;
}

interface Place {
  readonly after: string;
  /** In bytes. */
  readonly end: number;
}

/** Nothing is taken away from a file that is no export. */
const BEGINNINGS: Readonly<Record<Format, Buffer>> = {
  csv: Buffer.from(`${CSV_HEADER}\n`),
  jsonl: Buffer.from('{"issuer":'),
};

/** Throws a `StartError` for a file that is not as an export leaves it. */
export async function continueIn(file: string, format: Format): Promise<Continued> {
  if (!existsSync(file)) return { after: "", needsHeader: format === "csv" };
  const handle = await open(file, "r+").catch((error: unknown) => {
    throw unusable(`The file ${file}`, "written", error);
  });
  try {
    const { size } = await handle.stat();
    const beginning = BEGINNINGS[format].subarray(0, size);
    const { buffer: found } = await handle.read(Buffer.alloc(beginning.length), 0, beginning.length, 0);
    if (!found.equals(beginning)) throw foreign(file);
    const isWhole = async ({ end }: Place) => {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(1), 0, 1, Math.max(0, end - 1));
      return bytesRead === 1 && buffer.toString("latin1") === "\n";
    };
    const [previous, last] = await lastRows(file, format);
    const place = (await isWhole(last)) ? last : previous;
    const header = BEGINNINGS.csv.length;
    const needsHeader = format === "csv" && size < header;
    const end = format === "csv" && !needsHeader ? Math.max(place.end, header) : place.end;
    if (size - end > MAX_ROW_BYTES) throw foreign(file);
    await handle.truncate(end);
    return { after: place.after, needsHeader };
  } finally {
    await handle.close();
  }
}

/** The last but one, and the last. */
async function lastRows(file: string, format: Format): Promise<readonly [Place, Place]> {
  let previous: Place = { after: "", end: 0 };
  let last = previous;
  try {
    for await (const { end, content } of readRows(format, bytesOf(file))) {
      const id = content instanceof MappingRefused ? undefined : content.communicationUserId;
      if (id === undefined || id === null) break;
      if (id <= last.after) throw foreign(file);
      previous = last;
      last = { after: id, end };
    }
  } catch (error) {
    // Half a row, most likely: whether it is no more than that shows in how much is left.
    if (!(error instanceof StartError) || error.message === foreign(file).message) throw error;
  }
  return [previous, last];
}

function foreign(file: string): StartError {
  return new StartError(
    `The file ${file} is not as an export leaves it, in the order of communicationUserId: name another with --out, without --resume.`,
  );
}
