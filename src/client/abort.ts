/** What the signals of browsers, Node, React Native and @azure/abort-controller have in common. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** Known by its name, as the platforms' own: neither `DOMException` nor `signal.reason` is everywhere. */
export function abortError(): Error {
  const error = new Error("The token refresh was aborted.");
  error.name = "AbortError";
  return error;
}

/** One that is set for longer goes off at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Limits<T> {
  readonly milliseconds: number;
  readonly signal: AbortSignalLike;
  /** What stands for the work's outcome when the time is up. */
  readonly late: () => T;
}

/**
 * What the work comes to, or `late()`. Rejects with an AbortError as soon as `signal` is aborted. In both cases the work is told to
 * stop, and not waited for. (`AbortSignal.timeout` and `AbortSignal.any` are missing in React Native.)
 */
export function within<T>(
  { milliseconds, signal, late }: Limits<T>,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const own = new AbortController();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    };
    const stop = () => {
      end();
      reject(abortError());
      own.abort();
    };
    const timer = setTimeout(
      () => {
        end();
        resolve(late());
        own.abort();
      },
      Math.min(milliseconds, LONGEST_TIMER_MS),
    );
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop);
    work(own.signal).then(resolve, reject).then(end);
  });
}

export function sleep(milliseconds: number, signal: AbortSignalLike): Promise<void> {
  return within({ milliseconds, signal, late: () => {} }, () => new Promise(() => {}));
}
