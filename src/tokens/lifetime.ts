import type { ServiceToken } from "../acs/service.js";
import { GatewayError } from "../errors.js";

/** Clients that started together return within this share of what their tokens have left, evenly. */
const SPREAD = 0.25;
/** At which share the last one returns: before it, where the token would not be good for long enough; never before half. */
const LATEST_REFRESH = 0.75;
const LEAST_LATEST_REFRESH = 0.5;

/** With less than this a client SDK would ask again at once; no token is handed out with less. */
export const LEAST_LIFE_MS = 15 * 60_000;

/**
 * When a client should ask for its next token, ms since 1970: while the one it has is good for 15 minutes more, ahead of the
 * 10 minutes at which the client SDK refreshes by itself. With less than an hour left the whole spread comes earlier: to cut it
 * off at its end would bring back together who got, together, a token that was kept for them.
 */
export function refreshAfter(now: number, expiresOn: number, random: number): number {
  const left = expiresOn - now;
  return Math.round(now + earliestRefresh(left) + left * SPREAD * random);
}

/** How long after it got a token that has so much left a client returns at the earliest, ms. */
export function earliestRefresh(left: number): number {
  const latest = Math.min(left * LATEST_REFRESH, left - LEAST_LIFE_MS);
  return Math.max(latest, left * LEAST_LATEST_REFRESH) - left * SPREAD;
}

export function hasUsefulLife({ expiresOn }: ServiceToken, now: number): boolean {
  return expiresOn - now >= LEAST_LIFE_MS;
}

/** Throws UPSTREAM_UNAVAILABLE for a token that ends too soon, though an hour was the least that was asked for. */
export function requireUsefulLife(token: ServiceToken, now: number): void {
  if (hasUsefulLife(token, now)) return;
  throw new GatewayError(
    "UPSTREAM_UNAVAILABLE",
    "Communication Services issued a token that ends too soon to be of use.",
  );
}
