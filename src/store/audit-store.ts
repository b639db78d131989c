import { type CompiledQuery, type Kysely, type RawBuilder, sql } from "kysely";
import { type AuditRecord, idAfter, recordId } from "../audit/record.js";
import type { AppendOptions, FoundRows } from "../audit/trail.js";
import type { TokenScope } from "../config/config.js";
import type { ApplicationUser } from "../identities/identity.js";
import { AuditListing } from "./audit-listing.js";
import { toIdentity } from "./identity-store.js";
import { type InsertTerms, insertValues, type RecordInsert } from "./record-insert.js";
import type { AuditRow, IdentityRow, RecordRow, Tables, WriterRow } from "./tables.js";
import { inTransaction } from "./transaction.js";

/** Records that one erasing statement changes: a few ms, in which a process on SQLite does nothing else. */
const BATCH = 1000;

const ALONG_IDENTITY = ["action", "phase", "at", "id"] as const;

const NOTHING_FOUND: FoundRows = new Map();

const NO_ACTOR = { actor_issuer: null, actor_subject: null, actor_salt: null } as const;

/** A write on SQLite costs much the same for few as for many, and so it waits for the rest of a crowd. */
const ENOUGH_ON_SQLITE = 32;

/** How far a writer's entry in `audit_writers` may be behind its newest record: one statement more for a crowd of them. */
export const WRITER_NOTED_MS = 5000;

/** Where records are added. */
export interface TrailDatabase {
  readonly database: Kysely<Tables>;
  /** Has them on disk, where a commit does not. */
  readonly sync?: (() => Promise<void>) | undefined;
  /** By values, unless the database has a quicker form. */
  readonly insert?: RecordInsert | undefined;
  /** One, unless its statements are sent before those in front of them are answered, and `insert` knows what they go on from. */
  readonly writesAtOnce?: number | undefined;
  /** 32 unless given: for a write that takes time of this process for itself more than for its records. */
  readonly enoughForAWrite?: number | undefined;
  /** Of a statement that was not run and can be asked again. */
  readonly isNotRun?: ((error: unknown) => boolean) | undefined;
}

/** A place in the records about an identity, in the order of their index. */
export type TrailPosition = Pick<AuditRow, (typeof ALONG_IDENTITY)[number]>;

/** Records of one chain, one after the other. */
interface DroppedSegment {
  readonly first: Place;
  readonly last: Place;
  /** What stays in their place. */
  readonly line: string;
  /** What stayed before, if records of the writer were dropped. */
  readonly said: string | undefined;
}

type Place = Pick<AuditRecord, "writer" | "sequence">;

interface IdentityRange {
  readonly identityId: string;
  /** Exclusive. */
  readonly after: TrailPosition | undefined;
  /** Inclusive. */
  readonly last?: TrailPosition | undefined;
}

/**
 * The audit records. They are added and read; of one that exists, personal values can be erased and nothing else changes,
 * until it is dropped for its age.
 */
export class AuditStore {
  readonly #insert: RecordInsert;
  /** The writer's newest record of which its entry knows. */
  #noted: Pick<AuditRecord, "writer" | "at"> | undefined;

  constructor(
    private readonly database: Kysely<Tables>,
    private readonly listing = new AuditListing(database, false),
    private readonly trail: TrailDatabase = { database },
  ) {
    this.#insert = trail.insert ?? insertValues(trail.database, listing.isLater ? 0 : 1);
  }

  get writesAtOnce(): number {
    return this.trail.writesAtOnce ?? 1;
  }

  get enoughForAWrite(): number {
    return this.trail.enoughForAWrite ?? ENOUGH_ON_SQLITE;
  }

  /** Whether records can be added on a premise. */
  get takesPremises(): boolean {
    return this.#insert.takesPremises;
  }

  /**
   * All or none, in one statement, durable once it resolves, with the rows that the premises are about. Undefined, with none stored,
   * when `after` is not what was added last, a premise does not hold, or they have to be asked for again. Rejects when one of them
   * is there already. Calls `behind` as soon as what is asked for behind records is answered with these there, while the disk is
   * waited for, or the server; where nothing is stored it was called in vain.
   */
  async append(
    records: readonly AuditRecord[],
    { after, premises, behind }: AppendOptions = {},
  ): Promise<FoundRows | undefined> {
    const newest = records.at(-1);
    if (newest === undefined) return NOTHING_FOUND;
    const adding = this.#add(newest, records.map(toRow), { after: after && recordId(after), premises });
    const isSentAhead = this.writesAtOnce > 1;
    if (isSentAhead) behind?.();
    const found = await adding;
    if (found === undefined) return undefined;
    if (!isSentAhead) behind?.();
    await this.trail.sync?.();
    return found;
  }

  async #add(newest: AuditRecord, rows: readonly RecordRow[], terms: InsertTerms): Promise<FoundRows | undefined> {
    if (this.#isNoted(newest)) return await this.#run(this.#insert.add(rows, terms), terms);
    // Ahead of the next one, which waits for it no longer than for any. What keeps it from being run tells by that one.
    const { replan } = this.#insert;
    if (replan && this.#noted) void this.trail.database.executeQuery(replan).catch(() => {});
    const found = await this.#addNoting(rows, { writer: newest.writer, written_at: newest.at }, terms);
    if (found) this.#noted = newest;
    return found;
  }

  /** Both or none: a chain whose first write fails is not to be looked for. */
  async #addNoting(rows: readonly RecordRow[], writer: WriterRow, terms: InsertTerms): Promise<FoundRows | undefined> {
    const together = this.#insert.addNoting?.(rows, writer, terms);
    if (together) return await this.#run(together, terms);
    return await inTransaction(this.trail.database, async (transaction) => {
      await noteWriter(transaction, writer);
      await transaction.executeQuery(this.#insert.add(rows, terms));
      return NOTHING_FOUND;
    });
  }

  /** What it has found; undefined when it has added nothing. */
  async #run(statement: CompiledQuery, { premises = [] }: InsertTerms): Promise<FoundRows | undefined> {
    try {
      const { numAffectedRows, rows } = await this.trail.database.executeQuery<IdentityRow>(statement);
      if (premises.length === 0) return numAffectedRows === 0n ? undefined : NOTHING_FOUND;
      return rows.length === 0 ? undefined : new Map(rows.map((row) => [row.id, toIdentity(row)]));
    } catch (error) {
      if (this.trail.isNotRun?.(error)) return undefined;
      throw error;
    }
  }

  /** Who follows the trail looks for a record where its writer is known to have written lately. */
  #isNoted({ writer, at }: AuditRecord): boolean {
    return this.#noted?.writer === writer && Math.abs(at - this.#noted.at) < WRITER_NOTED_MS;
  }

  /**
   * Erases the user's name, with its salt, so that the chain still verifies, from some of the records of what they asked for
   * themselves: about this identity of theirs, or about none. By whose order something was done to others stays. True when no
   * such record is left.
   */
  async eraseActor(user: ApplicationUser, identityId: string): Promise<boolean> {
    const isUsers = sql<boolean>`actor_issuer = ${user.issuer} and actor_subject = ${user.subject}`;
    await this.listing.listThose(isUsers);
    const some = this.database
      .selectFrom("audit_events")
      .select("id")
      .where(IS_LISTED)
      .where(isUsers)
      .where(({ or, eb }) => or([eb("identity_id", "is", null), eb("identity_id", "=", identityId)]))
      .limit(BATCH);
    const update = this.database.updateTable("audit_events").set(NO_ACTOR).where("id", "in", some);
    return (await update.executeTakeFirst()).numUpdatedRows < BATCH;
  }

  /**
   * Erases from the next records about this identity what was said of it, and the name of whoever is its user. Answers where
   * to go on; undefined at the end.
   */
  async eraseAbout(
    identityId: string,
    isUser: (actor: ApplicationUser) => boolean,
    after?: TrailPosition,
  ): Promise<TrailPosition | undefined> {
    await this.listing.listThose(sql`identity_id = ${identityId}`);
    const range = { identityId, after };
    const last = await this.database
      .selectFrom("audit_events")
      .select(ALONG_IDENTITY)
      .where(isWithin(range))
      .orderBy("action")
      .orderBy("phase")
      .orderBy("at")
      .orderBy("id")
      .offset(BATCH - 1)
      .limit(1)
      .executeTakeFirst();
    const within = isWithin({ ...range, last });
    const update = this.database.updateTable("audit_events").where(within);
    await update.set({ reason: null, reason_salt: null }).where("reason_salt", "is not", null).execute();
    for (const actor of await this.#actorsWithin(within)) {
      if (!isUser(actor)) continue;
      await update
        .set(NO_ACTOR)
        .where("actor_issuer", "=", actor.issuer)
        .where("actor_subject", "=", actor.subject)
        .execute();
    }
    return last;
  }

  /** Drops a segment. False when somebody else has dropped records of the writer since it was read. */
  async drop({ first, last, line, said }: DroppedSegment): Promise<boolean> {
    const { writer } = last;
    return await inTransaction(this.database, async (transaction) => {
      const { numInsertedOrUpdatedRows } = await transaction
        .insertInto("audit_dropped")
        .values({ writer, line })
        .onConflict((conflict) =>
          conflict
            .column("writer")
            .doUpdateSet({ line })
            .where("audit_dropped.line", "=", said ?? ""),
        )
        .executeTakeFirstOrThrow();
      if (numInsertedOrUpdatedRows !== 1n) return false;
      await transaction
        .deleteFrom("audit_events")
        .where("id", ">=", recordId(first))
        .where("id", "<=", recordId(last))
        .execute();
      // A process that lives on is noted again with its next record, as it has written none for long.
      const left = transaction
        .selectFrom("audit_events")
        .select("id")
        .where("id", ">", recordId({ writer, sequence: 0 }))
        .where("id", "<", idAfter(writer));
      await transaction
        .deleteFrom("audit_writers")
        .where("writer", "=", writer)
        .where(({ not, exists }) => not(exists(left)))
        .execute();
      return true;
    });
  }

  async #actorsWithin(within: RawBuilder<boolean>): Promise<ApplicationUser[]> {
    return await this.database
      .selectFrom("audit_events")
      .select(["actor_issuer as issuer", "actor_subject as subject"])
      .distinct()
      .where(within)
      .where("actor_issuer", "is not", null)
      .where("actor_subject", "is not", null)
      .$narrowType<{ issuer: string; subject: string }>()
      .execute();
  }
}

async function noteWriter(database: Kysely<Tables>, writer: WriterRow): Promise<void> {
  await database
    .insertInto("audit_writers")
    .values(writer)
    .onConflict((conflict) => conflict.column("writer").doUpdateSet({ written_at: writer.written_at }))
    .execute();
}

/** As the indexes say it that have only such records. */
export const IS_LISTED = sql<boolean>`listed = 1`;

/** Along the index of an identity's records; with bounds that are there, whatever comes between. */
function isWithin({ identityId, after, last }: IdentityRange): RawBuilder<boolean> {
  const bounds = [
    IS_LISTED,
    sql`identity_id = ${identityId}`,
    ...(after ? [sql`${ORDER} > ${placeOf(after)}`] : []),
    ...(last ? [sql`${ORDER} <= ${placeOf(last)}`] : []),
  ];
  return sql<boolean>`${sql.join(bounds, sql` and `)}`;
}

const ORDER = sql`(${sql.join(ALONG_IDENTITY.map((column) => sql.ref(column)))})`;

function placeOf(position: TrailPosition): RawBuilder<unknown> {
  return sql`(${sql.join(ALONG_IDENTITY.map((column) => position[column]))})`;
}

export function toRow(record: AuditRecord): RecordRow {
  return {
    id: recordId(record),
    writer: record.writer,
    sequence: record.sequence,
    at: record.at,
    action: record.action,
    phase: record.phase,
    identity_id: record.identityId,
    actor_issuer: record.actor?.issuer ?? null,
    actor_subject: record.actor?.subject ?? null,
    actor_salt: record.actorSeal.salt,
    actor_commitment: record.actorSeal.commitment,
    scopes: record.scopes?.join(" ") ?? null,
    token_fingerprint: record.tokenFingerprint,
    token_expires_on: record.tokenExpiresOn,
    reason: record.reason,
    reason_salt: record.reasonSeal.salt,
    reason_commitment: record.reasonSeal.commitment,
    request_id: record.requestId,
    client_name: record.clientName,
    client_version: record.clientVersion,
    hash: record.hash,
  };
}

export function toRecord(row: RecordRow): AuditRecord {
  const { actor_issuer: issuer, actor_subject: subject } = row;
  return {
    writer: row.writer,
    sequence: row.sequence,
    at: row.at,
    action: row.action,
    phase: row.phase,
    identityId: row.identity_id,
    actor: issuer === null || subject === null ? null : { issuer, subject },
    actorSeal: { salt: row.actor_salt, commitment: row.actor_commitment },
    scopes: row.scopes === null ? null : (row.scopes.split(" ").filter(Boolean) as TokenScope[]),
    tokenFingerprint: row.token_fingerprint,
    tokenExpiresOn: row.token_expires_on,
    reason: row.reason,
    reasonSeal: { salt: row.reason_salt, commitment: row.reason_commitment },
    requestId: row.request_id,
    clientName: row.client_name,
    clientVersion: row.client_version,
    hash: row.hash,
  };
}
