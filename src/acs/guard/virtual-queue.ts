import type { ServiceOperation } from "../service.js";
import { PRIORITIES, rankOf, type Waiting } from "./waiting-line.js";

/** What will be in more than a minute nobody knows: who would have a place beyond it shares the minute from its beginning on. */
export const LONGEST_MS = 60_000;

/**
 * Those who were sent away, as if they waited: each has its place behind those of its operation who were sent away before it and
 * are no less urgent, so that they come back as fast as they can be served. It gets shorter with the clock, but not while their
 * operation is held.
 */
export class VirtualQueue {
  /** When its last one will have been served, for each priority. */
  readonly #ends = new Map<ServiceOperation, readonly number[]>();

  /** ms after `from`, when the first could be served. */
  join(waiting: Waiting, from: number, msPerCall: number): number {
    const rank = rankOf(waiting);
    const ends = this.#ends.get(waiting.operation) ?? PRIORITIES.map(() => 0);
    const place = placeAt(ends[rank] ?? 0, from);
    const behind = (end: number) => Math.max(end, from) + msPerCall;
    const next = ends.map((end, other) => (other < rank ? end : behind(end)));
    this.#ends.set(waiting.operation, next.with(rank, from + place + msPerCall));
    return place;
  }
}

function placeAt(end: number, from: number): number {
  return end < from + LONGEST_MS ? Math.max(0, end - from) : 0;
}
