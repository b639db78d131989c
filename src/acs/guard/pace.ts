import type { Counter, Take } from "../../limits/counter.js";
import type { ServiceOperation } from "../service.js";

/** The published limits are for any so many seconds; we count in intervals of our own. */
const LIMIT_SECONDS = 30;
export const INTERVAL_MS = 1000;
/** As many as 30 s can touch: they begin when they like. And one, for a call that takes as long to get there. */
const INTERVALS = LIMIT_SECONDS + 2;
/** No longer, whatever the service asks: after that calls find out whether it was meant, as many as may be under way. */
const LONGEST_HOLD_MS = 60_000;

/** How many calls so many intervals may have, so that no 30 s have more than `percent` of the limit. */
export function budgetOf(limit: number, percent: number): { readonly limit: number; readonly intervals: number } {
  return { limit: Math.max(1, Math.floor((limit * percent) / 100)), intervals: INTERVALS };
}

export type HoldReason = "pace" | "retryAfter";

interface PaceParts {
  /** Shared by all instances. Takes that cannot be counted are granted from this instance's part. */
  readonly counters: Readonly<Record<ServiceOperation, Counter>>;
  /** In 30 s, as they are counted: what this instance can expect of it. */
  readonly limits: Readonly<Record<ServiceOperation, number>>;
  /** What the limits are of: the resource. */
  readonly key: string;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
  /** Told when an operation has to wait, once for all who wait. */
  readonly observe: (operation: ServiceOperation, reason: HoldReason) => void;
}

/** Keeps calls of each operation below the resource's limit, and from being sent while the service asks to wait. */
export class Pace {
  readonly #parts: PaceParts;
  readonly #heldUntil = new Map<ServiceOperation, number>();

  constructor(parts: PaceParts) {
    this.#parts = parts;
  }

  /** ms until the operation may be called again; 0 for now. */
  heldFor(operation: ServiceOperation, now = this.#parts.elapsed()): number {
    return Math.max(0, (this.#heldUntil.get(operation) ?? 0) - now);
  }

  /** From one call to the next, on the average, once what was left of a quiet time is spent. */
  msPerCall(operation: ServiceOperation): number {
    return (INTERVALS * INTERVAL_MS) / this.#parts.limits[operation];
  }

  hold(operation: ServiceOperation, milliseconds: number, reason: HoldReason): void {
    const already = this.heldFor(operation);
    const held = Math.max(already, Math.min(milliseconds, LONGEST_HOLD_MS));
    this.#heldUntil.set(operation, this.#parts.elapsed() + held);
    if (already === 0 && held > 0) this.#parts.observe(operation, reason);
  }

  /** One call off the budget. When it is spent, the operation is held until the next interval. */
  async take(operation: ServiceOperation): Promise<Take> {
    const take = await this.#parts.counters[operation].take(this.#parts.key);
    if (!take.granted) this.hold(operation, take.msLeft, "pace");
    return take;
  }
}
