import { type Kysely, type RawBuilder, type SelectQueryBuilder, sql } from "kysely";
import { GatewayError } from "../errors.js";
import type {
  ApplicationUser,
  Identity,
  IdentityFilter,
  IdentityOrder,
  IdentityPosition,
  IdentityStatus,
} from "../identities/identity.js";
import { AuditStore } from "./audit-store.js";
import { countOf } from "./count.js";
import { ErasureStore } from "./erasure-store.js";
import { type IdentityRows, rowsByStatement } from "./identity-rows.js";
import type { IdentityRow, Tables } from "./tables.js";
import { inTransaction } from "./transaction.js";
import { WorkStore } from "./work-store.js";

export interface IdentityPageQuery {
  readonly filter: IdentityFilter;
  readonly order: IdentityOrder;
  readonly limit: number;
  /** From the end of the range instead of its beginning; rows still come in the stated order. */
  readonly backward: boolean;
  /** Both exclusive. */
  readonly after?: IdentityPosition | undefined;
  readonly before?: IdentityPosition | undefined;
}

export interface Binding {
  readonly communicationUserId: string;
  /** The host of the resource that owns it. */
  readonly resource: string;
  /** The row's count when the service was asked. */
  readonly revocations: number;
  /** ms since 1970; null when the identity was made without a token. */
  readonly tokenIssuedAt: number | null;
}

/** How a change is made that need not be on disk before the record that follows it is, and is then synced with that. */
export interface BeforeRecord {
  readonly database: Kysely<Tables>;
  /** Always true; what it is evaluated in ends without a sync of its own. Not needed where the connection leaves that to the trail. */
  readonly unsynced?: RawBuilder<boolean> | undefined;
}

const NEW_ROW = {
  resource: null,
  last_token_issued_at: 0,
  tokens_valid_after: 0,
  revocation_pending: 0,
  revocations: 0,
  user_hash: null,
} as const;

const ORDER_COLUMNS = { CREATED_AT: "created_at", LAST_TOKEN_ISSUED_AT: "last_token_issued_at" } as const;

/**
 * The identity rows. Each method is atomic; a change names the state that it starts from and answers
 * undefined when the row is no longer in it, so of two that race exactly one wins.
 */
export class IdentityStore {
  constructor(
    private readonly database: Kysely<Tables>,
    private readonly rows: IdentityRows = rowsByStatement(database),
    private readonly beforeRecord: BeforeRecord = { database },
    private readonly rowsBehind: Pick<IdentityRows, "byId"> = rows,
  ) {}

  async findById(id: string): Promise<Identity | undefined> {
    return asIdentity(await this.rows.byId(id));
  }

  /** The same for whoever asks behind a record: as it is with that record there, even if that is on its way yet. */
  async findBehindRecord(id: string): Promise<Identity | undefined> {
    return asIdentity(await this.rowsBehind.byId(id));
  }

  /** In no particular order; unknown ids are left out. */
  async findByIds(ids: readonly string[]): Promise<Identity[]> {
    if (ids.length === 0) return [];
    const rows = await this.#select()
      .where("id", "in", [...ids])
      .execute();
    return rows.map(toIdentity);
  }

  /** Live rows only, in no particular order: a deleted one has no user. */
  async findByUsers(users: readonly ApplicationUser[]): Promise<Identity[]> {
    const rows = await this.#select()
      .where(({ or, and, eb }) =>
        or(users.map(({ issuer, subject }) => and([eb("issuer", "=", issuer), eb("subject", "=", subject)]))),
      )
      .execute();
    return rows.map(toIdentity);
  }

  /** A live row. */
  async findByUser(user: ApplicationUser): Promise<Identity | undefined> {
    return asIdentity(await this.rows.byUser(user));
  }

  async findByCommunicationUserId(communicationUserId: string): Promise<Identity | undefined> {
    const row = await this.#select().where("communication_user_id", "=", communicationUserId).executeTakeFirst();
    return asIdentity(row);
  }

  /** Up to `limit` rows, in the stated order. Reads along an index, however far into the list. */
  async page(query: IdentityPageQuery): Promise<Identity[]> {
    const { field, direction } = query.order;
    const ascending = (direction === "ASC") !== query.backward;
    const column = ORDER_COLUMNS[field];
    const beyond = ({ value, id }: IdentityPosition, greater: boolean) =>
      sql<boolean>`(${sql.ref(column)}, id) ${sql.raw(greater ? ">" : "<")} (${value}, ${id})`;
    let select = this.#filtered(query.filter).selectAll();
    if (query.after) select = select.where(beyond(query.after, direction === "ASC"));
    if (query.before) select = select.where(beyond(query.before, direction === "DESC"));
    const order = ascending ? "asc" : "desc";
    const rows = await select.orderBy(column, order).orderBy("id", order).limit(query.limit).execute();
    const identities = rows.map(toIdentity);
    return query.backward ? identities.reverse() : identities;
  }

  async count(filter: IdentityFilter): Promise<number> {
    return await countOf(this.#filtered(filter));
  }

  /** The user's live row, made as PROVISIONING with this id if there is none. */
  async claim({ issuer, subject }: ApplicationUser, id: string, at: number): Promise<Identity> {
    const row = { id, issuer, subject, communication_user_id: null, status: "PROVISIONING" as const, created_at: at };
    await this.database
      .insertInto("identities")
      .values({ ...row, ...NEW_ROW })
      .onConflict((conflict) => conflict.columns(["issuer", "subject"]).doNothing())
      .execute();
    const claimed = await this.findByUser({ issuer, subject });
    if (claimed !== undefined) return claimed;
    // The row that was in the way, or this one, has been erased in between; that is over now.
    throw new GatewayError("STORE_UNAVAILABLE", "The identity was being deleted; try again.", { retryAfterSeconds: 1 });
  }

  /**
   * Gives a row the identity that the service made for it: PROVISIONING becomes ACTIVE, a row suspended meanwhile stays so.
   * When tokens were revoked since `revocations` was read, the first token is among them and the service has to be told.
   * Undefined when the row has an identity already, or is being deleted.
   */
  async bind(id: string, binding: Binding, now: number): Promise<Identity | undefined> {
    const { communicationUserId, resource, revocations, tokenIssuedAt } = binding;
    return await this.#withWork(now, async (identities) => {
      const update = identities
        .#update(id, ["PROVISIONING", "SUSPENDED"])
        .set({
          communication_user_id: communicationUserId,
          resource,
          last_token_issued_at: tokenIssuedAt ?? 0,
          revocation_pending: sql<0 | 1>`case when revocations = ${revocations} then 0 else 1 end`,
          status: sql<IdentityStatus>`case when status = 'PROVISIONING' then 'ACTIVE' else status end`,
        })
        .where("communication_user_id", "is", null);
      return asIdentity(await update.executeTakeFirst());
    });
  }

  /** Undefined when tokens were revoked since `revocations` was read: what was issued meanwhile must not be handed out. */
  async recordIssue(id: string, revocations: number, at: number): Promise<Identity | undefined> {
    const { database, unsynced } = this.beforeRecord;
    const update = this.#update(id, ["ACTIVE"], database)
      .set({ last_token_issued_at: at })
      .where("revocations", "=", revocations);
    return asIdentity(await (unsynced === undefined ? update : update.where(unsynced)).executeTakeFirst());
  }

  /**
   * Declares every token issued so far revoked, moves to another status if given one, and asks for what the service has to
   * do about it: to delete the identity if it moves to DELETING, to revoke otherwise.
   */
  async revoke(
    id: string,
    from: readonly IdentityStatus[],
    now: number,
    to?: IdentityStatus,
  ): Promise<Identity | undefined> {
    return await this.#withWork(now, async (identities) => {
      const update = identities.#update(id, from).set((row) => ({
        tokens_valid_after: notBefore(now),
        revocations: row("revocations", "+", 1),
        revocation_pending: sql<0 | 1>`case when communication_user_id is null then 0 else 1 end`,
        ...(to && { status: to }),
      }));
      return asIdentity(await update.executeTakeFirst());
    });
  }

  /**
   * The service has carried out every revocation for this identity of its own; a row that has another by now stays as it is. No token
   * was handed out meanwhile, so all that there are were issued before now, those too that were under way as they were revoked.
   */
  async confirmRevocation(id: string, communicationUserId: string, now: number): Promise<void> {
    await this.#update(id, ["ACTIVE", "SUSPENDED"])
      .set({
        revocation_pending: 0,
        tokens_valid_after: notBefore(now),
      })
      .where("communication_user_id", "=", communicationUserId)
      .execute();
  }

  /**
   * The service no longer knows the row's identity as ours: ACTIVE becomes PROVISIONING, with none, and what was lost is
   * written down as an attempt with this id. Undefined when the row has another identity by now.
   */
  async disown(lost: Identity, attemptId: string, now: number): Promise<Identity | undefined> {
    return await inTransaction(this.database, async (transaction) => {
      const update = new IdentityStore(transaction)
        .#update(lost.id, ["ACTIVE"])
        .set((row) => ({
          communication_user_id: null,
          resource: null,
          status: "PROVISIONING",
          revocations: row("revocations", "+", 1),
          revocation_pending: 0,
        }))
        .where("communication_user_id", "=", lost.communicationUserId);
      const disowned = asIdentity(await update.executeTakeFirst());
      if (disowned === undefined) return undefined;
      const { id: identity_id, communicationUserId: communication_user_id, resource } = lost;
      const times = { started_at: now, lease_until: now, ended_at: now };
      const failure = { error_code: null, retry_after_seconds: null };
      await transaction
        .insertInto("provisioning_attempts")
        .values({ id: attemptId, identity_id, state: "LOST", ...times, ...failure, communication_user_id, resource })
        .execute();
      return disowned;
    });
  }

  /** Keeps everybody else from changing the row until the transaction ends. */
  async touch(id: string): Promise<void> {
    await this.database
      .updateTable("identities")
      .set((row) => ({ revocations: row.ref("revocations") }))
      .where("id", "=", id)
      .execute();
  }

  /** SUSPENDED becomes ACTIVE, or PROVISIONING if the service never made its identity. */
  async reinstate(id: string): Promise<Identity | undefined> {
    const update = this.#update(id, ["SUSPENDED"]).set({
      status: sql<IdentityStatus>`case when communication_user_id is null then 'PROVISIONING' else 'ACTIVE' end`,
    });
    return asIdentity(await update.executeTakeFirst());
  }

  /** Declares the identity deleted: DELETING until the service has done it; DELETED at once if it never had one and the trail has few records. */
  async delete(
    id: string,
    from: readonly IdentityStatus[],
    now: number,
    hashUser: (user: ApplicationUser) => string,
  ): Promise<Identity | undefined> {
    return await inTransaction(this.database, async (transaction) => {
      const identities = new IdentityStore(transaction);
      const deleting = await identities.revoke(id, from, now, "DELETING");
      if (deleting === undefined || deleting.communicationUserId !== null) return deleting;
      if (await identities.#isErasedAtOnce(deleting)) return await identities.erase(id, hashUser);
      await new ErasureStore(transaction).request(id);
      return deleting;
    });
  }

  /** Few records of the trail are erased with the row; of many the most must be before, in steps. */
  async #isErasedAtOnce({ id, user }: Identity): Promise<boolean> {
    const trail = new AuditStore(this.database);
    const isNamed = user !== null && !(await trail.eraseActor(user, id));
    return !isNamed && (await trail.eraseAbout(id, () => false)) === undefined;
  }

  /**
   * DELETING becomes DELETED: a tombstone, with a keyed hash in place of the user. The trail, from which they are erased by
   * now, is searched for them again: whoever began before the deletion may name them yet.
   */
  async erase(id: string, hashUser: (user: ApplicationUser) => string): Promise<Identity | undefined> {
    return await inTransaction(this.database, async (transaction) => {
      const identities = new IdentityStore(transaction);
      const user = (await identities.findById(id))?.user ?? null;
      const update = identities.#update(id, ["DELETING"]).set({
        status: "DELETED",
        issuer: null,
        subject: null,
        communication_user_id: null,
        resource: null,
        revocation_pending: 0,
        user_hash: user && hashUser(user),
      });
      const erased = asIdentity(await update.executeTakeFirst());
      if (erased === undefined) return undefined;
      if (user !== null) await new AuditStore(transaction).eraseActor(user, id);
      await new ErasureStore(transaction).request(id);
      return erased;
    });
  }

  /** The keyed hash that a tombstone has in place of its user. */
  async findUserHash(id: string): Promise<string | null> {
    const row = await this.database
      .selectFrom("identities")
      .select("user_hash")
      .where("id", "=", id)
      .executeTakeFirst();
    return row?.user_hash ?? null;
  }

  /** The newest tombstone of the user with this keyed hash. */
  async findTombstone(userHash: string): Promise<Identity | undefined> {
    const select = this.#select().where("user_hash", "=", userHash).orderBy("created_at", "desc").limit(1);
    return asIdentity(await select.executeTakeFirst());
  }

  /** Makes the change and, in the same transaction, asks for the work that the changed row says is pending. */
  async #withWork(
    now: number,
    change: (identities: IdentityStore) => Promise<Identity | undefined>,
  ): Promise<Identity | undefined> {
    return await inTransaction(this.database, async (transaction) => {
      const changed = await change(new IdentityStore(transaction));
      if (changed?.revocationPending && changed.communicationUserId !== null) {
        const action = changed.status === "DELETING" ? "DELETE" : "REVOKE";
        const { communicationUserId, id: identityId, resource } = changed;
        await new WorkStore(transaction).request({ communicationUserId, action, identityId, resource }, now);
      }
      return changed;
    });
  }

  #select() {
    return this.database.selectFrom("identities").selectAll();
  }

  #filtered({
    status,
    issuer,
    subjectPrefix,
    createdSince,
    createdUntil,
  }: IdentityFilter): SelectQueryBuilder<Tables, "identities", object> {
    let select = this.database.selectFrom("identities");
    // Postgres has no empty list.
    if (status?.length === 0) select = select.where(sql<boolean>`1 = 0`);
    else if (status !== undefined) select = select.where("status", "in", [...status]);
    if (issuer !== undefined) select = select.where("issuer", "=", issuer);
    if (subjectPrefix !== undefined && subjectPrefix !== "") {
      // A range, not LIKE, which ignores case in SQLite and has wildcards to escape.
      select = select.where("subject", ">=", subjectPrefix).where("subject", "<", `${subjectPrefix}\u{10FFFF}`);
    }
    if (createdSince !== undefined) select = select.where("created_at", ">=", createdSince);
    if (createdUntil !== undefined) select = select.where("created_at", "<", createdUntil);
    return select;
  }

  #update(id: string, from: readonly IdentityStatus[], database = this.database) {
    return database
      .updateTable("identities")
      .where("id", "=", id)
      .where("status", "in", [...from])
      .returningAll();
  }
}

/** Another instance's clock may be ahead. */
function notBefore(now: number): RawBuilder<number> {
  return sql<number>`case when tokens_valid_after < ${now} then ${now} else tokens_valid_after end`;
}

function asIdentity(row: IdentityRow | undefined): Identity | undefined {
  return row && toIdentity(row);
}

export function toIdentity(row: IdentityRow): Identity {
  return {
    id: row.id,
    user: row.issuer === null || row.subject === null ? null : { issuer: row.issuer, subject: row.subject },
    communicationUserId: row.communication_user_id,
    resource: row.resource,
    status: row.status,
    createdAt: row.created_at,
    lastTokenIssuedAt: row.last_token_issued_at || null,
    tokensValidAfter: row.tokens_valid_after || null,
    revocationPending: row.revocation_pending === 1,
    revocations: row.revocations,
  };
}
