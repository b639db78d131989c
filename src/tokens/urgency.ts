import type { TokenRequest, Urgency } from "../acs/service.js";
import type { Identity } from "../identities/identity.js";

/** With less than this left of the token that it has, a client does without soon. */
const SOON_MS = 30 * 60_000;

/**
 * How soon the client is without a good token, by when one was last issued for its identity, and as if that had the lifetime
 * that is asked for now. It decides who is served first, and nothing else.
 */
export function urgencyOf(
  { lastTokenIssuedAt, tokensValidAfter }: Identity,
  { lifetimeMinutes }: TokenRequest,
  now: number,
): Urgency {
  if (lastTokenIssuedAt === null) return "normal";
  if (tokensValidAfter !== null && lastTokenIssuedAt < tokensValidAfter) return "expiring";
  return lastTokenIssuedAt + lifetimeMinutes * 60_000 - now < SOON_MS ? "expiring" : "early";
}
