import { type AbortSignalLike, abortError } from "./abort.js";

interface Flight<T> {
  readonly outcome: Promise<T>;
  readonly controller: AbortController;
  /** Callers that still wait for it. */
  waiting: number;
}

/**
 * Calls that come while one is under way share it. Who aborts stops waiting; when the last one has, the work is told to stop, and
 * the next call begins anew. `always` counts as a signal of each call.
 */
export function singleFlight<T>(
  work: (signal: AbortSignal) => Promise<T>,
  always?: AbortSignalLike,
): (signal?: AbortSignalLike) => Promise<T> {
  let current: Flight<T> | undefined;

  const begin = (): Flight<T> => {
    const controller = new AbortController();
    const flight = { outcome: work(controller.signal), controller, waiting: 0 };
    const land = () => leaveTo(flight);
    flight.outcome.then(land, land);
    return flight;
  };
  const leaveTo = (flight: Flight<T>) => {
    if (current === flight) current = undefined;
  };

  return (signal) =>
    new Promise((resolve, reject) => {
      const signals = [signal, always].filter((given) => given !== undefined);
      if (signals.some(({ aborted }) => aborted)) return reject(abortError());
      current ??= begin();
      const flight = current;
      flight.waiting += 1;
      const forget = () => {
        for (const each of signals) each.removeEventListener("abort", leave);
      };
      const leave = () => {
        forget();
        reject(abortError());
        flight.waiting -= 1;
        if (flight.waiting > 0) return;
        leaveTo(flight);
        flight.controller.abort();
      };
      for (const each of signals) each.addEventListener("abort", leave);
      flight.outcome.then(resolve, reject).then(forget);
    });
}
