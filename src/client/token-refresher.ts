import type { AbortSignalLike } from "./abort.js";
import { checkOptions, type RefreshedToken, type TokenRefresherOptions } from "./options.js";
import { type Memory, refresh } from "./refresh.js";
import { singleFlight } from "./single-flight.js";

/**
 * Fits the `tokenRefresher` of `AzureCommunicationTokenCredential` of `@azure/communication-common` 2.5.0 or later; one before takes
 * the `token` of what this gives. Rejects with a `TokenRefreshError`, or with an error whose name
 * is "AbortError" once the signal is aborted.
 */
export type TokenRefresher = (abortSignal?: AbortSignalLike) => Promise<RefreshedToken>;

/**
 * A function that gets the signed-in user a communication token from the gateway. Calls at the same time share one request. What
 * can pass (no network, an outage, a limit that is spent) is waited for inside. Throws a `TypeError` for wrong options.
 */
export function createTokenRefresher(options: TokenRefresherOptions): TokenRefresher {
  checkOptions(options);
  const memory: Memory = { hasHadToken: false, sendsId: options.persisted === true };
  return singleFlight((signal) => refresh(options, memory, signal), options.signal);
}
