import type { ServiceToken } from "../acs/service.js";
import { GatewayError } from "../errors.js";

/** Between these shares of what a token has left, evenly, so that clients that started together do not return together. */
export const EARLIEST_REFRESH = 0.5;
const LATEST_REFRESH = 0.75;

/** With less than this a client SDK would ask again at once; no token is handed out with less. */
export const LEAST_LIFE_MS = 15 * 60_000;

/**
 * When a client should ask for its next token, ms since 1970: while the one it has is good for 15 minutes more, ahead of the
 * 10 minutes at which the client SDK refreshes by itself.
 */
export function refreshAfter(now: number, expiresOn: number, random: number): number {
  const left = expiresOn - now;
  const earliest = left * EARLIEST_REFRESH;
  const latest = Math.max(earliest, Math.min(left * LATEST_REFRESH, left - LEAST_LIFE_MS));
  return Math.round(now + earliest + (latest - earliest) * random);
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
