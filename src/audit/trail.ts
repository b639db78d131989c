import type { Deadline } from "../deadline.js";
import { GatewayError } from "../errors.js";
import type { Place, Tracing } from "../observe/tracing.js";
import { type ChainEnd, chain, GENESIS } from "./chain.js";
import type { AuditEvent, AuditRecord } from "./record.js";

/** A statement has bounds on its parameters, and whoever waits for one write should not wait for everybody. */
const MOST_IN_A_WRITE = 250;
const WRITER_BYTES = 16;
const CLOCK_STEP_MS = 60_000;
/** How late a caller may learn that the time is up. */
const SWEEP_MS = 25;

/** Where records are kept. */
export interface TrailStore {
  /** All or none, durable once it resolves. */
  append(records: readonly AuditRecord[]): Promise<void>;
}

/** Where records go besides. */
interface TrailSinks {
  /** Resolves once whoever has to have these records, of which the first follows this hash, has them. */
  take(records: readonly AuditRecord[], previousHash: string): Promise<void>;
}

interface TrailObserver {
  /** So many records are durable, and this is the last of them. */
  written(count: number, end: ChainEnd): void;
  /** So many records are not, or nobody knows, or a sink that has to have them does not. */
  failed(count: number, error: unknown): void;
}

interface TrailParts {
  readonly store: TrailStore;
  readonly sinks?: TrailSinks;
  readonly now: () => number;
  readonly randomBytes: (length: number) => Buffer;
  /** Most events that wait to be written; what does not fit is refused. */
  readonly queueSize: number;
  /** How long one write is waited for, with all that sinks take of it. */
  readonly writeTimeoutMs: number;
  readonly observe: TrailObserver;
  readonly tracing?: Pick<Tracing, "place" | "joined"> | undefined;
}

const WRITE = { name: "audit write" };

interface Waiting {
  readonly event: AuditEvent;
  /** ms since 1970 */
  readonly at: number;
  readonly deadline: Pick<Deadline, "aborted">;
  readonly resolve: () => void;
  readonly reject: (error: GatewayError) => void;
  /** In the trace of whoever waits. */
  readonly place: Place | undefined;
  /** It was refused at its deadline; it is written all the same. */
  isLetGo: boolean;
}

/**
 * Writes events down, in the order in which they come, in one chain a process. One write is under way at a time; what comes
 * meanwhile goes into the next one together, so the more come at once the less each costs.
 *
 * Once an event is taken it is written, whether anybody still waits for it or not: what it tells has happened. What is in a
 * write that fails is not written again; whoever asked is told, and an intent then stays without its outcome.
 */
export class Trail {
  readonly #parts: TrailParts;
  readonly #queue: Waiting[] = [];
  #end: ChainEnd;
  /** Of the last event. */
  #at = 0;
  #writing: Promise<void> | undefined;
  /** In the write under way. */
  #batch: readonly Waiting[] = [];
  /** One timer for all that wait: to listen to each one's deadline costs more than the record. */
  #sweep: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(parts: TrailParts) {
    this.#parts = parts;
    this.#end = this.#newChain();
  }

  /** Resolves once the event is durable. AUDIT_UNAVAILABLE when it is not by the deadline, or cannot be. */
  record(event: AuditEvent, deadline: Pick<Deadline, "aborted">): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw unavailable(new Error("the trail is closed"));
      if (this.#queue.length >= this.#parts.queueSize)
        throw unavailable(new Error("too many events wait to be written"));
      this.#at = afterStep(this.#at, this.#parts.now());
      const place = this.#parts.tracing?.place();
      const waiting = { event, at: this.#at, deadline, resolve, reject, place, isLetGo: false };
      this.#queue.push(waiting);
      this.#writing ??= this.#begin();
      this.#sweep ??= setInterval(() => this.#letGo(), SWEEP_MS).unref();
      refuseLate(waiting);
    });
  }

  /** How long the oldest event that is not written has been waiting, in ms. */
  get lagMs(): number {
    const oldest = this.#batch[0] ?? this.#queue[0];
    return oldest === undefined ? 0 : Math.max(0, this.#parts.now() - oldest.at);
  }

  /** Takes no more events, and writes those that it has for as long as given. */
  async close(milliseconds: number): Promise<void> {
    this.#isClosed = true;
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds);
    await Promise.race([this.#writing, enough]);
    clearTimeout(timer);
    this.#refuse(this.#queue.splice(0), new Error("the gateway was closed"));
  }

  #letGo(): void {
    this.#batch.forEach(refuseLate);
    this.#queue.forEach(refuseLate);
    if (this.#writing !== undefined) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  /** By one of those who wait, and of nobody's trace: what goes wrong is no more that one's than the others'. */
  #begin(): Promise<void> {
    const writeAll = () => this.#writeAll();
    return this.#parts.tracing?.joined(WRITE, [], writeAll) ?? writeAll();
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      // All that this turn of the event loop brings is taken together: a SQLite write would end before any more came.
      await turn();
      this.#batch = this.#queue.splice(0, MOST_IN_A_WRITE);
      await this.#write(this.#batch);
    }
    this.#batch = [];
    this.#writing = undefined;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 0) return;
    const begin = this.#end;
    try {
      await inTime(this.#keepTraced(batch, begin), this.#parts.writeTimeoutMs);
    } catch (error) {
      const isStored = this.#end !== begin;
      // Nobody knows whether the old chain has got those records, all or none, now or later; a record that went on from
      // either guess could leave a hole or a double. A chain of its own is right whatever became of them.
      if (!isStored) this.#end = this.#newChain();
      this.#refuse(batch, isStored ? new Error("stored, but not taken by a required sink", { cause: error }) : error);
      return;
    }
    for (const { resolve } of batch) resolve();
  }

  #keepTraced(batch: readonly Waiting[], begin: ChainEnd): Promise<void> {
    const { tracing } = this.#parts;
    if (tracing === undefined) return this.#keep(batch, begin);
    const places = batch.map(({ place }) => place);
    return tracing.joined(WRITE, places, () => this.#keep(batch, begin));
  }

  async #keep(batch: readonly Waiting[], begin: ChainEnd): Promise<void> {
    const { store, sinks, observe } = this.#parts;
    const { records, end } = this.#chained(batch);
    await store.append(records);
    // Otherwise it took too long, and another chain has begun.
    if (this.#end === begin) {
      this.#end = end;
      observe.written(batch.length, end);
    }
    await sinks?.take(records, begin.hash);
  }

  #chained(batch: readonly Waiting[]): { records: AuditRecord[]; end: ChainEnd } {
    let end = this.#end;
    const records = batch.map(({ event, at }) => {
      const record = chain(end, event, at, this.#parts.randomBytes);
      end = { writer: record.writer, sequence: record.sequence, hash: record.hash, at };
      return record;
    });
    return { records, end };
  }

  #newChain(): ChainEnd {
    const writer = this.#parts.randomBytes(WRITER_BYTES).toString("base64url");
    return { writer, sequence: 0, hash: GENESIS, at: 0 };
  }

  #refuse(batch: readonly Waiting[], error: unknown): void {
    if (batch.length === 0) return;
    this.#parts.observe.failed(batch.length, error);
    for (const { reject } of batch) reject(unavailable(error));
  }
}

/** A clock that is set back a little, as time services do, puts no event before the last one; what is more is told as it is. */
function afterStep(last: number, now: number): number {
  return last - now < CLOCK_STEP_MS ? Math.max(last, now) : now;
}

function unavailable(cause: unknown): GatewayError {
  return new GatewayError("AUDIT_UNAVAILABLE", "The audit trail cannot be written just now.", { cause });
}

function refuseLate(waiting: Waiting): void {
  if (waiting.isLetGo || !waiting.deadline.aborted) return;
  waiting.isLetGo = true;
  waiting.reject(unavailable(new Error("not written in the request's time")));
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** As the write, or an error when it takes too long; a late end of it is of no interest. */
async function inTime(write: Promise<void>, milliseconds: number): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`the write did not end in ${milliseconds} ms`)), milliseconds);
  try {
    await Promise.race([write, late]);
  } finally {
    clearTimeout(timer);
  }
}
