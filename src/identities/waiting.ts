import { setTimeout } from "node:timers/promises";
import { GatewayError } from "../errors.js";

/** The result, or DEADLINE_EXCEEDED when the time is up first; the work itself goes on. */
export async function waitFor<Result>(work: Promise<Result>, deadline: AbortSignal): Promise<Result> {
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const expire = () => reject(requestIsOver());
  if (deadline.aborted) expire();
  deadline.addEventListener("abort", expire, { once: true });
  try {
    return await Promise.race([work, expired]);
  } finally {
    deadline.removeEventListener("abort", expire);
  }
}

export function requestIsOver(): GatewayError {
  return new GatewayError("DEADLINE_EXCEEDED", "The request's time is up.");
}

/** Resolves when the work ends, after so many milliseconds or at the deadline; the work goes on. It must not reject. */
export async function waitBriefly(work: Promise<void>, milliseconds: number, deadline: AbortSignal): Promise<void> {
  const waited = new AbortController();
  const signal = AbortSignal.any([waited.signal, deadline]);
  const nap = setTimeout(milliseconds, undefined, { signal }).catch(() => {});
  await Promise.race([work, nap]);
  waited.abort();
}
