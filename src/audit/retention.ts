/**
 * Retention: records that are older than the configured age are dropped. Always the beginning of a writer's chain, in segments
 * whose records are verified first; the end of what was dropped stays, signed, so that the rest still verifies and nobody
 * else can have records look as if they had been dropped for their age.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { setImmediate, setTimeout } from "node:timers/promises";
import { runLoop } from "../loop.js";
import type { AuditReader } from "../store/audit-reader.js";
import type { AuditStore } from "../store/audit-store.js";
import type { Dropped, WalkedBatch, WalkedRecord } from "./query.js";
import { idAfter, placeIn, recordId } from "./record.js";
import { readClaim, signEnd } from "./signed-end.js";
import { type Fault, Verifier } from "./verifier.js";

/** How often it looks for what is old enough. */
const LOOK_MS = 10 * 60_000;
/** A machine may start with a wrong time, which is set right soon after. */
const FIRST_LOOK_MS = 60_000;
/** Most records of one segment: some ms, in which a process on SQLite does nothing else. */
const SEGMENT = 250;

interface RetentionObserver {
  dropped(count: number): void;
  /** The records of this chain are old enough, and stay, for it is not whole. Told at each look. */
  kept(fault: Fault): void;
  failed(error: unknown): void;
  works(): void;
}

interface RetentionParts {
  readonly reader: AuditReader;
  readonly store: AuditStore;
  readonly maxAgeMs: number;
  /** Signs. */
  readonly key: KeyObject;
  /** Those that have signed before it. */
  readonly earlierKeys: readonly KeyObject[];
  readonly now: () => number;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
  readonly observe: RetentionObserver;
}

/** The same instant by both clocks. */
interface Instant {
  readonly now: number;
  readonly elapsed: number;
}

export class Retention {
  readonly #parts: RetentionParts;
  readonly #keys: readonly KeyObject[];
  readonly #stopped = new AbortController();
  #loop: Promise<void> | undefined;
  /** Of the last look, or of the beginning. */
  #last: Instant;

  constructor(parts: RetentionParts) {
    this.#parts = parts;
    this.#keys = [createPublicKey(parts.key), ...parts.earlierKeys];
    this.#last = this.#instant();
  }

  start(delayMs = FIRST_LOOK_MS): void {
    this.#loop = this.#run(delayMs);
  }

  async #run(delayMs: number): Promise<void> {
    await setTimeout(delayMs, undefined, { signal: this.#stopped.signal, ref: false }).catch(() => {});
    await runLoop({
      next: () => this.dropAged().then(() => false),
      restMs: LOOK_MS,
      signal: this.#stopped.signal,
      onFailure: (error) => this.#parts.observe.failed(error),
      onSuccess: () => this.#parts.observe.works(),
    });
  }

  /** Resolves when the segment under way has ended; the rest waits for the next process. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  /** Looks at every chain's beginning. */
  async dropAged(): Promise<void> {
    const { reader, maxAgeMs } = this.#parts;
    const before = this.#timeByTwoLooks() - maxAgeMs;
    // In SQLite an id may be none: null comes before all text, and bytes come after it.
    let position = "";
    while (!this.#stopped.signal.aborted) {
      const [first] = (await reader.batch(position, 1)).records;
      // What is not read as it is written may be found again for ever.
      if (first === undefined || first.id <= position) return;
      const isAged = first.record === undefined || first.record.at < before;
      const dropped = isAged ? await this.#dropSegment(position, before) : undefined;
      position = dropped ?? behind(first.id);
      await setImmediate();
    }
  }

  /** What is dropped is gone for good: a clock that has gone ahead since the last look is not believed before the next one. */
  #timeByTwoLooks(): number {
    const last = this.#last;
    this.#last = this.#instant();
    const { now, elapsed } = this.#last;
    return Math.min(now, Math.floor(last.now + elapsed - last.elapsed));
  }

  #instant(): Instant {
    return { now: this.#parts.now(), elapsed: this.#parts.elapsed() };
  }

  /** The next one after this position; answers its last id. Undefined when nothing of it can be dropped. */
  async #dropSegment(position: string, before: number): Promise<string | undefined> {
    const { reader, store, key, observe } = this.#parts;
    const aged = agedIn(await reader.batch(position, SEGMENT), before);
    const verifier = new Verifier({ keys: () => this.#keys });
    for (const fault of verifier.addBatch(aged)) {
      if (fault === undefined) continue;
      observe.kept(fault);
      return undefined;
    }
    const [first, last] = [aged.records[0]?.record, aged.records.at(-1)?.record];
    if (first === undefined || last === undefined) return undefined;
    const [said] = aged.dropped;
    const line = signEnd("dropped", { ...last, at: Math.max(before, atOf(said)) }, key);
    if (!(await store.drop({ first, last, line, said: said?.line }))) return undefined;
    observe.dropped(verifier.records);
    return recordId(last);
  }
}

/** Of the batch's first chain, what is old enough from its beginning on. */
function agedIn({ dropped, records }: WalkedBatch, before: number): WalkedBatch {
  const writer = writerOf(records[0]);
  const isAged = (walked: WalkedRecord) =>
    writerOf(walked) === writer && (walked.record === undefined || walked.record.at < before);
  const end = records.findIndex((walked) => !isAged(walked));
  return {
    dropped: dropped.filter((each) => each.writer === writer),
    records: end < 0 ? records : records.slice(0, end),
  };
}

/**
 * A position behind this row and its chain, and before all others. What is not UTF-8 is read as U+FFFD, and stands behind every text of
 * ours that begins as it does.
 */
function behind(id: string): string {
  const odd = id.indexOf("\ufffd");
  if (odd > 0) return id.slice(0, odd - 1) + String.fromCharCode(id.charCodeAt(odd - 1) + 1);
  const writer = placeIn(id)?.writer;
  return writer === undefined ? id : idAfter(writer);
}

function atOf(said: Dropped | undefined): number {
  const end = said && readClaim(said.line);
  return typeof end === "object" ? end.at : 0;
}

/** Undefined for what is not ours. */
function writerOf(walked: WalkedRecord | undefined): string | undefined {
  return walked && placeIn(walked.id)?.writer;
}
