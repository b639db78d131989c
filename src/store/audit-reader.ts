import { type Expression, type Kysely, type SelectQueryBuilder, sql } from "kysely";
import {
  type ActivityCounts,
  type ActivityQuery,
  type AuditFilter,
  type AuditPageQuery,
  type AuditPosition,
  BUCKET_MS,
  type Dropped,
  type StoredRecord,
  type WalkedBatch,
  type WalkedRecord,
} from "../audit/query.js";
import { AUDIT_ACTIONS, AUDIT_PHASES, type AuditAction } from "../audit/record.js";
import { IS_LISTED, toRecord, toRow } from "./audit-store.js";
import type { AuditRow, Tables } from "./tables.js";
import { atOneInstant } from "./transaction.js";

const WALK_BATCH = 1000;

/** What the activity counts by. */
const COUNTED = {
  TOKEN_ISSUED: "issued",
  TOKEN_REUSED: "reused",
  TOKEN_REFUSED: "refused",
  TOKENS_REVOKED: "revoked",
} as const satisfies Partial<Record<AuditAction, keyof ActivityCounts>>;

type CountedAction = keyof typeof COUNTED;
type Select<Row = object> = SelectQueryBuilder<Tables, "audit_events", Row>;

/**
 * The audit records, read: each page along one index, in one walk or several that are merged, however long the trail is and however far
 * into it.
 */
export class AuditReader {
  constructor(
    private readonly database: Kysely<Tables>,
    /** Has the records that this is true of in the indexes that have only those that are listed. */
    private readonly listThose = async (_: Expression<boolean>) => {},
  ) {}

  /** Up to `limit` records, newest first. */
  async page(query: AuditPageQuery): Promise<StoredRecord[]> {
    const [branch, ...others] = branchesOf(query.filter);
    if (branch === undefined) return [];
    await this.#listFor(query.filter);
    const select = others.length === 0 ? this.#walk(query, branch).selectAll() : this.#merged(query, branch, others);
    const records = (await select.execute()).map(toStored);
    return query.backward ? records.reverse() : records;
  }

  /**
   * How many there are; `most` and one more when there are more than that, and no further one is looked at. In the order of
   * pages, as otherwise a planner may hope to come upon enough of them in the table itself.
   */
  async count(filter: AuditFilter, most: number): Promise<number> {
    const [branch, ...others] = branchesOf(filter);
    if (branch === undefined) return 0;
    await this.#listFor(filter);
    const limit = most + 1;
    const found = this.#together({ filter, limit, backward: false }, branch, others).limit(limit);
    const { count } = await this.database
      .selectFrom(found.as("found"))
      .select(({ fn }) => fn.countAll<number | string | bigint>().as("count"))
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  /** In no particular order; unknown ids are left out. */
  async findByIds(ids: readonly string[]): Promise<StoredRecord[]> {
    if (ids.length === 0) return [];
    const rows = await this.database
      .selectFrom("audit_events")
      .selectAll()
      .where("id", "in", [...ids])
      .execute();
    return rows.map(toStored);
  }

  /** When the record was made, in ms since 1970, that has so many before it from `since` on; undefined when none has before `until`. */
  async atOffset(since: number, until: number, offset: number): Promise<number | undefined> {
    const row = await this.database
      .selectFrom("audit_events")
      .select("at")
      .where("at", ">=", since)
      .where("at", "<", until)
      .orderBy("at")
      .orderBy("id")
      .offset(offset)
      .limit(1)
      .executeTakeFirst();
    return row?.at;
  }

  /** By the beginning of the bucket, of those that have any. */
  async activity({ since, until, bucket }: ActivityQuery): Promise<Map<number, Partial<ActivityCounts>>> {
    // A parameter would be another one in each place, and the two expressions no longer the same to Postgres.
    // Of the column's own type, for which Postgres has an operator: where it has none, anybody's would be taken.
    const start = sql<number>`at - at % cast(${sql.lit(BUCKET_MS[bucket])} as bigint)`;
    const rows = await this.database
      .selectFrom("audit_events")
      .select(["action", start.as("start"), sql<number | string | bigint>`count(*)`.as("count")])
      .where("action", "in", Object.keys(COUNTED) as CountedAction[])
      .where("phase", "=", "OUTCOME")
      .where("at", ">=", since)
      .where("at", "<", until)
      .groupBy(["action", start])
      .execute();
    const buckets = new Map<number, Partial<ActivityCounts>>();
    for (const { action, start, count } of rows) {
      buckets.set(start, { ...buckets.get(start), [COUNTED[action as CountedAction]]: Number(count) });
    }
    return buckets;
  }

  /** Everything that there is, from the beginning or from after this id. */
  async *walk(after?: string): AsyncGenerator<WalkedBatch> {
    for (let last = after; ; ) {
      const batch = await this.batch(last, WALK_BATCH);
      yield batch;
      yield* this.#droppedBetween(last, batch.records);
      const end = batch.records.at(-1);
      if (end === undefined) return;
      last = end.id;
    }
  }

  /** The next so many records after this id. */
  async batch(after: string | undefined, limit: number): Promise<WalkedBatch> {
    return await atOneInstant(this.database, async (database) => {
      const records = [...(await this.#twinsOf(database, after)), ...(await this.#records(database, after, limit))];
      const writers = writersOf(records).add(writerAt(after));
      const dropped = database
        .selectFrom("audit_dropped")
        .selectAll()
        .where("writer", "in", [...writers]);
      return { records, dropped: await dropped.orderBy("writer").execute() };
    });
  }

  /** Of writers behind this id and before the last of the records, but for those of the records: they had none left when these were read. */
  async *#droppedBetween(after: string | undefined, records: readonly WalkedRecord[]): AsyncGenerator<WalkedBatch> {
    const told = writersOf(records);
    const end = records.at(-1);
    for (let last: string | undefined = writerAt(after); last !== undefined; ) {
      let select = this.database.selectFrom("audit_dropped").selectAll().where("writer", ">", last);
      if (end) select = select.where("writer", "<", writerAt(end.id));
      const lines: Dropped[] = await select.orderBy("writer").limit(WALK_BATCH).execute();
      const dropped = lines.filter(({ writer }) => !told.has(writer));
      if (dropped.length > 0) yield { records: [], dropped };
      last = lines[WALK_BATCH - 1]?.writer;
    }
  }

  /** Of the record after which to go on, which no other has an id in common with unless the table was made anew. */
  async #twinsOf(database: Kysely<Tables>, id: string | undefined): Promise<WalkedRecord[]> {
    if (id === undefined) return [];
    const rows = await database.selectFrom("audit_events").select("id").where("id", "=", id).limit(2).execute();
    return rows.slice(1).map(() => ({ id, record: undefined }));
  }

  /** Where there is an integer that no program of ours wrote, one row at a time, so that it is known which. */
  async #records(database: Kysely<Tables>, after: string | undefined, limit: number): Promise<readonly WalkedRecord[]> {
    let select = database.selectFrom("audit_events").orderBy("id").limit(limit);
    // Without a bound at the beginning: in SQLite an id can be null, which is before all others and above none.
    if (after !== undefined) select = select.where("id", ">", after);
    try {
      return (await select.selectAll().execute()).map(toWalked);
    } catch (error) {
      if (!isOutOfRange(error)) throw error;
      if (limit > 1) return await this.#records(database, after, 1);
      return (await select.select("id").execute()).map(({ id }) => ({ id, record: undefined }));
    }
  }

  async #listFor(filter: AuditFilter): Promise<void> {
    const leading = leadingOf(filter);
    if (leading.length > 0) await this.listThose(sql.join(leading.flat().map(isEqual), sql` and `));
  }

  /** The indexes alone tell which records those are: of what all branches find, most is not in the page. */
  #merged(query: AuditPageQuery, branch: AuditFilter, others: readonly AuditFilter[]) {
    const order = query.backward ? "asc" : "desc";
    const found = this.#together(query, branch, others).orderBy("at", order).orderBy("id", order).limit(query.limit);
    return this.database
      .selectFrom(found.as("found"))
      .innerJoin("audit_events", "audit_events.id", "found.id")
      .selectAll("audit_events")
      .orderBy("found.at", order)
      .orderBy("found.id", order);
  }

  /** What each branch finds, one after the other. */
  #together(query: AuditPageQuery, branch: AuditFilter, others: readonly AuditFilter[]) {
    const places = (filter: AuditFilter) =>
      this.database.selectFrom(this.#walk(query, filter).select(["at", "id"]).as("branch")).select(["at", "id"]);
    return others.reduce((all, filter) => all.unionAll(places(filter)), places(branch));
  }

  /** Of the query's range, what one index has in order. */
  #walk(query: AuditPageQuery, branch: AuditFilter): Select {
    const order = query.backward ? "asc" : "desc";
    const { lower, upper } = rangeOf(query);
    let select: Select = this.database.selectFrom("audit_events");
    for (const condition of conditionsOf(branch)) select = select.where(condition);
    if (lower) select = select.where(beyond(lower, ">"));
    if (upper) select = select.where(beyond(upper, "<"));
    return select.orderBy("at", order).orderBy("id", order).limit(query.limit);
  }
}

type Column = "token_fingerprint" | "identity_id" | "actor_issuer" | "actor_subject";
type Equal = readonly (readonly [Column, string])[];

function isEqual([column, value]: Equal[number]) {
  return sql<boolean>`${sql.ref(column)} = ${value}`;
}

/** The conditions that an index begins with, best first. */
function leadingOf({ tokenFingerprint, identityId, actor }: AuditFilter): Equal[] {
  const equals: Equal[] = [];
  if (tokenFingerprint !== undefined) equals.push([["token_fingerprint", tokenFingerprint]]);
  if (identityId !== undefined) equals.push([["identity_id", identityId]]);
  if (actor !== undefined)
    equals.push([
      ["actor_issuer", actor.issuer],
      ["actor_subject", actor.subject],
    ]);
  return equals;
}

/**
 * What is asked for, as filters of each of which an index has the records in the order of pages. A user's index goes by action and phase
 * before it goes by time: whatever is asked for of a user is all of those, merged.
 */
function branchesOf(filter: AuditFilter): AuditFilter[] {
  const { action, phase } = filter;
  const isUsers = leadingOf(filter).length > 0;
  if (action?.length === 0) return [];
  if (goesByToken(filter) || (action === undefined && !isUsers)) return [filter];
  const phases = isUsers && phase === undefined ? AUDIT_PHASES : [phase];
  return [...new Set(action ?? AUDIT_ACTIONS)].flatMap((each) =>
    phases.map((phase) => ({ ...filter, action: [each], phase })),
  );
}

/** A token's records are few, so its index has them by time alone. */
function goesByToken({ tokenFingerprint }: AuditFilter): boolean {
  return tokenFingerprint !== undefined;
}

function conditionsOf(filter: AuditFilter): Expression<boolean>[] {
  const [best, ...others] = leadingOf(filter);
  // The index has only the records that are listed, and is used only for a query that says so.
  const conditions: Expression<boolean>[] = best === undefined ? [] : [...best.map(isEqual), IS_LISTED];
  for (const [column, value] of others.flat()) conditions.push(sql<boolean>`${unindexed(column)} = ${value}`);
  if (filter.phase !== undefined) conditions.push(sql<boolean>`phase = ${filter.phase}`);
  if (filter.action === undefined) return conditions;
  const action = goesByToken(filter) ? unindexed("action") : sql.ref("action");
  const actions = filter.action.map((each) => sql<boolean>`${action} = ${each}`);
  return [...conditions, sql<boolean>`(${sql.join(actions, sql` or `)})`];
}

/** The column's value, in a form that keeps a planner from going by another index than the one that has the order, too. */
function unindexed(column: Column | "action"): Expression<string> {
  return sql<string>`(${sql.ref(column)} || '')`;
}

interface Range {
  readonly lower: AuditPosition | undefined;
  readonly upper: AuditPosition | undefined;
}

/**
 * One bound on each side, since of two a planner may begin at the wrong one and read its way to the other. An id of no
 * characters is before all others, so an instant is a position, too.
 */
function rangeOf({ filter, after, before }: Pick<AuditPageQuery, "filter" | "after" | "before">): Range {
  const instant = (value: number | undefined) => (value === undefined ? [] : [{ value, id: "" }]);
  const given = (position: AuditPosition | undefined) => (position === undefined ? [] : [position]);
  return {
    lower: [...instant(filter.since), ...given(before)].sort(compare).at(-1),
    upper: [...instant(filter.until), ...given(after)].sort(compare).at(0),
  };
}

function compare(one: AuditPosition, other: AuditPosition): number {
  return one.value - other.value || (one.id < other.id ? -1 : 1);
}

function beyond({ value, id }: AuditPosition, side: "<" | ">"): Expression<boolean> {
  return sql<boolean>`(at, id) ${sql.raw(side)} (${value}, ${id})`;
}

function toStored(row: AuditRow): StoredRecord {
  return { id: row.id, ...toRecord(row) };
}

function toWalked(row: AuditRow): WalkedRecord {
  const id = String(row.id);
  // SQLite keeps bytes and fractions wherever somebody puts them.
  if (row.scopes !== null && typeof row.scopes !== "string") return { id, record: undefined };
  const record = toStored(row);
  const spelled = Object.entries(toRow(record)) as [keyof AuditRow, unknown][];
  // Any other value of it would keep the record from readers.
  const isWhole = (row.listed === 0 || row.listed === 1) && spelled.every(([column, value]) => row[column] === value);
  return { id, record: isWhole ? record : undefined };
}

function writersOf(records: readonly WalkedRecord[]): Set<string> {
  return new Set(records.map(({ id }) => writerAt(id)));
}

/** Of the record with this id, or of any other position in their order; before all others without one. */
function writerAt(id = ""): string {
  return id.slice("aud_".length, id.lastIndexOf("_"));
}

/** What node:sqlite says of an integer that a JavaScript number cannot hold. */
function isOutOfRange(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ERR_OUT_OF_RANGE";
}
