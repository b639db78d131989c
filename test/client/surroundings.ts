import { createContext, runInContext } from "node:vm";
import { rolldown } from "rolldown";
import { expect } from "vitest";
import type * as Client from "../../src/client/client.js";

/** One request that the client made. */
export interface Asked {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
}

interface Timer {
  readonly at: number;
  readonly work: () => void;
}

/** As much of a signal as every platform has. */
export class BareSignal {
  aborted = false;
  readonly listeners = new Set<() => void>();
  addEventListener(_type: "abort", listener: () => void): void {
    this.listeners.add(listener);
  }
  removeEventListener(_type: "abort", listener: () => void): void {
    this.listeners.delete(listener);
  }
}

export class BareController {
  readonly signal = new BareSignal();
  abort(): void {
    this.signal.aborted = true;
    for (const listener of [...this.signal.listeners]) listener();
  }
}

/**
 * The built client where there is nothing but what it may use: the language, `fetch`, `AbortController` and timers. Time stands still
 * but for `elapse`, and chance is `random`: nothing else in the test's process is held up by that.
 */
export class Surroundings {
  now = Date.now();
  /** 0 ≤ x < 1 */
  random = 0;
  readonly asked: Asked[] = [];
  readonly timers = new Map<number, Timer>();
  readonly context: object;
  readonly client: typeof Client;
  #lastTimer = 0;

  private constructor(code: string) {
    this.context = createContext({
      fetch: this.fetch,
      AbortController: BareController,
      setTimeout: (work: () => void, milliseconds: number) => this.#setTimer(work, milliseconds),
      clearTimeout: (id: number) => this.timers.delete(id),
      ourNow: () => this.now,
      ourRandom: () => this.random,
    });
    runInContext(
      "Date.now = ourNow; Math.random = ourRandom; delete globalThis.ourNow; delete globalThis.ourRandom",
      this.context,
    );
    this.client = runInContext(`${code};client`, this.context);
  }

  static async create(): Promise<Surroundings> {
    return new Surroundings(await bundle("iife"));
  }

  /** Lets time go by, and what waits for it happen. */
  elapse(seconds: number): void {
    const until = this.now + seconds * 1000;
    for (;;) {
      const [next] = [...this.timers]
        .filter(([, { at }]) => at <= until)
        .sort(([, one], [, other]) => one.at - other.at);
      if (next === undefined) break;
      const [id, { at, work }] = next;
      this.timers.delete(id);
      this.now = Math.max(this.now, at);
      work();
    }
    this.now = until;
  }

  /** For `onRetry`: each pause is over as soon as it has begun. */
  readonly pauses: { readonly code: string; readonly seconds: number }[] = [];
  readonly skipPause = ({ code }: Client.TokenRefreshError, seconds: number): void => {
    this.pauses.push({ code, seconds });
    setImmediate(() => this.elapse(seconds));
  };

  /** Once the client has made so many requests. */
  async untilAsked(count: number): Promise<void> {
    await expect.poll(() => this.asked.length).toBeGreaterThanOrEqual(count);
  }

  #setTimer(work: () => void, milliseconds: number): number {
    this.#lastTimer += 1;
    // As everywhere: what is too long for a timer goes off at once.
    const isTooLong = milliseconds > 2 ** 31 - 1;
    this.timers.set(this.#lastTimer, { at: this.now + (isTooLong ? 0 : milliseconds), work });
    if (isTooLong) setImmediate(() => this.elapse(0));
    return this.#lastTimer;
  }

  readonly fetch: Client.Fetch = async (url, { signal, ...init }) => {
    this.asked.push({ url, headers: init.headers, body: JSON.parse(init.body) });
    const real = new AbortController();
    signal.addEventListener("abort", () => real.abort());
    return await fetch(url, { ...init, signal: real.signal });
  };
}

/** As an app's own build would have it. */
export async function bundle(format: "iife" | "es", minify = false): Promise<string> {
  const build = await rolldown({ input: "dist/client/client.js" });
  const { output } = await build.generate({ format, minify, ...(format === "iife" && { name: "client" }) });
  await build.close();
  expect(output).toHaveLength(1);
  return output[0].code;
}
