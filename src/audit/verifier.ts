/**
 * The whole trail, looked at record by record: each writer's chain in its order, whatever comes between. A chain may begin
 * with what was dropped for its age; that has to be said before the records that are left.
 */
import type { KeyObject } from "node:crypto";
import { StartError } from "../errors.js";
import { type ChainEnd, faultOf, GENESIS, isErased } from "./chain.js";
import type { StoredRecord, WalkedBatch } from "./query.js";
import { placeIn, recordId } from "./record.js";
import { readClaim, readEnd } from "./signed-end.js";

/** What is wrong, and with which record. */
export interface Fault {
  /** Null when its id does not tell. */
  readonly writer: string | null;
  readonly sequence: number | null;
  readonly id: string;
  readonly reason: string;
}

/** What the trail is held to, by those who keep it elsewhere. */
export interface Trust {
  /** For each writer that has any, its last checkpoint. */
  readonly vouched?: ReadonlyMap<string, ChainEnd> | undefined;
  /**
   * Those with which what is said to be dropped has to be signed; asked for when something is. Without it such lines are
   * taken as they are, and the chain for a part of one.
   */
  readonly keys?: (() => readonly KeyObject[]) | undefined;
}

const MISSING =
  "Records are missing, and only the key of checkpoints tells whether the gateway dropped them, as is said";

/** Keeps one end for each writer, and nothing of any record. */
export class Verifier {
  readonly #vouched: ReadonlyMap<string, ChainEnd>;
  readonly #keys: Trust["keys"];
  readonly #ends = new Map<string, ChainEnd>();
  #records = 0;
  #parts = 0;
  #before = 0;
  #erased = 0;
  readonly #aged = new Set<string>();
  #dropped = 0;
  #lastDropped: ChainEnd | undefined;
  #unvouched = 0;
  #firstUnvouched: string | undefined;

  constructor({ vouched = new Map(), keys }: Trust = {}) {
    this.#vouched = vouched;
    this.#keys = keys;
  }

  get records(): number {
    return this.#records;
  }

  get writers(): number {
    return this.#ends.size;
  }

  /** Writers whose first record here is not the first of their chain, and the records of theirs that would come before it. */
  get parts(): { readonly writers: number; readonly before: number } {
    return { writers: this.#parts, before: this.#before };
  }

  /**
   * Records that are not here, by a signature since they were dropped for their age; of how many writers, and the end of what went
   * last. In an export they may have been when it was made: a signature from later stands for their removal as well.
   */
  get aged(): { readonly writers: number; readonly count: number; readonly last: ChainEnd | undefined } {
    return { writers: this.#aged.size, count: this.#dropped, last: this.#lastDropped };
  }

  /**
   * Records that no checkpoint stands for, where there are any checkpoints: the newest ones, or those of a process that was
   * killed before it could have them signed. Or they were invented: nothing else tells.
   */
  get unvouched(): { readonly count: number; readonly first: string | undefined } {
    return { count: this.#unvouched, first: this.#firstUnvouched };
  }

  /** Records with a personal value that can be proven no longer: whoever erased it, the chain stays whole. */
  get erased(): number {
    return this.#erased;
  }

  /** A whole batch: what is wrong with each thing in it. */
  *addBatch({ dropped, records }: WalkedBatch): Generator<Fault | undefined> {
    for (const { writer, line } of dropped)
      yield this.addDropped(line, `of what was dropped of writer ${writer}`, writer);
    for (const { id, record } of records) yield record ? this.add(record) : foreign(id);
  }

  /**
   * A line that says up to where a writer's records were dropped, or what is wrong with it. `place` is where it was found, and `of`
   * the writer whose it is there, where that is said: another's would stand for records of which it says nothing. Throws a
   * `StartError` without keys where it stands for what is missing behind records.
   */
  addDropped(line: string, place: string, of?: string): Fault | undefined {
    const end = this.#keys ? readEnd("dropped", line, this.#keys()) : readClaim(line);
    if (typeof end === "string") return faultAt(place, `it ${end}`);
    if (of !== undefined && of !== end.writer) return faultAt(place, `it is that of writer ${end.writer}`);
    const { writer, sequence } = end;
    const known = this.#ends.get(writer);
    // Otherwise they were still there when they were looked at.
    if (known && known.sequence >= sequence) return undefined;
    if (known && !this.#keys) throw new StartError(`${MISSING} ${place}: name it with --public-key.`);
    const reason = this.#faultByCheckpoint(end) ?? this.#tooYoung(end);
    if (reason !== undefined) return faultAt(recordId(end), reason);
    if (this.#keys) this.#addAged(end, sequence - (known?.sequence ?? 0));
    else this.#addPart(sequence);
    this.#ends.set(writer, end);
    return undefined;
  }

  /**
   * The next record, or what is wrong with it. `previousHash` is what a part of a trail says of the record before the first
   * one of its writer; without it every chain has to begin at its beginning.
   */
  add(record: StoredRecord, previousHash?: string): Fault | undefined {
    const { writer, sequence, hash } = record;
    const known = this.#ends.get(writer);
    const end = known ?? beginning(record, previousHash ?? GENESIS);
    if (sequence > end.sequence + 1) return missing(end, `it is missing: the next one there is has ${sequence}`);
    const lost = known ? undefined : this.#lostBefore(end);
    if (lost) return lost;
    const reason = faultOf(end, record) ?? this.#faultByCheckpoint(record);
    if (reason !== undefined) return faultAt(record.id, reason);
    if (previousHash !== undefined && previousHash !== end.hash)
      return faultAt(record.id, "the hash that it gives of the record before it is not that record's");
    if (!known && end.sequence > 0) this.#addPart(end.sequence);
    this.#ends.set(writer, { writer, sequence, hash, at: record.at });
    this.#records += 1;
    if (sequence > (this.#vouched.get(writer)?.sequence ?? 0)) {
      this.#unvouched += 1;
      this.#firstUnvouched ??= record.id;
    }
    if (isErased(record.actorSeal) || isErased(record.reasonSeal)) this.#erased += 1;
    return undefined;
  }

  /** After the last record: what a signature stands for and is not there. */
  end(): Fault | undefined {
    for (const { writer, sequence } of this.#vouched.values()) {
      const end = this.#ends.get(writer);
      if (end === undefined) {
        return missing(
          { writer, sequence: 0 },
          `the whole writer is missing: a checkpoint stands for ${sequence} of its records`,
        );
      }
      if (end.sequence < sequence)
        return missing(end, `the end is cut off: a checkpoint stands for ${sequence} records`);
    }
    return undefined;
  }

  #addPart(before: number): void {
    this.#parts += 1;
    this.#before += before;
  }

  #addAged(end: ChainEnd, count: number): void {
    this.#aged.add(end.writer);
    this.#dropped += count;
    if (end.at >= (this.#lastDropped?.at ?? 0)) this.#lastDropped = end;
  }

  /** Where a writer begins here after what a signature stands for, nothing holds it to that but the hash before it. */
  #lostBefore(beginning: ChainEnd): Fault | undefined {
    const vouched = this.#vouched.get(beginning.writer);
    const next = beginning.sequence + 1;
    if (vouched === undefined || vouched.sequence > beginning.sequence) return undefined;
    if (vouched.sequence < beginning.sequence) {
      const reason = `it is missing: a checkpoint stands for it, and what there is begins with ${next}`;
      return faultAt(recordId(vouched), reason);
    }
    if (vouched.hash === beginning.hash) return undefined;
    return faultAt(
      recordId({ writer: vouched.writer, sequence: next }),
      "the record before it is not the one that a checkpoint stands for",
    );
  }

  /** A chain that was made anew with older records, so that those would be dropped. */
  #tooYoung({ writer, sequence, at }: ChainEnd): string | undefined {
    const vouched = this.#vouched.get(writer);
    const isYounger = vouched !== undefined && vouched.sequence <= sequence && vouched.at >= at;
    return isYounger ? "what was dropped is not what a checkpoint stands for, which was younger" : undefined;
  }

  #faultByCheckpoint({ writer, sequence, hash }: ChainEnd): string | undefined {
    const vouched = this.#vouched.get(writer);
    const isOther = vouched?.sequence === sequence && vouched.hash !== hash;
    return isOther ? "it is not the one that a checkpoint stands for" : undefined;
  }
}

function beginning({ writer, sequence }: StoredRecord, previousHash: string): ChainEnd {
  return { writer, sequence: previousHash === GENESIS ? 0 : sequence - 1, hash: previousHash, at: 0 };
}

function missing({ writer, sequence }: Pick<ChainEnd, "writer" | "sequence">, reason: string): Fault {
  return faultAt(recordId({ writer, sequence: sequence + 1 }), reason);
}

/** The fault of what cannot be a record. */
export function foreign(id: string): Fault {
  return faultAt(id, "it is not as the gateway writes records");
}

/** The fault of the beginning of one, at the end of an export. */
export function torn(id: string): Fault {
  return faultAt(id, "the file ends within a record: the export broke off");
}

/** The fault of whatever is found under this id. */
function faultAt(id: string, reason: string): Fault {
  const { writer = null, sequence = null } = placeIn(id) ?? {};
  return { writer, sequence, id, reason };
}
