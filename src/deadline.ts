/** When a request's time is up. Most requests end without anybody waiting for that, so the signal is made when it is asked for. */
export class Deadline {
  readonly #at: number;
  #signal: AbortSignal | undefined;

  constructor(milliseconds: number) {
    this.#at = performance.now() + milliseconds;
  }

  get aborted(): boolean {
    return performance.now() >= this.#at;
  }

  /** Aborted when the time is up. */
  get signal(): AbortSignal {
    this.#signal ??= this.signalBefore(0);
    return this.#signal;
  }

  /** Aborted so many milliseconds before that. */
  signalBefore(milliseconds: number): AbortSignal {
    const left = Math.ceil(this.#at - milliseconds - performance.now());
    return left > 0 ? AbortSignal.timeout(left) : AbortSignal.abort();
  }
}
