import type { Kysely } from "kysely";
import { isOver } from "./over.js";
import type { Tables } from "./tables.js";

/** ms. What was begun before a deletion may take so long to be recorded, and then minutes more. */
const FAR_AHEAD_MS = 900_000;

interface DueErasure {
  readonly identityId: string;
  readonly isLast: boolean;
}

/** The erasures that the trail has yet to see, asked for in the transaction that makes them necessary. Each method is atomic. */
export class ErasureStore {
  constructor(private readonly database: Kysely<Tables>) {}

  /** Asks for it, due at once. */
  async request(identityId: string): Promise<void> {
    await this.database
      .insertInto("audit_erasures")
      .values({ identity_id: identityId, next_try_at: 0, is_last: 0 })
      .onConflict((conflict) => conflict.column("identity_id").doNothing())
      .execute();
  }

  /** The one that has been due longest; it is due again at `nextTryAt`, unless it is done by then. */
  async takeDue(now: number, nextTryAt: number): Promise<DueErasure | undefined> {
    const due = this.database
      .selectFrom("audit_erasures")
      .select("identity_id")
      .where(isOver("next_try_at", now, FAR_AHEAD_MS))
      .orderBy("next_try_at")
      .limit(1);
    const row = await this.database
      .updateTable("audit_erasures")
      .set({ next_try_at: nextTryAt })
      .where("identity_id", "=", due)
      .where(isOver("next_try_at", now, FAR_AHEAD_MS))
      .returningAll()
      .executeTakeFirst();
    return row && { identityId: row.identity_id, isLast: row.is_last === 1 };
  }

  /** Keeps others from it for longer. */
  async hold(identityId: string, until: number): Promise<void> {
    await this.database
      .updateTable("audit_erasures")
      .set({ next_try_at: until })
      .where("identity_id", "=", identityId)
      .execute();
  }

  /** Done, but for a last time. */
  async repeat(identityId: string, at: number): Promise<void> {
    await this.database
      .updateTable("audit_erasures")
      .set({ next_try_at: at, is_last: 1 })
      .where("identity_id", "=", identityId)
      .execute();
  }

  async end(identityId: string): Promise<void> {
    await this.database.deleteFrom("audit_erasures").where("identity_id", "=", identityId).execute();
  }
}
