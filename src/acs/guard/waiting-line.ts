import type { ServiceOperation } from "../service.js";

/** First come those who revoke and delete: it is what keeps others safe. Then the callers' urgencies. */
export const PRIORITIES = ["safety", "expiring", "normal", "early"] as const;
export type Priority = (typeof PRIORITIES)[number];

export interface Waiting {
  readonly operation: ServiceOperation;
  readonly priority: Priority;
}

/** Who waits, in order of priority and then of arrival; so many at most. */
export class WaitingLine<Waiter extends Waiting> {
  readonly #waiters: Waiter[] = [];
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  get length(): number {
    return this.#waiters.length;
  }

  /** Who has to go when the line is full: the last to come of the lowest priority, which may be the newcomer. */
  add(newcomer: Waiter): Waiter | undefined {
    this.#waiters.splice(this.#placeFor(newcomer), 0, newcomer);
    return this.#waiters.length > this.#most ? this.#waiters.pop() : undefined;
  }

  /** The first of those who can be served now. */
  first(canBe: (waiter: Waiter) => boolean): Waiter | undefined {
    return this.#waiters.find(canBe);
  }

  all(which: (waiter: Waiter) => boolean): Waiter[] {
    return this.#waiters.filter(which);
  }

  /** How many of its operation are served before it; for one that is not there, would be. */
  ahead(waiting: Waiting): number {
    const index = this.#waiters.indexOf(waiting as Waiter);
    const before = this.#waiters.slice(0, index >= 0 ? index : this.#placeFor(waiting));
    return before.filter(({ operation }) => operation === waiting.operation).length;
  }

  has(waiter: Waiter): boolean {
    return this.#waiters.includes(waiter);
  }

  remove(waiter: Waiter): void {
    const index = this.#waiters.indexOf(waiter);
    if (index >= 0) this.#waiters.splice(index, 1);
  }

  #placeFor(newcomer: Waiting): number {
    const rank = rankOf(newcomer);
    return this.#waiters.findLastIndex((waiter) => rankOf(waiter) <= rank) + 1;
  }
}

export function rankOf({ priority }: Waiting): number {
  return PRIORITIES.indexOf(priority);
}
