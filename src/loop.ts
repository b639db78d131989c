import { setTimeout } from "node:timers/promises";

interface Loop {
  /** Answers whether there was something to do. */
  readonly next: () => Promise<boolean>;
  /** After nothing. */
  readonly restMs: number;
  /** After a failure, and twice as long after each that follows; `restMs` unless given. */
  readonly retryMs?: number;
  readonly signal: AbortSignal;
  readonly onFailure: (error: unknown) => void;
  /** Each time, whether there was something to do or not. */
  readonly onSuccess: () => void;
}

/** Soon enough for who waits for the end of an outage, and seldom enough for whoever is away. */
const LONGEST_RETRY_MS = 5000;

/** Does what there is to do, one thing after the other, and looks again after a rest. Resolves when it is told to stop. */
export async function runLoop({ next, restMs, retryMs = restMs, signal, ...told }: Loop): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    let rest = restMs;
    let found = false;
    try {
      found = await next();
      failures = 0;
      told.onSuccess();
    } catch (error) {
      rest = Math.max(retryMs, Math.min(LONGEST_RETRY_MS, retryMs * 2 ** failures));
      failures += 1;
      told.onFailure(error);
    }
    if (!found) await setTimeout(rest, undefined, { signal, ref: false }).catch(() => {});
  }
}
