import { setImmediate } from "node:timers/promises";
import { type Kysely, sql } from "kysely";
import type { Tables } from "./tables.js";

/** For readers who wait: short, since SQLite does it on the main thread. */
const CHUNK_MS = 5;
const FEWEST = 20;
const MOST = 2000;
/** Before any was seen to take its time. */
const PER_MS = 10;

/**
 * Records are durable at once and listed later. The indexes of users, identities and tokens have those that are listed: of
 * each of them a record changes a page that it has in common with hardly any other, and to write those pages is nearly all that a
 * record costs on SQLite. So it is added without (`listed = 0`), and put there when there is time, or somebody wants to read.
 */
export class AuditListing {
  #perMs = PER_MS;
  #underWay: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(
    private readonly database: Kysely<Tables>,
    /** Whether records are added unlisted. */
    readonly isLater: boolean,
  ) {}

  /** How many records are not listed. */
  async count(): Promise<number> {
    const { count } = await this.database
      .selectFrom("audit_events")
      .select(({ fn }) => fn.countAll<number | string | bigint>().as("count"))
      .where("listed", "=", sql.lit(0))
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  /** Lists the oldest, for about so long, in which a process on SQLite does nothing else. Answers how many, `most` at most. */
  async list(milliseconds: number, most = MOST): Promise<number> {
    const limit = Math.min(most, MOST, Math.max(FEWEST, Math.round(milliseconds * this.#perMs)));
    // In the order of the index of those that are not listed, which in SQLite is that of their coming.
    const oldest = this.database.selectFrom("audit_events").select("id").where("listed", "=", sql.lit(0)).limit(limit);
    const began = performance.now();
    const { numUpdatedRows } = await this.database
      .updateTable("audit_events")
      .set({ listed: 1 })
      .where("id", "in", oldest)
      .executeTakeFirst();
    const listed = Number(numUpdatedRows);
    if (listed === limit) this.#perMs = listed / (performance.now() - began);
    return listed;
  }

  /** Resolves once all is listed that was there at the call. Those who call meanwhile wait for the same. */
  async catchUp(): Promise<void> {
    if ((await this.count()) === 0) return;
    // What is under way may have counted before the last one came.
    this.#next ??= this.#underWay
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        this.#underWay = this.#listAll();
        return this.#underWay;
      });
    await this.#next;
  }

  async #listAll(): Promise<void> {
    for (let left = await this.count(); left > 0; ) {
      const listed = await this.list(CHUNK_MS, left);
      // Others may have listed the rest.
      if (listed === 0) return;
      left -= listed;
      await setImmediate();
    }
  }
}
