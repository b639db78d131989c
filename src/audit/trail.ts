import type { Deadline } from "../deadline.js";
import { GatewayError } from "../errors.js";
import type { Identity } from "../identities/identity.js";
import { inTime, waitAtMost } from "../in-time.js";
import type { Place, Tracing } from "../observe/tracing.js";
import { type ChainEnd, chain, GENESIS } from "./chain.js";
import type { AuditEvent, AuditRecord, Premise } from "./record.js";

/** A statement has bounds on its parameters, and whoever waits for one write should not wait for everybody. */
const MOST_IN_A_WRITE = 250;
/** Of what is enough for a write, as many times as a process has waiting that has no time to spare. */
const MUCH = 3;
/** In so many turns of the event loop, what has been read from a socket by then gets to the trail, unless it waits for others. */
const QUIET_TURNS = 2;
/** Where others have much to do that leaves no record, turns are long. */
const MOST_GATHERING_MS = 5;
/** One request alone brings no more at a time. */
const MOST_OF_ONE = 2;
/** Where one was sent ahead in vain, as they all are behind some poolers, so many go one after the other before the next one is. */
const ALONE_AFTER_VAIN = 64;
/** The same where it may have been in vain or have relied on a row that has changed, which is not told. */
const ALONE_IN_DOUBT = 8;
/** Writes under way at a store that takes longer than that for one: what waits is better in fewer and larger ones there. */
const FEW_AT_ONCE = 2;
const QUICK_MS = 5;
/** Of the time that a write has: in that much the last of those under way is to be answered. */
const SHARE_OF_TIME = 0.5;
const WRITER_BYTES = 16;
const CLOCK_STEP_MS = 60_000;
/** How late a caller may learn that the time is up. */
const SWEEP_MS = 25;

/** Where records are kept. */
export interface TrailStore {
  /** How many writes it does its best with under way at a time. */
  readonly writesAtOnce: number;
  /** So many records are written without waiting for more: what waits is held by requests that could be answered. */
  readonly enoughForAWrite: number;
  /**
   * Adds them, all or none.
   *
   * - Resolves once they are durable, to the rows that the premises are about, none older than the call.
   * - `after`, the last record of a write that has yet to end: only if that has become durable, so that a chain has no holes.
   * - `premises`: only if all of them hold.
   * - Undefined: nothing is stored, now or later. One of those did not hold, the store cannot tell, or wants to be asked again.
   * - `behind`: called as soon as a look at identities behind a record sees them as they are with these records there; in vain where
   *   nothing is stored.
   */
  append(records: readonly AuditRecord[], options?: AppendOptions): Promise<FoundRows | undefined>;
}

/** By their ids, as they were when the statement began that has added the records. */
export type FoundRows = ReadonlyMap<string, Identity>;

export interface AppendOptions {
  readonly after?: Pick<ChainEnd, "writer" | "sequence"> | undefined;
  readonly premises?: readonly Premise[];
  readonly behind?: () => void;
}

export interface RecordOptions {
  /** Called before the event is durable, for what can be asked while the disk is waited for; and again if it has to be written anew. */
  readonly behind?: (() => void) | undefined;
  /** The event is written only if this holds. */
  readonly premise?: Premise | undefined;
  /** Called with the row that the premise is about, as the write has found it, before the event is told to be written. */
  readonly found?: ((row: FoundRow) => void) | undefined;
  /** Called once it is known that the event is not written, or that nobody will know, be it long after whoever asked was refused. */
  readonly lost?: (() => void) | undefined;
}

export interface FoundRow {
  readonly identity: Identity;
  /** When the write was sent that has found it, in ms by the trail's clock. */
  readonly askedAt: number;
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
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
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
  readonly behind: (() => void) | undefined;
  readonly premise: Premise | undefined;
  readonly found: ((row: FoundRow) => void) | undefined;
  readonly lost: (() => void) | undefined;
  /** Whether it was written. */
  readonly resolve: (isWritten: boolean) => void;
  readonly reject: (error: GatewayError) => void;
  /** In the trace of whoever waits. */
  readonly place: Place | undefined;
  /** It was refused at its deadline; it is written all the same. */
  isLetGo: boolean;
}

/** Records on their way. */
interface Write {
  readonly batch: readonly Waiting[];
  readonly records: readonly AuditRecord[];
  /** Of the chain before them, and with them. */
  readonly begin: ChainEnd;
  readonly end: ChainEnd;
  /** Once it is stored and told, or has failed. */
  readonly settled: PromiseWithResolvers<void>;
  askedAt: number;
  /** Once it is stored. */
  found: FoundRows | undefined;
  /** Nothing of it was stored, or will be, and what it was to write is in the queue again. */
  isVoid: boolean;
  /** Whoever asked has been told that it failed. */
  isGivenUp: boolean;
}

/**
 * Writes events down, in the order in which they come, in one chain a process. What comes while as many writes are under way as
 * the store likes goes into the next one together, and so does what comes one upon the other, so the more come the less each
 * costs.
 *
 * Once an event is taken it is written, whether anybody still waits for it or not: what it tells has happened. An intent alone is
 * dropped when its caller is refused before its write begins: what it tells of will not be done. What is in a write that fails, and
 * in those that go on from it, is not written again; whoever asked is told (`lost`), and an intent may stay without its outcome.
 */
export class Trail {
  readonly #parts: TrailParts;
  readonly #queue: Waiting[] = [];
  /** Of the last record that was given to a write. */
  #end: ChainEnd;
  /** Of the last event. */
  #at = 0;
  /** Oldest first. */
  readonly #underWay: Write[] = [];
  /** Sent after one that is void, and so void too, whose answers are yet to come: until then nothing goes on from before them. */
  readonly #void = new Set<Write>();
  /** Writes that are yet to go one after the other. */
  #alone = 0;
  /** How long the store was at the last write that it answered, and when it did, in ms. */
  #tookMs = 0;
  #answeredAt = 0;
  #isNextDue = false;
  /** Whether the last write was of more than one request. */
  #isLastShared = false;
  /** Of whoever closes it: no event waits any more. */
  #idle: PromiseWithResolvers<void> | undefined;
  /** One timer for all that wait: to listen to each one's deadline costs more than the record. */
  #sweep: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(parts: TrailParts) {
    this.#parts = parts;
    this.#end = this.#newChain();
  }

  /**
   * True once the event is durable; false, with nothing written, when it was not to be without a premise that may not hold.
   * AUDIT_UNAVAILABLE when it is not by the deadline, or cannot be.
   */
  record(
    event: AuditEvent,
    deadline: Pick<Deadline, "aborted">,
    { behind, premise, found, lost }: RecordOptions = {},
  ): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const why = this.#whyNotTaken();
      if (why !== undefined) return refuse({ lost, reject }, new Error(why));
      this.#at = afterStep(this.#at, this.#parts.now());
      const place = this.#parts.tracing?.place();
      const told = { behind, premise, found, lost, resolve, reject, place };
      const waiting = { event, at: this.#at, deadline, ...told, isLetGo: false };
      this.#queue.push(waiting);
      this.#sweep ??= setInterval(() => this.#letGo(), SWEEP_MS).unref();
      this.#next();
      refuseLate(waiting);
    });
  }

  #whyNotTaken(): string | undefined {
    if (this.#isClosed) return "the trail is closed";
    return this.#queue.length >= this.#parts.queueSize ? "too many events wait to be written" : undefined;
  }

  /** How long the oldest event that is not written has been waiting, in ms. */
  get lagMs(): number {
    const oldest = this.#underWay[0]?.batch[0] ?? this.#queue[0];
    return oldest === undefined ? 0 : Math.max(0, this.#parts.now() - oldest.at);
  }

  get #isIdle(): boolean {
    return this.#underWay.length + this.#queue.length === 0;
  }

  /** Takes no more events, and writes those that it has for as long as given. */
  async close(milliseconds: number): Promise<void> {
    this.#isClosed = true;
    if (this.#isIdle) return;
    this.#idle ??= Promise.withResolvers();
    await waitAtMost(this.#idle.promise, milliseconds);
    this.#refuse(this.#queue.splice(0), new Error("the gateway was closed"));
  }

  #letGo(): void {
    for (const { batch } of this.#underWay) batch.forEach(refuseLate);
    this.#queue.forEach(refuseLate);
    if (!this.#isIdle) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  /** A write for what this turn of the event loop brings, all together; among many who ask, for what the next ones bring, too. */
  #next(): void {
    if (this.#isNextDue || this.#queue.length === 0 || this.#void.size > 0 || this.#room === 0) return;
    this.#isNextDue = true;
    this.#gather(QUIET_TURNS, this.#parts.elapsed() + MOST_GATHERING_MS);
  }

  /**
   * Waits as long as turns bring more, up to what is enough: a write costs much the same for few as for many. A process that has
   * nothing else to do is through with turns that bring nothing in some 20 µs.
   */
  #gather(turns: number, until: number): void {
    const before = this.#queue.length;
    setImmediate(() => {
      const { length } = this.#queue;
      const isMore = length > before;
      if (turns > 0 && this.#isWorthMore(length) && this.#parts.elapsed() < until)
        return this.#gather(isMore ? QUIET_TURNS : turns - 1, until);
      this.#isNextDue = false;
      if (length > 0 && this.#void.size === 0) this.#begin(this.#queue.splice(0, this.#mostInNext).filter(isStillToBe));
      this.#next();
    });
  }

  /** For so many writes that are sent before those in front of them are answered. */
  get #room(): number {
    return Math.max(0, this.#mostAtOnce - this.#underWay.length);
  }

  /** Each has its time from when it is sent: to a store that is slow, those behind would come too late with nothing wrong. */
  get #mostAtOnce(): number {
    if (this.#alone > 0) return 1;
    const { store, writeTimeoutMs } = this.#parts;
    const isQuick = this.#tookMs <= QUICK_MS;
    const wanted = isQuick ? store.writesAtOnce : Math.min(FEW_AT_ONCE, store.writesAtOnce);
    return Math.max(1, Math.min(wanted, Math.floor((SHARE_OF_TIME * writeTimeoutMs) / this.#tookMs)));
  }

  /**
   * What is answered together comes again together, and if all of a crowd were in one write, this process would have nothing to do
   * while the store is at it. So one that can be followed by another has but what is enough; unless as much waits as for a process
   * that is at work all the time, to which each write is one more thing to do.
   */
  get #mostInNext(): number {
    const { enoughForAWrite } = this.#parts.store;
    const isFollowed = this.#room > 1 && this.#queue.length < MUCH * enoughForAWrite;
    return isFollowed ? enoughForAWrite : MOST_IN_A_WRITE;
  }

  /** Whether so many are of more than one request, and neither enough nor all that there is room for. */
  #isWorthMore(length: number): boolean {
    const isCrowd = length > MOST_OF_ONE || this.#isLastShared;
    return isCrowd && length < Math.min(this.#parts.store.enoughForAWrite, this.#parts.queueSize);
  }

  #begin(batch: readonly Waiting[]): void {
    if (batch.length === 0) {
      if (this.#isIdle) this.#idle?.resolve();
      return;
    }
    this.#isLastShared = batch.length > MOST_OF_ONE;
    if (this.#alone > 0) this.#alone -= 1;
    const before = this.#underWay.at(-1);
    const write: Write = {
      batch,
      begin: this.#end,
      ...this.#chained(batch),
      settled: Promise.withResolvers(),
      askedAt: 0,
      found: undefined,
      isVoid: false,
      isGivenUp: false,
    };
    this.#end = write.end;
    this.#underWay.push(write);
    const see = () => this.#see(write, before);
    // In nobody's trace, though it is begun by one of those who wait: what goes wrong is no more that one's than the others'.
    void (this.#parts.tracing?.joined(WRITE, [], see) ?? see());
  }

  /** To its end. */
  async #see(write: Write, before: Write | undefined): Promise<void> {
    try {
      await inTime(this.#keepTraced(write, before), this.#parts.writeTimeoutMs, "the write did not end in time");
      if (write.found && !write.isGivenUp) tellWritten(write, write.found);
    } catch (error) {
      if (write.isVoid) this.#end = this.#newChain();
      else if (!write.isGivenUp) this.#fail(write, error);
    }
    this.#void.delete(write);
    const index = this.#underWay.indexOf(write);
    if (index !== -1) this.#underWay.splice(index, 1);
    if (this.#isIdle) this.#idle?.resolve();
    this.#next();
  }

  #keepTraced(write: Write, before: Write | undefined): Promise<void> {
    const { tracing } = this.#parts;
    if (tracing === undefined) return this.#keep(write, before);
    const places = write.batch.map(({ place }) => place);
    return tracing.joined(WRITE, places, () => this.#keep(write, before));
  }

  async #keep(write: Write, before: Write | undefined): Promise<void> {
    const { sinks, observe } = this.#parts;
    try {
      write.found = await this.#store(write, before);
      if (write.found && !write.isGivenUp) observe.written(write.records.length, write.end);
    } finally {
      write.settled.resolve();
    }
    if (write.found) await sinks?.take(write.records, write.begin.hash);
  }

  /**
   * The rows found once stored, or undefined once the batch is queued again or given up. Waits for the write before it, whose answer
   * may be seen later.
   */
  async #store(write: Write, before: Write | undefined): Promise<FoundRows | undefined> {
    const { records, batch } = write;
    const { store } = this.#parts;
    const behind = () => {
      for (const waiting of batch) waiting.behind?.();
    };
    const premises = batch.flatMap(({ premise }) => premise ?? []);
    const after = before?.found ? undefined : before?.end;
    write.askedAt = this.#parts.elapsed();
    const found = await store.append(records, { after, premises, behind });
    this.#noteAnswer(write);
    await before?.settled.promise;
    if (found) return found;
    if (write.isVoid || write.isGivenUp) return undefined;
    if (before && !before.found) throw new Error("the records that they go on from have not been stored");
    if (premises.length > 0) {
      if (after !== undefined) this.#alone = Math.max(this.#alone, ALONE_IN_DOUBT);
      this.#takeBack(write);
      return undefined;
    }
    // Something between gateway and database does not keep the two together, or the connection was another one just now.
    this.#alone = ALONE_AFTER_VAIN;
    const foundThen = await store.append(records, { behind });
    if (!foundThen) throw new Error("the database has not run the write, twice");
    return foundThen;
  }

  #noteAnswer({ askedAt }: Write): void {
    const now = this.#parts.elapsed();
    // The store came to it once it was through with the one in front of it.
    this.#tookMs = now - Math.max(askedAt, this.#answeredAt);
    this.#answeredAt = now;
  }

  /**
   * A write of which nothing is stored, as a premise may not hold: whoever named one is told so. The others are written anew, with what
   * was sent after it and goes on from records that will never be.
   */
  #takeBack(refuted: Write): void {
    const [, ...after] = this.#underWay.splice(this.#underWay.indexOf(refuted));
    for (const write of [refuted, ...after]) write.isVoid = true;
    for (const write of after) this.#void.add(write);
    // Unless one that was sent after it has failed meanwhile, and might still be run.
    this.#end = this.#end.writer === refuted.end.writer ? refuted.begin : this.#newChain();
    const others = refuted.batch.filter(({ premise }) => premise === undefined);
    this.#queue.unshift(...others, ...after.flatMap(({ batch }) => batch));
    for (const { premise, resolve } of refuted.batch) if (premise !== undefined) resolve(false);
  }

  #fail(write: Write, error: unknown): void {
    if (write.found) {
      const cause = new Error("stored, but not taken by a required sink", { cause: error });
      this.#refuse(
        write.batch.map(({ reject }) => ({ lost: undefined, reject })),
        cause,
      );
      return;
    }
    // Nobody knows whether the old chain has got those records, all or none, now or later; a record that went on from
    // either guess could leave a hole or a double. A chain of its own is right whatever became of them.
    this.#end = this.#newChain();
    this.#alone = 0;
    for (const lost of this.#underWay.splice(this.#underWay.indexOf(write))) {
      lost.isGivenUp = true;
      this.#refuse(lost.batch, error);
    }
  }

  #chained(batch: readonly Waiting[]): Pick<Write, "records" | "end"> {
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

  #refuse(batch: readonly Pick<Waiting, "lost" | "reject">[], error: unknown): void {
    if (batch.length === 0) return;
    this.#parts.observe.failed(batch.length, error);
    for (const waiting of batch) refuse(waiting, error);
  }
}

/** A clock that is set back a little, as time services do, puts no event before the last one; what is more is told as it is. */
function afterStep(last: number, now: number): number {
  return last - now < CLOCK_STEP_MS ? Math.max(last, now) : now;
}

function tellWritten({ batch, askedAt }: Write, rows: FoundRows): void {
  for (const { premise, found, resolve } of batch) {
    const identity = premise && rows.get(premise.identityId);
    if (identity) found?.({ identity, askedAt });
    resolve(true);
  }
}

function refuse({ lost, reject }: Pick<Waiting, "lost" | "reject">, error: unknown): void {
  lost?.();
  reject(unavailable(error));
}

function unavailable(cause: unknown): GatewayError {
  return new GatewayError("AUDIT_UNAVAILABLE", "The audit trail cannot be written just now.", { cause });
}

function isStillToBe({ isLetGo, event }: Waiting): boolean {
  return !isLetGo || event.phase === "OUTCOME";
}

function refuseLate(waiting: Waiting): void {
  if (waiting.isLetGo || !waiting.deadline.aborted) return;
  waiting.isLetGo = true;
  waiting.reject(unavailable(new Error("not written in the request's time")));
}
