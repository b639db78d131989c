/** `audit export`: the trail, streamed from the database to JSON lines, in the order in which it is verified. */
import { statSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { type ChainEnd, GENESIS } from "../audit/chain.js";
import { readLine, writeLine } from "../audit/export-line.js";
import type { Dropped } from "../audit/query.js";
import { placeIn } from "../audit/record.js";
import { readClaim } from "../audit/signed-end.js";
import type { StoreConfig } from "../config/config.js";
import { StartError } from "../errors.js";
import { type AuditArchive, brokenOff, openAuditArchive } from "../store/audit-archive.js";
import type { AuditReader } from "../store/audit-reader.js";
import { type Lines, linesOf } from "./lines.js";
import { type Output, Progress } from "./output.js";

interface ExportOptions {
  /** ms since 1970: of each chain what comes from its first record on that is not from before this instant, */
  readonly since: number | undefined;
  /** up to the next one that is not from before this one, exclusive. */
  readonly until: number | undefined;
  /** The id that the last export ended with. */
  readonly after: string | undefined;
  /** Ends it between two records. */
  readonly stopped?: AbortSignal;
}

interface ExportOutput extends Pick<Output, "report" | "now"> {
  /** Called once it is known that there is something to export, so that no empty file is left of a fault. */
  open(): Promise<Lines>;
}

/**
 * Prints each record as a line of JSON, and where the beginning of a chain was dropped, the line that says so: before the first
 * record that is left, or by itself in an export of everything. False when something cannot be told, or it was stopped.
 */
export async function exportTrail(config: StoreConfig, options: ExportOptions, output: ExportOutput): Promise<boolean> {
  const archive = await openAuditArchive(config);
  try {
    const previous = await lastExported(archive.reader, options.after).catch((error: unknown) => {
      throw brokenOff(error, archive, goOnAfter(options.after));
    });
    const lines = await output.open();
    try {
      return await exportFrom({ archive, previous }, options, { ...output, print: lines.print });
    } finally {
      await lines.close();
    }
  } finally {
    await archive.close();
  }
}

async function exportFrom(
  { archive, previous }: { archive: AuditArchive; previous: ChainEnd | undefined },
  { since = Number.NEGATIVE_INFINITY, until = Number.POSITIVE_INFINITY, after, stopped }: ExportOptions,
  output: Output,
): Promise<boolean> {
  const progress = new Progress(output);
  const isWhole = since === Number.NEGATIVE_INFINITY && until === Number.POSITIVE_INFINITY;
  let count = 0;
  let last = after;
  // The writers of whose chain a part is begun, and ended: where a clock was set back it would have holes by the time of each record.
  let begun = after === undefined ? undefined : placeIn(after)?.writer;
  let ended: string | undefined;
  try {
    for await (const { dropped, records } of archive.reader.walk(after)) {
      // From one file into another nothing else would come to its turn, such as a signal.
      await setImmediate();
      const begins = new Map<string, ChainEnd & Dropped>();
      for (const each of dropped) {
        const end = endOf(each);
        if (end === undefined) return refuse(`of what was dropped of writer ${each.writer}`, output);
        // Said already, or still there when it was exported.
        if (previous?.writer === end.writer && previous.sequence >= end.sequence) continue;
        begins.set(end.writer, { ...end, line: each.line });
      }
      for (const { id, record } of records) {
        if (stopped?.aborted) return tellStopped(count, last, output);
        if (!record) return refuse(id, output);
        const begin = begins.get(record.writer);
        begins.delete(record.writer);
        const before = begin ?? previous;
        previous = record;
        if (record.writer !== begun && (record.at < since || record.at >= until)) continue;
        begun = record.writer;
        if (record.at >= until) ended = record.writer;
        if (record.writer === ended) continue;
        if (begin) await output.print(begin.line);
        const previousHash = before?.writer === record.writer ? before.hash : GENESIS;
        await output.print(writeLine({ ...record, previousHash }));
        last = id;
        progress.at(++count);
      }
      if (isWhole) for (const { line } of begins.values()) await output.print(line);
    }
  } catch (error) {
    throw brokenOff(error, archive, goOnAfter(last));
  }
  progress.end(count, archive.name);
  return true;
}

function tellStopped(count: number, last: string | undefined, output: Output): false {
  output.report(`${count} records, stopped. ${goOnAfter(last)}.`);
  return false;
}

function goOnAfter(last: string | undefined): string {
  return last === undefined ? "Begin again, with another file" : `Go on with --after ${last}, into another file`;
}

/** Lines of an export that, when they cannot be written any more, say how to go on. `out`: their file. */
export function resumable({ print, close }: Lines, out: string | undefined, after: string | undefined): Lines {
  const orSay = async (error: Error): Promise<never> => {
    const isFile = out !== undefined && statSync(out, { throwIfNoEntry: false })?.isFile();
    throw new StartError(`${error.message} ${isFile ? await describeWhole(out, after) : UNKNOWN}.`, { cause: error });
  };
  return { print: (line) => print(line).catch(orSay), close: () => close().catch(orSay) };
}

/** What of it got through, only its reader knows. */
const UNKNOWN =
  "Cut off a last line without its end, and go on with --after and the id of the last whole one, into another file";

async function describeWhole(file: string, after: string | undefined): Promise<string> {
  let count = 0;
  let last = after;
  let isTorn = false;
  for await (const { text, isEnded } of linesOf(file)) {
    isTorn = !isEnded;
    const id = isEnded ? readLine(text)?.id : undefined;
    if (id !== undefined) count += 1;
    last = id ?? last;
  }
  const end = count === 0 ? "" : `, up to ${last}`;
  const half = isTorn ? ", and the beginning of a line: cut that off" : "";
  return `It has ${count} whole records${end}${half}. ${goOnAfter(last)}`;
}

function refuse(id: string, output: Output): false {
  output.report(`record ${id} cannot be exported: it is not as the gateway writes them; see audit verify`);
  return false;
}

/** Undefined when there was none, or none that is there any more. */
async function lastExported(reader: AuditReader, id: string | undefined): Promise<ChainEnd | undefined> {
  if (id === undefined) return undefined;
  const [record] = await reader.findByIds([id]);
  if (record) return record;
  const place = placeIn(id);
  const { dropped } = await reader.batch(id, 1);
  const end = dropped.map(endOf).find((each) => each?.writer === place?.writer);
  if (place && end && end.sequence >= place.sequence) return undefined;
  throw new StartError(`There is no record ${id} to go on after: check --after.`);
}

function endOf({ writer, line }: Dropped): ChainEnd | undefined {
  const end = readClaim(line);
  return typeof end === "string" || end.writer !== writer ? undefined : end;
}
