import { type Kysely, sql } from "kysely";
import type { Identity } from "../identities/identity.js";
import type { AttemptState, ProvisioningAttempt } from "../identities/provisioning-attempt.js";
import { countOf } from "./count.js";
import { type Binding, IdentityStore } from "./identity-store.js";
import { isOver } from "./over.js";
import type { AttemptRow, Tables } from "./tables.js";
import { inTransaction } from "./transaction.js";
import { WorkStore } from "./work-store.js";

interface NewAttempt {
  readonly id: string;
  readonly identityId: string;
  readonly now: number;
  readonly leaseUntil: number;
}

/** What the service's failure was, for those who waited for it. */
export interface AttemptFailure {
  readonly errorCode: string;
  readonly retryAfterSeconds: number | null;
}

/** The attempts to have the service make an identity. Each method is atomic. */
export class AttemptStore {
  constructor(private readonly database: Kysely<Tables>) {}

  /** Writes an attempt down, unless one is running for the row: then the answer is false. */
  async begin({ id, identityId, now, leaseUntil }: NewAttempt): Promise<boolean> {
    await this.#expire(identityId, now);
    const { numInsertedOrUpdatedRows } = await this.database
      .insertInto("provisioning_attempts")
      .values({
        id,
        identity_id: identityId,
        state: "RUNNING",
        started_at: now,
        lease_until: leaseUntil,
        ended_at: 0,
        error_code: null,
        retry_after_seconds: null,
        communication_user_id: null,
        resource: null,
      })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    return (numInsertedOrUpdatedRows ?? 0n) > 0n;
  }

  /**
   * The service has made an identity. May be said again when the answer was lost. It is bound to the row, unless the lease was lost or the row has no use for it: then it
   * is surplus, its deletion is asked for, and the answer is undefined.
   */
  async succeed(
    attempt: { id: string; identityId: string },
    binding: Binding,
    now: number,
  ): Promise<Identity | undefined> {
    return await inTransaction(this.database, async (transaction) => {
      const attempts = new AttemptStore(transaction);
      const identities = new IdentityStore(transaction);
      const held = await attempts.#end(attempt.id, ["RUNNING"], "BOUND", now);
      const bound = held ? await identities.bind(attempt.identityId, binding, now) : undefined;
      if (bound !== undefined) return bound;
      // Said twice: the first time was carried out, and its answer was lost.
      const row = await identities.findById(attempt.identityId);
      if (row?.communicationUserId === binding.communicationUserId) return row;
      await attempts.#end(attempt.id, ["RUNNING", "BOUND", "IN_DOUBT"], "SURPLUS", now);
      const { communicationUserId, resource } = binding;
      const work = { communicationUserId, action: "DELETE", identityId: null, resource } as const;
      await new WorkStore(transaction).request(work, now);
      return undefined;
    });
  }

  /** The attempt has failed: RELEASED if the service surely made nothing, else IN_DOUBT. Without a failure it was not asked. */
  async fail(
    id: string,
    state: "RELEASED" | "IN_DOUBT",
    failure: AttemptFailure | undefined,
    now: number,
  ): Promise<void> {
    await this.#end(id, ["RUNNING"], state, now, failure);
  }

  async find(id: string): Promise<ProvisioningAttempt | undefined> {
    const row = await this.#select().where("id", "=", id).executeTakeFirst();
    return row && toAttempt(row);
  }

  /** The one that holds the lease of a row now. */
  async findRunning(identityId: string, now: number): Promise<ProvisioningAttempt | undefined> {
    const select = this.#select().where("identity_id", "=", identityId).where("state", "=", "RUNNING");
    const row = await select.where(sql<boolean>`not ${isOver("lease_until", now)}`).executeTakeFirst();
    return row && toAttempt(row);
  }

  /** Those that nobody knows the outcome of, newest first. One whose lease ran out counts, though nobody has said so yet. */
  async inDoubt(limit: number, now: number): Promise<ProvisioningAttempt[]> {
    await this.#expire(undefined, now);
    const select = this.#select().where("state", "=", "IN_DOUBT").orderBy("started_at", "desc").orderBy("id", "desc");
    return (await select.limit(limit).execute()).map(toAttempt);
  }

  async countInDoubt(now: number): Promise<number> {
    await this.#expire(undefined, now);
    return await countOf(this.database.selectFrom("provisioning_attempts").where("state", "=", "IN_DOUBT"));
  }

  /** Whoever held the lease has not come back in time: the outcome is in doubt. */
  async #expire(identityId: string | undefined, now: number): Promise<void> {
    let update = this.database
      .updateTable("provisioning_attempts")
      .set({ state: "IN_DOUBT", ended_at: now, error_code: null })
      .where("state", "=", "RUNNING")
      .where(isOver("lease_until", now));
    if (identityId !== undefined) update = update.where("identity_id", "=", identityId);
    await update.execute();
  }

  async #end(
    id: string,
    from: readonly AttemptState[],
    state: AttemptState,
    now: number,
    failure?: AttemptFailure,
  ): Promise<boolean> {
    const { numUpdatedRows } = await this.database
      .updateTable("provisioning_attempts")
      .set({
        state,
        ended_at: now,
        error_code: failure?.errorCode ?? null,
        retry_after_seconds: failure?.retryAfterSeconds ?? null,
      })
      .where("id", "=", id)
      .where("state", "in", [...from])
      .executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  #select() {
    return this.database.selectFrom("provisioning_attempts").selectAll();
  }
}

function toAttempt(row: AttemptRow): ProvisioningAttempt {
  return {
    id: row.id,
    identityId: row.identity_id,
    state: row.state,
    startedAt: row.started_at,
    leaseUntil: row.lease_until,
    endedAt: row.ended_at || null,
    errorCode: row.error_code,
    retryAfterSeconds: row.retry_after_seconds,
  };
}
