/**
 * `audit verify` and `audit export`: the trail is streamed, from the database or from an export, so that its length does not
 * matter. What is found is printed, what is under way goes to standard error.
 */

import type { KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { type ChainEnd, GENESIS } from "../audit/chain.js";
import { readCheckpoint, TORN } from "../audit/checkpoint.js";
import { readLine, writeLine } from "../audit/export-line.js";
import { readPublicKey } from "../audit/public-key.js";
import { type Fault, faultAt, Verifier } from "../audit/verifier.js";
import type { StoreConfig } from "../config/config.js";
import { StartError } from "../errors.js";
import { type AuditArchive, openAuditArchive } from "../store/audit-archive.js";
import { linesOf, unusable } from "./lines.js";

const PROGRESS_MS = 1000;

export interface Output {
  /** A line of the result; resolves when there is room for more. */
  print(line: string): Promise<void>;
  /** A line about what is under way. */
  report(line: string): void;
  readonly now: () => number;
}

/** Whence the records come. */
export type Source = { readonly store: StoreConfig } | { readonly exportFile: string };

/** For each writer that has any, its last checkpoint. */
type Vouched = ReadonlyMap<string, ChainEnd>;

/** Whether the whole trail is as it was written. Prints so, or the first record that is not. */
export async function verifyTrail(source: Source, vouched: Vouched | undefined, output: Output): Promise<boolean> {
  const verifier = new Verifier(vouched);
  const progress = new Progress(output);
  const faults =
    "store" in source ? faultsInStore(source.store, verifier) : faultsInExport(source.exportFile, verifier);
  let found: Fault | undefined;
  for await (const fault of faults) {
    progress.at(verifier.records);
    found = fault;
    if (found) break;
  }
  found ??= verifier.end();
  progress.end(verifier.records);
  await output.print(found ? describeFault(found) : describeWhole(verifier, vouched));
  return found === undefined;
}

function describeWhole({ records, writers, parts, erased }: Verifier, vouched: Vouched | undefined): string {
  const signed = vouched ? `, ${vouched.size} of them with a checkpoint` : "";
  const begun = parts > 0 ? `, ${parts} of them without their beginning` : "";
  const without = erased > 0 ? `, ${erased} records with erased values` : "";
  return `${records} records of ${writers} writers${signed}${begun}${without}, whole`;
}

function describeFault({ writer, sequence, id, reason }: Fault): string {
  const place = writer === null ? "" : `writer ${writer}, sequence ${sequence}: `;
  return `not whole: ${place}record ${id}: ${reason}`;
}

/**
 * The last checkpoint of each writer in a file of them, every one of which has to be signed with this key. Undefined, after it
 * was said why, when one is not.
 */
export async function readCheckpoints(file: string, key: KeyObject, output: Output): Promise<Vouched | undefined> {
  const last = new Map<string, ChainEnd>();
  let number = 0;
  for await (const line of linesOf(file)) {
    number += 1;
    const checkpoint = readCheckpoint(line, key);
    if (checkpoint === TORN) {
      // Whoever could tear it could as well have taken it away; a later one of the writer stands for as much.
      output.report(`the checkpoint in line ${number} of ${file} ${TORN}: it stands for nothing`);
      continue;
    }
    if (typeof checkpoint === "string") {
      await output.print(`not whole: the checkpoint in line ${number} of ${file} ${checkpoint}`);
      return undefined;
    }
    if (checkpoint.sequence >= (last.get(checkpoint.writer)?.sequence ?? 0)) last.set(checkpoint.writer, checkpoint);
  }
  return last;
}

/** A public key in PEM. Throws a `StartError` when the file has none. */
export function readKeyFile(file: string): KeyObject {
  if (!existsSync(file)) throw unusable(`The file ${file}`, "read", { code: "ENOENT" });
  const key = readPublicKey(readFileSync(file, "utf8"));
  if (key === undefined) throw new StartError(`The file ${file} does not hold an Ed25519 public key in PEM.`);
  return key;
}

const NOT_OURS = "it is not as the gateway writes records";

/** One for each record, undefined while nothing is wrong. */
async function* faultsInStore(config: StoreConfig, verifier: Verifier): AsyncGenerator<Fault | undefined> {
  const archive = await openAuditArchive(config);
  try {
    for await (const batch of archive.reader.walk()) {
      for (const { id, record } of batch) yield record ? verifier.add(record) : faultAt(id, NOT_OURS);
    }
  } finally {
    await archive.close();
  }
}

async function* faultsInExport(file: string, verifier: Verifier): AsyncGenerator<Fault | undefined> {
  let number = 0;
  for await (const line of linesOf(file)) {
    number += 1;
    const record = readLine(line);
    yield record ? verifier.add(record, record.previousHash) : faultAt(`in line ${number}`, NOT_OURS);
  }
}

export interface ExportOptions {
  /** ms since 1970, inclusive */
  readonly since: number | undefined;
  /** ms since 1970, exclusive */
  readonly until: number | undefined;
  /** The id that the last export ended with. */
  readonly after: string | undefined;
}

/** Prints each record as a line of JSON, in the order in which they are verified. False when one cannot be told. */
export async function exportTrail(config: StoreConfig, options: ExportOptions, output: Output): Promise<boolean> {
  const { since = Number.NEGATIVE_INFINITY, until = Number.POSITIVE_INFINITY, after } = options;
  const archive = await openAuditArchive(config);
  const progress = new Progress(output);
  let count = 0;
  try {
    let previous = await lastExported(archive, after);
    for await (const batch of archive.reader.walk(after)) {
      for (const { id, record } of batch) {
        if (!record) {
          output.report(`record ${id} cannot be exported: ${NOT_OURS}; see audit verify`);
          return false;
        }
        const previousHash = previous?.writer === record.writer ? previous.hash : GENESIS;
        previous = record;
        if (record.at < since || record.at >= until) continue;
        await output.print(writeLine({ ...record, previousHash }));
        progress.at(++count);
      }
    }
  } finally {
    await archive.close();
  }
  progress.end(count);
  return true;
}

async function lastExported(
  { reader }: AuditArchive,
  id: string | undefined,
): Promise<Omit<ChainEnd, "sequence"> | undefined> {
  if (id === undefined) return undefined;
  const [record] = await reader.findByIds([id]);
  if (record === undefined) throw new StartError(`There is no record ${id} to go on after: check --after.`);
  return record;
}

/** Says how far it is, about once a second. */
class Progress {
  #next: number;

  constructor(private readonly output: Output) {
    this.#next = output.now() + PROGRESS_MS;
  }

  at(records: number): void {
    const now = this.output.now();
    if (now < this.#next) return;
    this.#next = now + PROGRESS_MS;
    this.output.report(`${records} records`);
  }

  end(records: number): void {
    this.output.report(`${records} records, done`);
  }
}
