/**
 * Whether every database keeps the text as it is. A lone surrogate has no UTF-8: it would be kept as U+FFFD, and two users
 * would become one. Postgres has no NUL in a text.
 */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** The text with U+FFFD in place of what makes it none that is. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\ufffd");
}

/** What a terminal takes for a command. Lines and tabs are left. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** The text with U+FFFD in place of what would have a terminal do something else than show it. */
export function printable(text: string): string {
  return text.replace(CONTROLS, "\ufffd");
}

/** What ends a line, or has what follows shown elsewhere in it (UAX #9). */
const PLACING = /[\t\n\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g;

/** The same of what is one line, and is to be seen where it stands. */
export function printableLine(text: string): string {
  return printable(text).replace(PLACING, "\ufffd");
}
