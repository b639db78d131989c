/**
 * What an app imports as `acs-token-gateway/client`: keeps its user's communication token fresh. It runs in browsers, React Native
 * and Node, and uses nothing of them but `fetch`, `AbortController` and timers.
 *
 * A call passes through `single-flight.ts` (one refresh for all who wait), `refresh.ts` (tries and pauses) and `request.ts` (one
 * request). Nothing else of the project is imported here, and nothing of the project imports this.
 */
export type { AbortSignalLike } from "./abort.js";
export type { CallerTokenRequest, Fetch, RefreshedToken, TokenRefresherOptions, TokenScope } from "./options.js";
export { TokenRefreshError, type TokenRefreshErrorCode } from "./token-refresh-error.js";
export { createTokenRefresher, type TokenRefresher } from "./token-refresher.js";
