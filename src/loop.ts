import { setTimeout } from "node:timers/promises";

interface Loop {
  /** Answers whether there was something to do. */
  readonly next: () => Promise<boolean>;
  /** After nothing, or a failure. */
  readonly restMs: number;
  readonly signal: AbortSignal;
  readonly onFailure: (error: unknown) => void;
}

/** Does what there is to do, one thing after the other, and looks again after a rest. Resolves when it is told to stop. */
export async function runLoop({ next, restMs, signal, onFailure }: Loop): Promise<void> {
  while (!signal.aborted) {
    const found = await next().catch((error: unknown) => {
      onFailure(error);
      return false;
    });
    if (!found) await setTimeout(restMs, undefined, { signal, ref: false }).catch(() => {});
  }
}
