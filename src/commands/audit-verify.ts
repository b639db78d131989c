/**
 * `audit verify`: the trail is streamed, from the database or from an export, so that its length does not matter. What is kept of it is
 * an end for each writer, of which there is one more with each start of a gateway.
 */
import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ChainEnd } from "../audit/chain.js";
import { isJson, readLine } from "../audit/export-line.js";
import { recordId } from "../audit/record.js";
import { claims, isStated, readEnd, TORN } from "../audit/signed-end.js";
import { type Fault, foreign, type Trust, torn, Verifier } from "../audit/verifier.js";
import type { StoreConfig } from "../config/config.js";
import { readPublicKey } from "../config/signing-keys.js";
import { StartError } from "../errors.js";
import { type AuditArchive, brokenOff, openAuditArchive, secondsForIndexes } from "../store/audit-archive.js";
import { printableLine } from "../text.js";
import { type Line, linesOf, unusable } from "./lines.js";
import { type Output, Progress } from "./output.js";

/** Whence the records come. */
export type Source = { readonly store: StoreConfig } | { readonly exportFile: string };

/** Whether the whole trail is as it was written. Prints so, or the first record that is not. */
export async function verifyTrail(source: Source, trust: Trust, output: Output): Promise<boolean> {
  if ("exportFile" in source)
    return await verify((verifier) => faultsInExport(source.exportFile, verifier), trust, output);
  const archive = await openAuditArchive(source.store);
  try {
    return await verify((verifier) => faultsInStore(archive, verifier, output), trust, output, archive.name);
  } catch (error) {
    throw brokenOff(error, archive, "Begin again");
  } finally {
    await archive.close();
  }
}

async function verify(
  /** One for each thing that there is, undefined while nothing is wrong. */
  faultsBy: (verifier: Verifier) => AsyncIterable<Fault | undefined>,
  trust: Trust,
  output: Output,
  from?: string,
): Promise<boolean> {
  const verifier = new Verifier(trust);
  const progress = new Progress(output);
  let found: Fault | undefined;
  for await (const fault of faultsBy(verifier)) {
    progress.at(verifier.records);
    found = fault;
    if (found) break;
  }
  found ??= verifier.end();
  progress.end(verifier.records, from);
  // What somebody has put into the trail would else have a terminal show another result.
  await output.print(printableLine(found ? describeFault(found) : describeWhole(verifier, trust)));
  if (found === undefined && trust.vouched === undefined) output.report(NO_CHECKPOINTS);
  return found === undefined;
}

const NO_CHECKPOINTS =
  "No checkpoints were looked at: a chain that was cut off at its end, or made anew, is whole by itself. Name a file of them with --checkpoints.";

function describeWhole(
  { records, writers, aged, parts, unvouched: { count, first }, erased }: Verifier,
  { vouched }: Trust,
): string {
  const signed = vouched ? `, ${vouched.size} of them with a checkpoint` : "";
  const begun =
    parts.writers > 0 ? `, ${parts.writers} of them without their beginning of ${parts.before} records` : "";
  const without = erased > 0 ? `, ${erased} records with erased values` : "";
  const unsigned = vouched && count > 0 ? `, ${count} records that no checkpoint stands for, the first ${first}` : "";
  return `${records} records of ${writers} writers${signed}${describeAged(aged)}${begun}${without}${unsigned}, whole`;
}

/** With what somebody who knows how old an export is can hold it to: what went later went from the export. */
function describeAged({ writers, count, last }: Verifier["aged"]): string {
  if (last === undefined) return "";
  const before = new Date(last.at).toISOString();
  return `, ${count} records of ${writers} of them dropped for their age, the last ${recordId(last)}, from before ${before}`;
}

function describeFault({ writer, sequence, id, reason }: Fault): string {
  const place = writer === null ? "" : `writer ${writer}, sequence ${sequence}: `;
  return `not whole: ${place}record ${id}: ${reason}`;
}

/**
 * The last checkpoint of each writer in a file of them, every one of which has to be signed with one of these keys. Undefined,
 * after it was said why, when one is not.
 */
export async function readCheckpoints(
  file: string,
  keys: readonly KeyObject[],
  output: Output,
): Promise<Trust["vouched"]> {
  const last = new Map<string, ChainEnd>();
  let number = 0;
  for await (const { text: line } of linesOf(file)) {
    number += 1;
    // Standard output has other lines, too, with what clients say in them.
    if (!isStated("checkpoint", line)) continue;
    const checkpoint = readEnd("checkpoint", line, keys);
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
  if (last.size === 0) throw new StartError(`The file ${file} has no checkpoint: name another with --checkpoints.`);
  return last;
}

/** A public key. Throws a `StartError` when the file has none. */
export function readKeyFile(file: string): KeyObject {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw unusable(`The file ${file}`, "read", error);
  }
  const key = readPublicKey(text);
  if (key === undefined)
    throw new StartError(`The file ${file} does not hold an Ed25519 public key (SPKI, as PEM or as DER in base64).`);
  return key;
}

async function* faultsInStore(
  { reader, faultOfIndexes }: AuditArchive,
  verifier: Verifier,
  output: Output,
): AsyncGenerator<Fault | undefined> {
  for await (const batch of reader.walk()) yield* verifier.addBatch(batch);
  if (faultOfIndexes === undefined) return;
  const { records } = verifier;
  output.report(`${records} records, and now the indexes, in about ${secondsForIndexes(records)} s`);
  const found = await faultOfIndexes();
  if (found !== undefined)
    yield { writer: null, sequence: null, id: "in the database file", reason: `SQLite finds: ${found}` };
}

async function* faultsInExport(file: string, verifier: Verifier): AsyncGenerator<Fault | undefined> {
  let number = 0;
  for await (const line of linesOf(file)) {
    number += 1;
    yield faultOfLine(line, `in line ${number}`, verifier);
  }
  if (number === 0) throw new StartError(`The file ${file} has no record: name another with --export.`);
}

function faultOfLine({ text, isEnded }: Line, place: string, verifier: Verifier): Fault | undefined {
  if (claims("dropped", text)) return verifier.addDropped(text, place);
  const record = readLine(text);
  if (record) return verifier.add(record, record.previousHash);
  return isEnded || isJson(text) ? foreign(place) : torn(place);
}
