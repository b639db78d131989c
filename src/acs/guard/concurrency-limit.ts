import type { ServiceOperation } from "../service.js";

/** With fewer, one call that hangs would hold up too many. */
const LEAST = 4;
const FIRST = 20;
/** A call this many times slower than usual, and so much more, is slow. The second part is for noise on our own side. */
const SLOW_TIMES = 2;
const SLOW_MS = 50;
/** At most this share goes at once for being slow, and this much of any step is taken. */
const LEAST_GRADIENT = 0.5;
const SMOOTHING = 0.2;
/** What is left of the limit after a sign of overload. */
const BACK_OFF = 0.9;
/** How fast what is usual follows the calls, downwards and upwards: what is slow for long becomes usual in the end. */
const FASTER = 0.1;
const SLOWER = 0.005;

/**
 * How many calls may be under way at a time: more while the limit is used and calls are as fast as usual, fewer when they
 * get slower, fail for want of time or are answered that there are too many. The gradient of latency with room for the root
 * of the limit to wait, after Netflix's concurrency-limits (Gradient2); what is usual is known for each operation, since a
 * revocation takes ten times as long as an issue.
 */
export class ConcurrencyLimit {
  readonly #least: number;
  readonly #most: number;
  #limit: number;
  /** ms */
  readonly #usual = new Map<ServiceOperation, number>();

  constructor(most: number) {
    this.#most = most;
    this.#least = Math.min(LEAST, most);
    this.#limit = Math.min(FIRST, most);
  }

  get current(): number {
    return Math.floor(this.#limit);
  }

  /** That a call of the operation takes when the limit is used up: one in so many ends. 0: nobody knows. */
  msPerCall(operation: ServiceOperation): number {
    return (this.#usual.get(operation) ?? 0) / this.current;
  }

  /** `underWay`: calls when this one ended, itself among them. */
  answered(operation: ServiceOperation, milliseconds: number, underWay: number): void {
    const usual = this.#learn(operation, milliseconds);
    // A limit that is not used shows nothing.
    if (underWay * 2 < this.#limit) return;
    const fast = usual * SLOW_TIMES + SLOW_MS;
    const gradient = Math.max(LEAST_GRADIENT, Math.min(1, fast / milliseconds));
    const aim = this.#limit * gradient + Math.sqrt(this.#limit);
    this.#set(this.#limit + (aim - this.#limit) * SMOOTHING);
  }

  overloaded(): void {
    this.#set(this.#limit * BACK_OFF);
  }

  #learn(operation: ServiceOperation, milliseconds: number): number {
    const usual = this.#usual.get(operation) ?? milliseconds;
    const next = usual + (milliseconds - usual) * (milliseconds < usual ? FASTER : SLOWER);
    this.#usual.set(operation, next);
    return next;
  }

  #set(limit: number): void {
    this.#limit = Math.min(this.#most, Math.max(this.#least, limit));
  }
}
