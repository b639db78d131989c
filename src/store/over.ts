import { type RawBuilder, sql } from "kysely";

/** ms. No lease is longer, and no pause before another try, by minutes more than clocks of instances differ by. */
const FAR_AHEAD_MS = 300_000;

/**
 * Whether the time in this column, in ms since 1970, is up. So it is where it is further ahead than any can be: then it was told by a clock that
 * has been set back since.
 */
export function isOver(
  column: "lease_until" | "next_try_at",
  now: number,
  farAheadMs = FAR_AHEAD_MS,
): RawBuilder<boolean> {
  const until = sql.ref(column);
  return sql<boolean>`(${until} <= ${now} or ${until} > ${now + farAheadMs})`;
}
