const WINDOW_SECONDS = 10;

interface Second {
  readonly second: number;
  calls: number;
  repeats: number;
}

interface RetryBudgetOptions {
  /** Repeats in a hundred calls. */
  readonly percent: number;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
}

/**
 * Repeats up to a share of the calls of the last ten seconds, so that an outage multiplies calls by no more than that. No
 * least number is granted: who calls rarely repeats nothing (Finagle's RetryBudget, without its floor).
 */
export class RetryBudget {
  readonly #options: RetryBudgetOptions;
  #seconds: Second[] = [];

  constructor(options: RetryBudgetOptions) {
    this.#options = options;
  }

  /** Of a call, not of its repeats. */
  countCall(): void {
    this.#thisSecond().calls += 1;
  }

  /** Whether one may be repeated, which is then counted. */
  take(): boolean {
    const now = this.#thisSecond();
    const total = (of: "calls" | "repeats") => this.#seconds.reduce((sum, second) => sum + second[of], 0);
    if ((total("repeats") + 1) * 100 > total("calls") * this.#options.percent) return false;
    now.repeats += 1;
    return true;
  }

  #thisSecond(): Second {
    const second = Math.floor(this.#options.elapsed() / 1000);
    this.#seconds = this.#seconds.filter((past) => past.second > second - WINDOW_SECONDS);
    const found = this.#seconds.at(-1);
    if (found?.second === second) return found;
    const begun = { second, calls: 0, repeats: 0 };
    this.#seconds.push(begun);
    return begun;
  }
}
