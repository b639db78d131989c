/** Whether every % of its user and password, and of the others, begins an escape. */
export function isEncoded({ username, password }: URL, ...others: readonly string[]): boolean {
  try {
    decodeURIComponent([username, password, ...others].join(" "));
    return true;
  } catch {
    return false;
  }
}
