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

/** One write is under way at a time, so one that hangs holds up nothing but this sink. */
export class Sink {
  readonly #parts: SinkParts;
  readonly #queue: Batch[] = [];
  #waiting = 0;
  #writing: Promise<void> | undefined;
  /** What it failed with last, until it is back. */
  #fault: { readonly error: unknown } | undefined;
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
    const taken = Promise.withResolvers<void>();
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
    this.#queue.push({ count: lines.length, bytes, taken });
    this.#waiting += lines.length;
    this.#writing ??= this.#writeAll();
    return taken.promise;
  }

  /** Resolves when it takes what waits for it. What it could not take is tried again, whether or not more comes. */
  async check(): Promise<void> {
    const [oldest] = this.#queue;
    if (oldest === undefined) return;
    if (this.#fault === undefined) return await oldest.taken.promise;
    this.#writing ??= this.#writeAll();
    await this.#writing;
    if (this.#fault) throw this.#fault.error;
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
    if (this.#fault === undefined) this.#parts.observe.down(error);
    this.#fault = { error };
  }

  #back(): void {
    if (this.#fault) this.#parts.observe.back();
    this.#fault = undefined;
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

  /** Resolves when each required sink takes what waits for it. */
  async check(): Promise<void> {
    await Promise.all(this.sinks.map((sink) => (sink.isRequired ? sink.check() : undefined)));
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
