import { expect } from "vitest";

/** Longer than anything here waits for in earnest. */
const LONG_MS = 60_000;

/** Timers that are set for long wait for the test, not for their time. Shorter ones go on as they are. */
export class LongTimers {
  readonly #held = new Map<unknown, { readonly milliseconds: number; readonly work: () => void }>();
  readonly #setTimeout = globalThis.setTimeout;
  readonly #clearTimeout = globalThis.clearTimeout;

  static hold(): LongTimers {
    const timers = new LongTimers();
    const set = (work: () => void, milliseconds = 0, ...rest: unknown[]) => {
      if (milliseconds < LONG_MS) return timers.#setTimeout(work, milliseconds, ...rest);
      const handle = timers.#setTimeout(() => {}, 0);
      timers.#held.set(handle, { milliseconds, work });
      return handle;
    };
    const clear = (handle: NodeJS.Timeout | undefined) => {
      timers.#held.delete(handle);
      timers.#clearTimeout(handle);
    };
    globalThis.setTimeout = set as typeof setTimeout;
    globalThis.clearTimeout = clear as typeof clearTimeout;
    return timers;
  }

  /** For how long each was set, ms. */
  get lengths(): number[] {
    return [...this.#held.values()].map(({ milliseconds }) => milliseconds);
  }

  /** Takes the one that was set for so long, give or take a minute. */
  about(milliseconds: number): () => void {
    const found = [...this.#held].find(([, timer]) => Math.abs(timer.milliseconds - milliseconds) < 60_000);
    if (found === undefined) expect.fail(`no timer of ${milliseconds} ms was set`);
    const [handle, { work }] = found;
    this.#held.delete(handle);
    return work;
  }

  release(): void {
    globalThis.setTimeout = this.#setTimeout;
    globalThis.clearTimeout = this.#clearTimeout;
  }
}
