import { type Kysely, type RawBuilder, sql } from "kysely";
import type { ApplicationUser } from "../identities/identity.js";
import type { ServiceAction, ServiceWork } from "../identities/service-work.js";
import { countOf } from "./count.js";
import { IdentityStore } from "./identity-store.js";
import { isOver } from "./over.js";
import type { Tables, WorkRow } from "./tables.js";
import { inTransaction } from "./transaction.js";

interface Request {
  readonly communicationUserId: string;
  readonly action: ServiceAction;
  readonly identityId: string | null;
  /** The host of the resource that owns it. */
  readonly resource: string | null;
}

interface Lease {
  readonly now: number;
  readonly until: number;
  readonly holder: string;
}

/**
 * The work that the service has yet to do. It is asked for in the transaction that makes it necessary, done by whoever
 * holds its lease, and gone when it is done. Each method is atomic.
 */
export class WorkStore {
  constructor(private readonly database: Kysely<Tables>) {}

  /** Asks for the work, due at once unless it has failed before. A deletion is never turned back into a revocation. */
  async request({ communicationUserId, action, identityId, resource }: Request, now: number): Promise<void> {
    await this.database
      .insertInto("service_work")
      .values({
        communication_user_id: communicationUserId,
        action,
        identity_id: identityId,
        resource,
        generation: 1,
        created_at: now,
        next_try_at: now,
        tries: 0,
        lease_until: 0,
        lease_holder: null,
        last_error: null,
      })
      .onConflict((conflict) =>
        conflict.column("communication_user_id").doUpdateSet((row) => ({
          action: sql<ServiceAction>`case when service_work.action = 'DELETE' then 'DELETE' else ${row.ref("excluded.action")} end`,
          generation: row("service_work.generation", "+", 1),
          // What has failed waits its time, unless it has become something else.
          next_try_at: sql<number>`case when service_work.tries > 0 and service_work.action = ${row.ref("excluded.action")} then service_work.next_try_at else ${now} end`,
          tries: sql<number>`case when service_work.action = ${row.ref("excluded.action")} then service_work.tries else 0 end`,
          last_error: sql<
            string | null
          >`case when service_work.action = ${row.ref("excluded.action")} then service_work.last_error end`,
        })),
      )
      .execute();
  }

  /** When the oldest was asked for, ms since 1970; undefined when there is none. */
  async oldest(): Promise<number | undefined> {
    const { at } = await this.database
      .selectFrom("service_work")
      .select(({ fn }) => fn.min("created_at").as("at"))
      .executeTakeFirstOrThrow();
    return at === null ? undefined : Number(at);
  }

  /** The work for this identity of the service, if it is due and nobody else holds it. */
  async lease(communicationUserId: string, lease: Lease): Promise<ServiceWork | undefined> {
    const row = await this.#leasing(lease)
      .where("communication_user_id", "=", communicationUserId)
      .where(isOver("next_try_at", lease.now))
      .returningAll()
      .executeTakeFirst();
    return row && toWork(row);
  }

  /** The work that has been due longest. Undefined when none is due, or when another was quicker. */
  async leaseDue(lease: Lease): Promise<ServiceWork | undefined> {
    const due = this.database
      .selectFrom("service_work")
      .select("communication_user_id")
      .where(isOver("next_try_at", lease.now))
      .where(isOver("lease_until", lease.now))
      .orderBy("next_try_at")
      .limit(1);
    const row = await this.#leasing(lease).where("communication_user_id", "=", due).returningAll().executeTakeFirst();
    return row && toWork(row);
  }

  /**
   * The holder has done the work, a deletion's in the trail too: it goes, and the row that it was for says so, the user of a deleted one replaced by their
   * keyed hash. False when it was asked for again meanwhile, or when the lease went to somebody else: then it stays to be
   * done, by whoever comes next.
   */
  async complete(
    done: ServiceWork,
    { holder, now }: Pick<Lease, "holder" | "now">,
    hashUser: (user: ApplicationUser) => string,
  ): Promise<boolean> {
    return await inTransaction(this.database, async (transaction) => {
      const identities = new IdentityStore(transaction);
      // First the identity's row, then the work, as whoever asks for work does: else the two wait for each other.
      if (done.identityId !== null) await identities.touch(done.identityId);
      const { numDeletedRows } = await transaction
        .deleteFrom("service_work")
        .where("communication_user_id", "=", done.communicationUserId)
        .where("generation", "=", done.generation)
        .where("lease_holder", "=", holder)
        .executeTakeFirst();
      if (numDeletedRows === 0n) return false;
      if (done.identityId === null) return true;
      if (done.action === "DELETE") await identities.erase(done.identityId, hashUser);
      else await identities.confirmRevocation(done.identityId, done.communicationUserId, now);
      return true;
    });
  }

  /**
   * Gives the lease back, to be tried again: after a failure with what went wrong, or as it was (null). What has become something else
   * meanwhile was not tried, and is as it was asked for.
   */
  async giveBack(
    { communicationUserId, action }: Pick<ServiceWork, "communicationUserId" | "action">,
    holder: string,
    nextTryAt: number,
    error: string | null,
  ): Promise<void> {
    const ifTried = <Value extends number | string | null>(value: Value | RawBuilder<Value>, column: string) =>
      sql<Value>`case when action = ${action} then ${value} else ${sql.ref(column)} end`;
    await this.database
      .updateTable("service_work")
      .set({
        lease_until: 0,
        lease_holder: null,
        next_try_at: ifTried(nextTryAt, "next_try_at"),
        ...(error !== null && {
          tries: ifTried(sql<number>`tries + 1`, "tries"),
          last_error: ifTried<string | null>(error, "last_error"),
        }),
      })
      .where("communication_user_id", "=", communicationUserId)
      .where("lease_holder", "=", holder)
      .execute();
  }

  /** Holds the lease for longer. False when it went to somebody else. */
  async renew(communicationUserId: string, { holder, until }: Omit<Lease, "now">): Promise<boolean> {
    const { numUpdatedRows } = await this.database
      .updateTable("service_work")
      .set({ lease_until: until })
      .where("communication_user_id", "=", communicationUserId)
      .where("lease_holder", "=", holder)
      .executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  async find(communicationUserId: string): Promise<ServiceWork | undefined> {
    const row = await this.database
      .selectFrom("service_work")
      .selectAll()
      .where("communication_user_id", "=", communicationUserId)
      .executeTakeFirst();
    return row && toWork(row);
  }

  /** Oldest first. */
  async pending(limit: number): Promise<ServiceWork[]> {
    const rows = await this.database
      .selectFrom("service_work")
      .selectAll()
      .orderBy("created_at")
      .orderBy("communication_user_id")
      .limit(limit)
      .execute();
    return rows.map(toWork);
  }

  async count(): Promise<number> {
    return await countOf(this.database.selectFrom("service_work"));
  }

  #leasing({ now, until, holder }: Lease) {
    return this.database
      .updateTable("service_work")
      .set({ lease_until: until, lease_holder: holder })
      .where(isOver("lease_until", now));
  }
}

export function toWork(row: WorkRow): ServiceWork {
  return {
    communicationUserId: row.communication_user_id,
    action: row.action,
    identityId: row.identity_id,
    resource: row.resource,
    generation: row.generation,
    createdAt: row.created_at,
    nextTryAt: row.next_try_at,
    tries: row.tries,
    lastError: row.last_error,
  };
}
