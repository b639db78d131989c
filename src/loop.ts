import { setTimeout } from "node:timers/promises";

interface Loop {
  /** Answers whether there was something to do. */
  readonly next: () => Promise<boolean>;
  /** After nothing. */
  readonly restMs: number;
  /** After a failure; `restMs` unless given. */
  readonly retryMs?: number;
  readonly signal: AbortSignal;
  readonly onFailure: (error: unknown) => void;
}

/** Does what there is to do, one thing after the other, and looks again after a rest. Resolves when it is told to stop. */
export async function runLoop({ next, restMs, retryMs = restMs, signal, onFailure }: Loop): Promise<void> {
  while (!signal.aborted) {
    let rest = restMs;
    const found = await next().catch((error: unknown) => {
      onFailure(error);
      rest = retryMs;
      return false;
    });
    if (!found) await setTimeout(rest, undefined, { signal, ref: false }).catch(() => {});
  }
}
