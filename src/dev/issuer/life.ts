import { BadParameters } from "./parameters.js";

/** How long access tokens last unless a shorter life is asked for. */
export const LIFE_SECONDS = 12 * 3600;

/** The life of access tokens in seconds, from a parameter `expires_in` that may be left out. Throws `BadParameters`. */
export function readLife(text: string | undefined): number {
  if (text === undefined) return LIFE_SECONDS;
  const seconds = Number(text);
  if (/^\d{1,5}$/.test(text) && seconds >= 1 && seconds <= LIFE_SECONDS) return seconds;
  throw new BadParameters(`expires_in is a number of seconds from 1 to ${LIFE_SECONDS}.`);
}
