import { GatewayError } from "../errors.js";
import type { ApplicationUser } from "../identities/identity.js";

/** What a budget is called in the answer's headers. */
export type BudgetName = "requests" | "mints" | "issuer-mints" | "revocations" | "failed-auth";

/** Where one budget stands, after something was taken from it or refused. */
export interface Quota {
  readonly name: BudgetName;
  /** Whose budget it is, so that nobody is told another's; null for one that is no user's own. */
  readonly user: ApplicationUser | null;
  /** The budget that is in force: of all instances together, or this one's part. */
  readonly limit: number;
  readonly windowSeconds: number;
  readonly remaining: number;
  /** Until the window ends; at least 1. */
  readonly resetSeconds: number;
}

/**
 * The part of a window in which those return who were refused by a budget of many users: it begins anew for all of them at
 * once. `Retry-After` goes before what `RateLimit` says (draft-ietf-httpapi-ratelimit-headers-11).
 */
const SPREAD = 0.5;

/** A budget is spent. */
export class RateLimited extends GatewayError {
  constructor(
    message: string,
    readonly quota: Quota,
    random?: () => number,
  ) {
    const { user, resetSeconds, windowSeconds } = quota;
    const spreadSeconds = user === null ? Math.floor(windowSeconds * SPREAD) : 0;
    super("RATE_LIMITED", message, { retryAfterSeconds: resetSeconds, spreadSeconds, random });
  }
}
