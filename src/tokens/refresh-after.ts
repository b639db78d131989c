/** Between these shares of a token's life, evenly, so that clients that started together do not return together. */
const EARLIEST = 0.5;
const LATEST = 0.75;

/**
 * When a client should ask for its next token, ms since 1970. The shortest token lives 60 minutes, so the latest moment is
 * 15 minutes before its end: ahead of the 10 minutes at which the client SDK refreshes by itself.
 */
export function refreshAfter(now: number, expiresOn: number, random: number): number {
  return Math.round(now + (expiresOn - now) * (EARLIEST + (LATEST - EARLIEST) * random));
}
