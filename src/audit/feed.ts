/**
 * The trail as it grows, for whoever watches it.
 *
 * Instances write side by side, each its own chain, and a record that was made earlier may be on disk later than another. So
 * there is no one order in which records come to be seen, and who went by time alone would miss some. The feed goes by
 * chains: their sequences have no holes, so how far each chain has been told says exactly what is yet to be told. Across
 * chains the order is that of time as far as it is known.
 *
 * One look at the database, twice a second and after each write of this process, serves all who follow. Whoever takes their
 * time, or begins in the past, reads the database in pages of their own; nothing is queued for anybody.
 */
import { setImmediate } from "node:timers/promises";
import type { StoredRecord } from "./query.js";

/** How far somebody has been told. */
export interface FeedPosition {
  /** ms since 1970; of chains that are not in `seen`, everything before it has been told. */
  readonly since: number;
  /** By writer: the last record that was told, or was there before. */
  readonly seen: ReadonlyMap<string, Told>;
}

interface Told {
  readonly sequence: number;
  /** ms since 1970, when it was recorded; not before that. */
  readonly at: number;
}

export interface FeedItem {
  readonly record: StoredRecord;
  /** After it. */
  readonly position: FeedPosition;
}

/** Where the trail is read. */
export interface GrowingTrail {
  /** Those that may have records of this instant (ms since 1970) or later, and perhaps some that have not. */
  writersSince(at: number): Promise<string[]>;
  /**
   * The sequence up to which the writer's records are from before this instant; that in front of the first one there is when none is.
   * Where a clock was set back there are several such places, and it is any of them.
   */
  lastBefore(writer: string, at: number): Promise<number>;
  /** The writer's next records after this sequence, in their order. */
  after(writer: string, sequence: number, limit: number): Promise<StoredRecord[]>;
}

interface AuditFeedParts {
  readonly trail: GrowingTrail;
  /** ms since 1970 */
  readonly now: () => number;
}

interface Follow {
  readonly position: FeedPosition;
  readonly matches: (record: StoredRecord) => boolean;
  /** Ends it. */
  readonly signal: AbortSignal;
}

type Change = PromiseWithResolvers<void>;

/** How far somebody who follows has been told. */
interface Progress {
  readonly at: FeedPosition;
  /** By writer: the sequence of the last record. */
  readonly told: Map<string, number>;
}

/** How late a record of another process may be told. */
const LOOK_MS = 500;
/** For more records of this process to be told together. */
const NUDGE_MS = 20;
/**
 * How long a chain that is silent is looked at. It bounds how long a write may take and how far clocks may differ, together, for
 * every record to be told.
 */
const WINDOW_MS = 60_000;
const PAGE = 100;
/** Records of each chain that one look takes. */
const MOST_FOUND = 500;
/** Chains that are read before others have their turn: SQLite reads without a pause. */
const CHAINS_IN_A_TURN = 20;

/**
 * The end of a chain: the records after `from`, as far as they were looked at. Those of the last two looks and no more: who needs
 * older ones reads the database, where a name may have been erased meanwhile.
 */
interface ChainTail {
  readonly from: number;
  readonly records: readonly StoredRecord[];
  /** How many of them the last look found. */
  readonly found: number;
}

/** What the last look found. */
interface Look {
  /** When it began: ms since 1970. */
  readonly at: number;
  readonly chains: ReadonlyMap<string, ChainTail>;
}

export class AuditFeed {
  readonly #parts: AuditFeedParts;
  #look: Look | undefined;
  #looking: Promise<Look> | undefined;
  /** Of each who follows, to be settled by the next look that finds more, or fails. */
  readonly #changes = new Set<Change>();
  #timer: NodeJS.Timeout | undefined;
  #isNudged = false;
  #followers = 0;

  constructor(parts: AuditFeedParts) {
    this.#parts = parts;
  }

  /** This process has written. */
  nudge(): void {
    if (this.#followers === 0 || this.#isNudged) return;
    this.#isNudged = true;
    this.#lookIn(NUDGE_MS);
  }

  /** From where somebody follows who wants what comes from now on. What is recorded once this has resolved is behind it. */
  async end(): Promise<FeedPosition> {
    return endOf(await this.#current());
  }

  /** Each record once, until the signal. Throws what the database fails with, after which the last position is where to go on. */
  async *follow({ position, matches, signal }: Follow): AsyncGenerator<FeedItem> {
    this.#followers += 1;
    // Of all chains that were looked at. A position leaves out those that are silent, and would have them looked for at each page.
    const told = new Map([...position.seen].map(([writer, { sequence }]) => [writer, sequence]));
    let change: Change | undefined;
    try {
      let look = await this.#current();
      let at = position;
      while (!signal.aborted) {
        change = this.#nextChange(change);
        look = this.#look ?? look;
        const records = await this.#after({ at, told }, look, signal);
        for (const [index, record] of records.entries()) {
          // Neither SQLite nor who takes them may have anything to wait for.
          if (index % PAGE === 0) await setImmediate();
          told.set(record.writer, record.sequence);
          at = afterRecord(at, record);
          if (!signal.aborted && matches(record)) yield { record, position: at };
        }
        if (signal.aborted) return;
        if (records.length > 0) continue;
        at = upTo(look, at);
        await changeOrEnd(change, signal);
      }
    } finally {
      if (change) this.#changes.delete(change);
      this.#followers -= 1;
      if (this.#followers === 0) this.#rest();
    }
  }

  /** What comes next after a position, in the order of time; nothing once all is told that this look found. */
  async #after({ at, told }: Progress, look: Look, signal: AbortSignal): Promise<StoredRecord[]> {
    const isOld = at.since < look.at - WINDOW_MS;
    const past = isOld ? await this.#parts.trail.writersSince(at.since) : [];
    const writers = new Set([...look.chains.keys(), ...at.seen.keys(), ...past]);
    const page = async (writer: string) => {
      const tail = look.chains.get(writer);
      // Noted, and nothing written yet.
      if (tail !== undefined && headOf(tail) === 0) return [];
      const last = told.get(writer) ?? (await this.#parts.trail.lastBefore(writer, at.since));
      told.set(writer, last);
      return await this.#page(writer, last, tail);
    };
    return merged(await inTurn(writers, page, signal));
  }

  async #page(writer: string, told: number, tail: ChainTail | undefined): Promise<readonly StoredRecord[]> {
    if (tail === undefined || told < tail.from) return await this.#parts.trail.after(writer, told, PAGE);
    return tail.records.slice(told - tail.from, told - tail.from + PAGE);
  }

  /** In place of the last one. Of their own: on a promise that all have in common, those who have left would hang on until it is settled. */
  #nextChange(last: Change | undefined): Change {
    if (last) this.#changes.delete(last);
    const change = Promise.withResolvers<void>();
    // Whoever does not wait just now is told by the next look.
    change.promise.catch(() => {});
    this.#changes.add(change);
    return change;
  }

  async #current(): Promise<Look> {
    return this.#look ?? (await this.#lookNow());
  }

  #lookIn(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#lookNow().catch(() => {}), milliseconds).unref();
  }

  /** For all who ask meanwhile. Those who wait for news learn of a failure, too. */
  #lookNow(): Promise<Look> {
    this.#looking ??= this.#lookAgain();
    return this.#looking;
  }

  async #lookAgain(): Promise<Look> {
    this.#isNudged = false;
    try {
      const before = this.#look;
      const look = await this.#take(before);
      this.#look = look;
      if (before === undefined || !isSame(before, look)) this.#tell(({ resolve }) => resolve());
      return look;
    } catch (error) {
      this.#look = undefined;
      this.#tell(({ reject }) => reject(error));
      throw error;
    } finally {
      this.#looking = undefined;
      // What came meanwhile, this look may not have seen.
      if (this.#followers > 0) this.#lookIn(this.#isBehind() ? 0 : this.#isNudged ? NUDGE_MS : LOOK_MS);
      else this.#rest();
    }
  }

  /** Whether a chain has more than a look takes. */
  #isBehind(): boolean {
    return [...(this.#look?.chains.values() ?? [])].some(({ found }) => found === MOST_FOUND);
  }

  #tell(settle: (change: Change) => void): void {
    const changes = [...this.#changes];
    this.#changes.clear();
    for (const change of changes) settle(change);
  }

  async #take(before: Look | undefined): Promise<Look> {
    const { trail, now } = this.#parts;
    const at = now();
    const writers = new Set(await trail.writersSince(at - WINDOW_MS));
    const chains = await inTurn(writers, async (writer) => {
      const tail = before?.chains.get(writer) ?? (await this.#firstTail(writer, before));
      return [writer, await this.#grown(writer, tail)] as const;
    });
    return { at, chains: new Map(chains) };
  }

  /** At the first look all that there is has been; a chain that is found later has been silent, or is new. */
  async #firstTail(writer: string, before: Look | undefined): Promise<ChainTail> {
    const until = before === undefined ? Number.MAX_SAFE_INTEGER : before.at - WINDOW_MS;
    return { from: await this.#parts.trail.lastBefore(writer, until), records: [], found: 0 };
  }

  async #grown(writer: string, tail: ChainTail): Promise<ChainTail> {
    const found = await this.#parts.trail.after(writer, headOf(tail), MOST_FOUND);
    const kept = tail.found === 0 ? [] : tail.records.slice(-tail.found);
    return { from: headOf(tail) - kept.length, records: [...kept, ...found], found: found.length };
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#look = undefined;
  }
}

/** Behind everything that was found. */
function endOf({ at, chains }: Look): FeedPosition {
  const begun = [...chains].filter(([, tail]) => headOf(tail) > 0);
  const seen = new Map(begun.map(([writer, tail]) => [writer, { sequence: headOf(tail), at }]));
  return { since: at - WINDOW_MS, seen };
}

/** The same place without what is long past, once all is told that this look found, and perhaps more. */
function upTo(look: Look, at: FeedPosition): FeedPosition {
  const end = endOf(look);
  const since = Math.max(at.since, end.since);
  const seen = new Map(end.seen);
  for (const [writer, told] of at.seen) {
    const isBehind = told.sequence < (seen.get(writer)?.sequence ?? 0);
    if (!isBehind && told.at >= since) seen.set(writer, told);
  }
  return { since, seen };
}

/** Records come in the order of time, so what is long before this one has been told, by whatever chain. */
function afterRecord(before: FeedPosition, { writer, sequence, at }: StoredRecord): FeedPosition {
  const since = Math.max(before.since, at - WINDOW_MS);
  const seen = since === before.since ? before.seen : [...before.seen].filter(([, told]) => told.at >= since);
  return { since, seen: new Map(seen).set(writer, { sequence, at }) };
}

function headOf({ from, records }: ChainTail): number {
  return from + records.length;
}

/** Whether the second look found no more; after a standstill it would not have seen whoever wrote and was silent since. */
function isSame(one: Look, other: Look): boolean {
  if (other.at - one.at > WINDOW_MS / 2) return false;
  return [...other.chains].every(([writer, tail]) => {
    const before = one.chains.get(writer);
    return before !== undefined && headOf(before) === headOf(tail);
  });
}

/**
 * By time, each page in its own order, as a clock may have been set back. Up to the end of the first full page: its chain has
 * more, which may be earlier than what the others have.
 */
function merged(pages: readonly (readonly StoredRecord[])[]): StoredRecord[] {
  const timed = pages.flatMap((page) => {
    let at = 0;
    return page.map((record, index) => {
      at = Math.max(at, record.at);
      return { record, at, isMore: index + 1 === PAGE };
    });
  });
  timed.sort((one, other) => one.at - other.at);
  const end = timed.findIndex(({ isMore }) => isMore);
  return timed.slice(0, end < 0 ? timed.length : end + 1).map(({ record }) => record);
}

/** One wait leaves nothing behind on a signal that lasts for days. */
async function changeOrEnd({ promise, resolve }: Change, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const end = () => resolve();
  signal.addEventListener("abort", end, { once: true });
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** One after the other: whoever catches up has no more than one of the database's connections. Ends early with the signal. */
async function inTurn<Item, Result>(
  items: Iterable<Item>,
  work: (item: Item) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const item of items) {
    if (signal?.aborted) return [];
    results.push(await work(item));
    if (results.length % CHAINS_IN_A_TURN === 0) await setImmediate();
  }
  return results;
}
