/**
 * Sinks: where records go besides the store, for whoever collects logs. Once records are durable in the store, each sink gets
 * them as lines of an export. A required one has to take them before they are told as durable; of the others nobody waits.
 *
 * What a sink cannot take is kept for it, up to a bound, and written before what comes next; beyond that it is lost to this
 * sink, and counted. The store has it in any case.
 */
import { waitAtMost } from "../in-time.js";
import { writeLine } from "./export-line.js";
import { type AuditRecord, recordId } from "./record.js";
import type { SinkOutput } from "./sink-outputs.js";

interface SinkObserver {
  /** Told once, until it is back. */
  down(error: unknown): void;
  back(): void;
  /** So many records will never be in it. */
  lost(count: number): void;
}

interface SinkParts {
  /** For messages. */
  readonly name: string;
  readonly output: SinkOutput;
  readonly isRequired: boolean;
  /** Most records that are kept for it. */
  readonly queueSize: number;
  readonly observe: SinkObserver;
}

interface Batch {
  readonly count: number;
  /** What is still to be written. */
  bytes: Buffer;
  readonly taken: PromiseWithResolvers<void>;
}

/** How long a sink may take nothing of what waits for it, ms. */
const STALLED_MS = 2000;

/** One write is under way at a time, so one that hangs holds up nothing but this sink. */
export class Sink {
  readonly #parts: SinkParts;
  readonly #queue: Batch[] = [];
  #waiting = 0;
  #writing: Promise<void> | undefined;
  #isDown = false;
  /** What it failed with last, until it takes something. */
  #fault: { readonly error: unknown } | undefined;
  /** When it took something last, or began to have something to take; ms. */
  #movedAt = 0;
  #isClosing = false;

  constructor(parts: SinkParts) {
    this.#parts = parts;
  }

  get isRequired(): boolean {
    return this.#parts.isRequired;
  }

  /**
   * Resolves once they are written, and rejects when they cannot be now; they may be later all the same, unless it is being closed:
   * nobody would write them then.
   */
  take(lines: readonly string[]): Promise<void> {
    const { queueSize, observe } = this.#parts;
    if (this.#isClosing || this.#waiting + lines.length > queueSize) {
      const error = new Error(this.#isClosing ? "it is being closed" : "too many records wait for it");
      this.#down(error);
      observe.lost(lines.length);
      // Nothing else would ask whether it is back.
      if (this.#queue.length > 0) this.#writing ??= this.#writeAll();
      return Promise.reject(error);
    }
    if (this.#queue.length === 0) this.#movedAt = performance.now();
    const taken = Promise.withResolvers<void>();
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
    this.#queue.push({ count: lines.length, bytes, taken });
    this.#waiting += lines.length;
    this.#writing ??= this.#writeAll();
    return taken.promise;
  }

  /**
   * Why it takes nothing of what waits for it; undefined where it does. That is tried again, whether or not more comes; what becomes of
   * it, the next look sees.
   */
  whyNotTaking(): Error | undefined {
    if (this.#queue.length === 0) return undefined;
    this.#writing ??= this.#writeAll();
    const { name } = this.#parts;
    if (this.#fault) return new Error(`${name} takes no records`, { cause: this.#fault.error });
    if (performance.now() - this.#movedAt <= STALLED_MS) return undefined;
    return new Error(`${name} has taken nothing for ${STALLED_MS} ms`);
  }

  /** Tries once more to write what it has, for as long as given. */
  async close(milliseconds: number): Promise<void> {
    this.#isClosing = true;
    // One that is under way may have begun to fail: what it leaves is tried anew.
    this.#writing = Promise.resolve(this.#writing).then(() => this.#writeAll());
    await waitAtMost(this.#writing, milliseconds);
    this.#parts.output.close();
    if (this.#waiting === 0) return;
    this.#parts.observe.lost(this.#waiting);
    this.#parts.observe.down(new Error(`${this.#waiting} records were not written to it before the end`));
  }

  /** Until nothing is left or it fails. Never rejects. */
  async #writeAll(): Promise<void> {
    try {
      for (let batch = this.#queue[0]; batch !== undefined; batch = this.#queue[0]) {
        await this.#write(batch);
        this.#movedAt = performance.now();
        this.#fault = undefined;
        this.#queue.shift();
        this.#waiting -= batch.count;
        batch.taken.resolve();
      }
      this.#back();
    } catch (error) {
      this.#down(error);
      for (const { taken } of this.#queue) taken.reject(error);
    }
    // As it closes there is one more behind this, which is not to be forgotten.
    if (!this.#isClosing) this.#writing = undefined;
  }

  /** A batch that was written in part goes on where that ended: no line is torn or doubled. */
  async #write(batch: Batch): Promise<void> {
    while (batch.bytes.length > 0) {
      batch.bytes = batch.bytes.subarray(await this.#parts.output.write(batch.bytes));
    }
  }

  #down(error: unknown): void {
    if (!this.#isDown) this.#parts.observe.down(error);
    this.#isDown = true;
    this.#fault = { error };
  }

  #back(): void {
    if (this.#isDown) this.#parts.observe.back();
    this.#isDown = false;
  }
}

/** All sinks as one. */
export class Sinks {
  constructor(private readonly sinks: readonly Sink[]) {}

  /** Resolves once every required sink has these records of one chain, the first of which follows `previousHash`. */
  async take(records: readonly AuditRecord[], previousHash: string): Promise<void> {
    if (this.sinks.length === 0) return;
    const lines = linesOf(records, previousHash);
    const taking = this.sinks.map(async (sink) => {
      const taken = sink.take(lines);
      if (sink.isRequired) await taken;
      else taken.catch(() => {});
    });
    await Promise.all(taking);
  }

  /** Throws while a required one takes nothing; tries all of them again. */
  check(): void {
    const required = this.sinks.filter(({ isRequired }) => isRequired);
    const [why] = required.flatMap((sink) => sink.whyNotTaking() ?? []);
    if (why) throw why;
  }

  async close(milliseconds: number): Promise<void> {
    await Promise.all(this.sinks.map((sink) => sink.close(milliseconds)));
  }
}

function linesOf(records: readonly AuditRecord[], previousHash: string): string[] {
  return records.map((record, index) =>
    writeLine({ ...record, id: recordId(record), previousHash: records[index - 1]?.hash ?? previousHash }),
  );
}
