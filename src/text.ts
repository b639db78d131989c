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
