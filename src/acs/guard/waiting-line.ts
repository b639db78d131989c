import type { ServiceOperation } from "../service.js";

/** First come those who revoke and delete: it is what keeps others safe. Then the callers' urgencies. */
const PRIORITIES = ["safety", "expiring", "normal", "early"] as const;
export type Priority = (typeof PRIORITIES)[number];

interface Waiting {
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
    const rank = rankOf(newcomer);
    const before = this.#waiters.findLastIndex((waiter) => rankOf(waiter) <= rank);
    this.#waiters.splice(before + 1, 0, newcomer);
    return this.#waiters.length > this.#most ? this.#waiters.pop() : undefined;
  }

  /** The first of those who can be served now. */
  first(canBe: (waiter: Waiter) => boolean): Waiter | undefined {
    return this.#waiters.find(canBe);
  }

  all(which: (waiter: Waiter) => boolean): Waiter[] {
    return this.#waiters.filter(which);
  }

  /** Whether it was there. */
  remove(waiter: Waiter): boolean {
    const index = this.#waiters.indexOf(waiter);
    if (index >= 0) this.#waiters.splice(index, 1);
    return index >= 0;
  }
}

function rankOf({ priority }: Waiting): number {
  return PRIORITIES.indexOf(priority);
}
