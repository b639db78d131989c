import { type Kysely, type SelectQueryBuilder, sql } from "kysely";
import type {
  ApplicationUser,
  Identity,
  IdentityFilter,
  IdentityOrder,
  IdentityPosition,
  IdentityStatus,
} from "../identities/identity.js";
import type { IdentityRow, Tables } from "./tables.js";

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

interface Binding {
  readonly communicationUserId: string;
  /** The row's count when the service was asked. */
  readonly revocations: number;
  /** ms since 1970; null when the identity was made without a token. */
  readonly tokenIssuedAt: number | null;
}

const ORDER_COLUMNS = { CREATED_AT: "created_at", LAST_TOKEN_ISSUED_AT: "last_token_issued_at" } as const;

/**
 * The identity rows. Each method is one statement and so atomic; a change names the state that it starts from and answers
 * undefined when the row is no longer in it, so of two that race exactly one wins.
 */
export class IdentityStore {
  constructor(private readonly database: Kysely<Tables>) {}

  /** In no particular order; unknown ids are left out. */
  async findByIds(ids: readonly string[]): Promise<Identity[]> {
    return (
      await this.#select()
        .where("id", "in", [...ids])
        .execute()
    ).map(toIdentity);
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

  async findByUser(user: ApplicationUser): Promise<Identity | undefined> {
    return (await this.findByUsers([user]))[0];
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
    const { count } = await this.#filtered(filter)
      .select(({ fn }) => fn.countAll<number | string | bigint>().as("count"))
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  /** The user's live row, made as PROVISIONING with this id if there is none. */
  async claim({ issuer, subject }: ApplicationUser, id: string, at: number): Promise<Identity> {
    const row = { id, issuer, subject, communication_user_id: null, status: "PROVISIONING" as const, created_at: at };
    await this.database
      .insertInto("identities")
      .values({ ...row, last_token_issued_at: 0, tokens_valid_after: 0, revocation_pending: 0, revocations: 0 })
      .onConflict((conflict) => conflict.columns(["issuer", "subject"]).doNothing())
      .execute();
    const claimed = await this.findByUser({ issuer, subject });
    if (claimed === undefined) throw new Error("a row just claimed is gone");
    return claimed;
  }

  /**
   * Gives a row the identity that the service made for it: PROVISIONING becomes ACTIVE, a row suspended meanwhile stays so.
   * When tokens were revoked since `revocations` was read, the first token is among them and that stays to be confirmed.
   * Undefined when the row has an identity already, or is being deleted.
   */
  async bind(id: string, { communicationUserId, revocations, tokenIssuedAt }: Binding): Promise<Identity | undefined> {
    const update = this.#update(id, ["PROVISIONING", "SUSPENDED"])
      .set({
        communication_user_id: communicationUserId,
        last_token_issued_at: tokenIssuedAt ?? 0,
        revocation_pending: sql<0 | 1>`case when revocations = ${revocations} then 0 else 1 end`,
        status: sql<IdentityStatus>`case when status = 'PROVISIONING' then 'ACTIVE' else status end`,
      })
      .where("communication_user_id", "is", null);
    return asIdentity(await update.executeTakeFirst());
  }

  /** Undefined when tokens were revoked since `revocations` was read: what was issued meanwhile must not be handed out. */
  async recordIssue(id: string, revocations: number, at: number): Promise<Identity | undefined> {
    const update = this.#update(id, ["ACTIVE"])
      .set({ last_token_issued_at: at })
      .where("revocations", "=", revocations);
    return asIdentity(await update.executeTakeFirst());
  }

  /** Declares every token issued so far revoked, to be confirmed by the service, and moves to another status if given one. */
  async revoke(
    id: string,
    from: readonly IdentityStatus[],
    at: number,
    to?: IdentityStatus,
  ): Promise<Identity | undefined> {
    const update = this.#update(id, from).set((row) => ({
      tokens_valid_after: at,
      revocations: row("revocations", "+", 1),
      revocation_pending: sql<0 | 1>`case when communication_user_id is null then 0 else 1 end`,
      ...(to && { status: to }),
    }));
    return asIdentity(await update.executeTakeFirst());
  }

  /** The service has confirmed the revocation that made the count `revocations`; a later one stays pending. */
  async confirmRevocation(id: string, revocations: number): Promise<Identity | undefined> {
    const update = this.#update(id, ["ACTIVE", "SUSPENDED"])
      .set({ revocation_pending: 0 })
      .where("revocations", "=", revocations);
    return asIdentity(await update.executeTakeFirst());
  }

  /** SUSPENDED becomes ACTIVE, or PROVISIONING if the service never made its identity. */
  async reinstate(id: string): Promise<Identity | undefined> {
    const update = this.#update(id, ["SUSPENDED"]).set({
      status: sql<IdentityStatus>`case when communication_user_id is null then 'PROVISIONING' else 'ACTIVE' end`,
    });
    return asIdentity(await update.executeTakeFirst());
  }

  /** DELETING becomes DELETED: a tombstone without user and service id. */
  async erase(id: string): Promise<Identity | undefined> {
    const update = this.#update(id, ["DELETING"]).set({
      status: "DELETED",
      issuer: null,
      subject: null,
      communication_user_id: null,
      revocation_pending: 0,
    });
    return asIdentity(await update.executeTakeFirst());
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
    if (status !== undefined) select = select.where("status", "in", [...status]);
    if (issuer !== undefined) select = select.where("issuer", "=", issuer);
    if (subjectPrefix !== undefined && subjectPrefix !== "") {
      // A range, not LIKE, which ignores case in SQLite and has wildcards to escape.
      select = select.where("subject", ">=", subjectPrefix).where("subject", "<", `${subjectPrefix}\u{10FFFF}`);
    }
    if (createdSince !== undefined) select = select.where("created_at", ">=", createdSince);
    if (createdUntil !== undefined) select = select.where("created_at", "<", createdUntil);
    return select;
  }

  #update(id: string, from: readonly IdentityStatus[]) {
    return this.database
      .updateTable("identities")
      .where("id", "=", id)
      .where("status", "in", [...from])
      .returningAll();
  }
}

function asIdentity(row: IdentityRow | undefined): Identity | undefined {
  return row && toIdentity(row);
}

function toIdentity(row: IdentityRow): Identity {
  return {
    id: row.id,
    user: row.issuer === null || row.subject === null ? null : { issuer: row.issuer, subject: row.subject },
    communicationUserId: row.communication_user_id,
    status: row.status,
    createdAt: row.created_at,
    lastTokenIssuedAt: row.last_token_issued_at || null,
    tokensValidAfter: row.tokens_valid_after || null,
    revocationPending: row.revocation_pending === 1,
    revocations: row.revocations,
  };
}
