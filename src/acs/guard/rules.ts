import type { FailureReason, ServiceOperation, Urgency } from "../service.js";
import type { Priority } from "./waiting-line.js";

/**
 * When a call may be made again. `unlessDone`: after a failure that surely changed nothing. `always`: also when nobody
 * knows; a token that was made in vain reaches nobody, and the audit trail has the intent of one and its outcome. `never`:
 * revocations and deletions, which the service worker repeats until they are done, with pauses of its own.
 */
type Repeat = "unlessDone" | "always" | "never";

const REPEATS: Readonly<Record<ServiceOperation, Repeat>> = {
  createIdentity: "unlessDone",
  createIdentityWithToken: "unlessDone",
  issueToken: "always",
  exchangeTeamsToken: "always",
  revokeTokens: "never",
  deleteIdentity: "never",
};

/**
 * What another try can help with. Not a time-out, which leaves no time for one; and not a 429 that does not say when to come
 * back, for "all requests accrue against your usage limits" (Microsoft): only `askedToWait` makes that worth it.
 */
export function mayRepeat(operation: ServiceOperation, reason: FailureReason, askedToWait: boolean): boolean {
  const repeat = REPEATS[operation];
  if (repeat === "never") return false;
  if (reason === "unreachable") return true;
  if (reason === "throttled") return askedToWait;
  return repeat === "always" && (reason === "broken" || reason === "outOfOrder");
}

/** What tells that the service has more to do than it can. Not an exchange: what that carries is the user's choice. */
export function showsOverload(operation: ServiceOperation, reason: FailureReason): boolean {
  if (operation === "exchangeTeamsToken") return false;
  return reason === "timeout" || reason === "throttled" || reason === "outOfOrder";
}

export function priorityOf(operation: ServiceOperation, urgency: Urgency): Priority {
  return operation === "revokeTokens" || operation === "deleteIdentity" ? "safety" : urgency;
}
