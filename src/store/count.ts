import type { SelectQueryBuilder } from "kysely";

/** As the databases' drivers tell it. */
export type Count = number | string | bigint;

/** How many rows the query finds. */
export async function countOf<Tables, Table extends keyof Tables>(
  query: SelectQueryBuilder<Tables, Table, object>,
): Promise<number> {
  const counted = query.select(({ fn }) => fn.countAll<Count>().as("count")).$castTo<{ readonly count: Count }>();
  return Number((await counted.executeTakeFirstOrThrow()).count);
}
