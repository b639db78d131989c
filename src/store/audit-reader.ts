import { type Expression, type Kysely, type SelectQueryBuilder, sql } from "kysely";
import {
  type ActivityCounts,
  type ActivityQuery,
  type AuditFilter,
  type AuditPageQuery,
  type AuditPosition,
  BUCKET_MS,
  type StoredRecord,
  type WalkedBatch,
  type WalkedRecord,
} from "../audit/query.js";
import type { AuditAction, AuditPhase } from "../audit/record.js";
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

const PHASES: readonly AuditPhase[] = ["INTENT", "OUTCOME"];

type CountedAction = keyof typeof COUNTED;
type Select<Row = object> = SelectQueryBuilder<Tables, "audit_events", Row>;

/** The audit records, read. Each page is read along one index, however long the trail is and however far into it. */
export class AuditReader {
  constructor(
    private readonly database: Kysely<Tables>,
    /** Has the records that this is true of in the indexes that have only those that are listed. */
    private readonly listThose = async (_: Expression<boolean>) => {},
  ) {}

  /** Up to `limit` records, newest first. */
  async page(query: AuditPageQuery): Promise<StoredRecord[]> {
    await this.#listFor(query.filter);
    const rows = await this.#page(query).execute();
    const records = rows.map(toStored);
    return query.backward ? records.reverse() : records;
  }

  /**
   * How many there are; `most` and one more when there are more than that, and no further one is looked at. In the order of
   * pages, as otherwise a planner may hope to come upon enough of them in the table itself.
   */
  async count(filter: AuditFilter, most: number): Promise<number> {
    await this.#listFor(filter);
    const limit = most + 1;
    const [first, ...others] = this.#branches(filter).map((branch) => {
      const walk = this.#walk(branch, { filter, limit, backward: false }).select("id");
      return this.database.selectFrom(walk.as("branch")).select("id");
    });
    if (first === undefined) return 0;
    const found = others.reduce((all, branch) => all.unionAll(branch), first).limit(limit);
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

  /** By the beginning of the bucket, of those that have any. */
  async activity({ since, until, bucket }: ActivityQuery): Promise<Map<number, Partial<ActivityCounts>>> {
    // A parameter would be another one in each place, and the two expressions no longer the same to Postgres.
    const start = sql<number>`at - at % ${sql.lit(BUCKET_MS[bucket])}`;
    const rows = await this.database
      .selectFrom("audit_events")
      .select(["action", start.as("start"), sql<number | string | bigint>`count(*)`.as("count")])
      .where("action", "in", Object.keys(COUNTED) as CountedAction[])
      .where(sql<boolean>`${UNINDEXED_PHASE} = 'OUTCOME'`)
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
      const end = batch.records.at(-1);
      if (end === undefined) return;
      last = end.id;
    }
  }

  /** The next so many records after this id. */
  async batch(after: string | undefined, limit: number): Promise<WalkedBatch> {
    return await atOneInstant(this.database, async (database) => {
      const records = [...(await this.#twinsOf(database, after)), ...(await this.#records(database, after, limit))];
      const last = records.at(-1);
      let dropped = database.selectFrom("audit_dropped").selectAll().orderBy("writer");
      if (after !== undefined) dropped = dropped.where("writer", ">=", writerAt(after));
      if (last) dropped = dropped.where("writer", "<=", writerAt(last.id));
      return { records, dropped: await dropped.execute() };
    });
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
    if (goesByListed(filter)) await this.listThose(sql.join(leadingOf(filter).flat().map(isEqual), sql` and `));
  }

  #page(query: AuditPageQuery): Select<AuditRow> | SelectQueryBuilder<Tables & { found: AuditRow }, "found", AuditRow> {
    const { filter, limit, backward } = query;
    const order = backward ? "asc" : "desc";
    const [first, ...others] = this.#branches(filter).map((branch) => this.#walk(branch, query).selectAll());
    if (first === undefined) return this.#matching(filter, rangeOf(query)).selectAll();
    if (others.length === 0) return first;
    const wrap = (branch: Select<AuditRow>) => this.database.selectFrom(branch.as("branch")).selectAll();
    const found = others.map(wrap).reduce((all, branch) => all.unionAll(branch), wrap(first));
    return this.database
      .selectFrom(found.as("found"))
      .selectAll()
      .orderBy("at", order)
      .orderBy("id", order)
      .limit(limit);
  }

  /**
   * Several actions, or phases where an index has them before the time, are as many walks along that index, merged: one walk
   * would either pass by everything else or sort all that it finds.
   */
  #branches(filter: AuditFilter): AuditFilter[] {
    if (filter.action === undefined || !goesByAction(filter)) return [filter];
    const phases = leadingOf(filter).length === 0 || filter.phase !== undefined ? [filter.phase] : PHASES;
    return [...new Set(filter.action)].flatMap((action) =>
      phases.map((phase) => ({ ...filter, action: [action], phase })),
    );
  }

  /** Of the query's range, what one index has in order. */
  #walk(branch: AuditFilter, query: AuditPageQuery): Select {
    const order = query.backward ? "asc" : "desc";
    return this.#matching(branch, rangeOf(query)).orderBy("at", order).orderBy("id", order).limit(query.limit);
  }

  #matching(filter: AuditFilter, { lower, upper }: Range): Select {
    let select: Select = this.database.selectFrom("audit_events");
    for (const condition of conditionsOf(filter)) select = select.where(condition);
    if (lower) select = select.where(beyond(lower, ">"));
    if (upper) select = select.where(beyond(upper, "<"));
    return select;
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

/** Where the index has only the records that are listed, and is used only for a query that says so. */
function goesByListed(filter: AuditFilter): boolean {
  return leadingOf(filter).length > 0;
}

/** A token's records are few next to a user's; whatever else comes first has an index that goes on with the action. */
function goesByAction({ tokenFingerprint }: AuditFilter): boolean {
  return tokenFingerprint === undefined;
}

/** Where an index has the phase first, or next behind a user and an action. */
function goesByPhase(filter: AuditFilter): boolean {
  return goesByAction(filter) && (filter.action !== undefined) === leadingOf(filter).length > 0;
}

function conditionsOf(filter: AuditFilter): Expression<boolean>[] {
  const [best = [], ...others] = leadingOf(filter);
  const conditions: Expression<boolean>[] = best.map(isEqual);
  if (goesByListed(filter)) conditions.push(IS_LISTED);
  for (const [column, value] of others.flat()) conditions.push(sql<boolean>`${unindexed(column)} = ${value}`);
  const phase = goesByPhase(filter) ? sql.ref("phase") : UNINDEXED_PHASE;
  if (filter.phase !== undefined) conditions.push(sql<boolean>`${phase} = ${filter.phase}`);
  const actions = filter.action;
  if (actions === undefined) return conditions;
  const action = goesByAction(filter) ? sql.ref("action") : unindexed("action");
  // Postgres has no empty list, and SQLite takes a list for something to sort by.
  if (actions.length === 0) conditions.push(sql<boolean>`1 = 0`);
  else if (actions.length === 1) conditions.push(sql<boolean>`${action} = ${actions[0]}`);
  else conditions.push(sql<boolean>`${action} in (${sql.join(actions)})`);
  return conditions;
}

/** The column's value, in a form that keeps a planner from going by another index than the one that has the order, too. */
function unindexed(column: Column | "action"): Expression<string> {
  return sql<string>`(${sql.ref(column)} || '')`;
}

/**
 * The same for SQLite alone, which counts columns, and one phase is as good as nothing. Postgres sees through it, and knows how
 * many records have it.
 */
const UNINDEXED_PHASE: Expression<string> = sql<string>`(case when 1 = 1 then phase end)`;

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

/** Of the record with this id, or of any other position in their order. */
function writerAt(id: string): string {
  return id.slice("aud_".length, id.lastIndexOf("_"));
}

/** What node:sqlite says of an integer that a JavaScript number cannot hold. */
function isOutOfRange(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ERR_OUT_OF_RANGE";
}
