import { setTimeout } from "node:timers/promises";
import { runLoop } from "../loop.js";
import type { AuditListing } from "../store/audit-listing.js";

/** How often it looks whether there is time. */
const LOOK_MS = 500;
const RETRY_MS = 30_000;
/** The part of the process' time from which on there is none. */
const BUSY = 0.5;
/** At a time, in which a process on SQLite does nothing else; then the others have as long. */
const CHUNK_MS = 5;
/**
 * Most that wait for the time to come: who reads by user looks through them, which on SQLite takes the process some 15 ms. With
 * more than that it goes on beside the others, the longer at a time the more there are, as many together cost less each.
 */
const MOST_UNLISTED = 50_000;
const BUSY_CHUNK_MS = 20;
/** Of the seconds that a stop may take. */
const STOP_MS = 500;

interface ListerParts {
  readonly listing: Pick<AuditListing, "count" | "list" | "emptyLog">;
  /** Of the time since the last call, the part in which the process was at work: 0 to 1. */
  readonly utilization: () => number;
  readonly observe: {
    /** It tries again after a while. */
    failed(error: unknown): void;
    works(): void;
  };
}

/**
 * Lists records while the process has little else to do, and however busy it is once many wait. Once all are listed, the log that
 * they were written to is emptied.
 */
export class Lister {
  readonly #parts: ListerParts;
  readonly #stopped = new AbortController();
  #loop: Promise<void> | undefined;
  /** As it was counted last, less what has been listed since. */
  #left = 0;
  /** ms, by a clock that is never set */
  #countAt = Number.NEGATIVE_INFINITY;

  constructor(parts: ListerParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#loop = runLoop({
      next: () => this.#next(),
      restMs: LOOK_MS,
      retryMs: RETRY_MS,
      signal: this.#stopped.signal,
      onFailure: (error) => this.#parts.observe.failed(error),
      onSuccess: () => this.#parts.observe.works(),
    });
  }

  /** Lists for a moment what is left; the rest waits for the next process. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
    const until = performance.now() + STOP_MS;
    try {
      while (performance.now() < until && (await this.#count()) > 0) await this.#list(CHUNK_MS);
    } catch (error) {
      this.#parts.observe.failed(error);
    }
  }

  async #next(): Promise<boolean> {
    const { listing, utilization } = this.#parts;
    const isBusy = utilization() > BUSY;
    const left = await this.#count();
    if (left === 0 && !isBusy) await listing.emptyLog();
    if (left === 0 || (isBusy && left <= MOST_UNLISTED)) return false;
    const milliseconds = isBusy ? (BUSY_CHUNK_MS * left) / MOST_UNLISTED : CHUNK_MS;
    await this.#list(milliseconds);
    // What is asked for at the next look is how much the others make of theirs, and not this.
    utilization();
    await setTimeout(isBusy ? BUSY_CHUNK_MS : CHUNK_MS, undefined, { signal: this.#stopped.signal }).catch(() => {});
    return true;
  }

  /** No more often than it looks while many wait: to count them takes as long as to list some. */
  async #count(): Promise<number> {
    if (this.#left > 0 && performance.now() < this.#countAt) return this.#left;
    this.#left = await this.#parts.listing.count();
    this.#countAt = performance.now() + LOOK_MS;
    return this.#left;
  }

  async #list(milliseconds: number): Promise<void> {
    const listed = await this.#parts.listing.list(milliseconds);
    // A reader may have listed them meanwhile.
    this.#left = listed === 0 ? 0 : this.#left - listed;
  }
}
