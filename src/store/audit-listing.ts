import { setImmediate } from "node:timers/promises";
import { type Expression, type Kysely, sql } from "kysely";
import { countOf } from "./count.js";
import { isPostgres } from "./dialect.js";
import type { Tables } from "./tables.js";

/** For whoever waits for it: short, since SQLite does it on the main thread. */
const CHUNK_MS = 5;
const FEWEST = 16;
const MOST = 1024;
/** Before any was seen to take its time. */
const PER_MS = 10;
/** To be put into an order: read in some 5 ms. */
const IN_ORDER = 5000;

/**
 * Records are durable at once and listed later. The indexes of users, identities and tokens have those that are listed: of
 * each of them a record changes a page that it has in common with hardly any other, and to write those pages is nearly all that a
 * record costs on SQLite. So it is added without (`listed = 0`), and put there when there is time, or somebody looks for it.
 */
export class AuditListing {
  #perMs = PER_MS;
  /** The oldest that were not listed when it was empty, in the order in which they are to be. */
  #due: string[] = [];

  constructor(
    private readonly database: Kysely<Tables>,
    /** Whether records are added unlisted. */
    readonly isLater: boolean,
  ) {}

  /** How many records are not listed. */
  async count(): Promise<number> {
    return await countOf(this.#unlisted());
  }

  /**
   * Lists some of the oldest, for about so long, in which a process on SQLite does nothing else. Those of one identity follow each
   * other, as they have pages of each index in common. Answers how many.
   */
  async list(milliseconds: number): Promise<number> {
    if (this.#due.length === 0) this.#due = await this.#oldestByIdentity();
    return await this.#list(this.#due.splice(0, this.#sizeIn(milliseconds)));
  }

  /**
   * Resolves once those that this is true of are listed, of all that were there at the call. They are looked for one by one, and
   * are few next to the rest, which stays as it is: a reader who had to wait for all would wait for seconds.
   */
  async listThose(condition: Expression<boolean>): Promise<void> {
    const ids = (await this.#unlisted().select("id").where(condition).execute()).map(({ id }) => id);
    while (ids.length > 0) {
      await this.#list(ids.splice(0, this.#sizeIn(CHUNK_MS)));
      // Others go on between two steps.
      if (ids.length > 0) await setImmediate();
    }
  }

  /**
   * Moves what the log of a SQLite database holds to its place in the file, as far as nobody reads it. SQLite does that by itself
   * after so many pages, in the middle of whatever write comes then, which waits for the disk some ten times as long.
   */
  async emptyLog(): Promise<void> {
    if (this.isLater) await sql`pragma wal_checkpoint(passive)`.execute(this.database);
  }

  #unlisted() {
    return this.database.selectFrom("audit_events").where("listed", "=", sql.lit(0));
  }

  /** Identities in the order in which they come up: where each has but one record, the order is that of the records. */
  async #oldestByIdentity(): Promise<string[]> {
    // In the order of the index of those that are not listed, which in SQLite is that of their coming.
    const oldest = await this.#unlisted().select(["id", "identity_id"]).limit(IN_ORDER).execute();
    return [...Map.groupBy(oldest, (record) => record.identity_id).values()].flat().map(({ id }) => id);
  }

  async #list(ids: readonly string[]): Promise<number> {
    if (ids.length === 0) return 0;
    const began = performance.now();
    // As one parameter: there is one statement, however many they are.
    const elements = sql.raw(isPostgres(this.database) ? "json_array_elements_text" : "json_each");
    const { numUpdatedRows } = await this.database
      .updateTable("audit_events")
      .set({ listed: 1 })
      .where("id", "in", sql<string>`(select value from ${elements}(${JSON.stringify(ids)}))`)
      .executeTakeFirst();
    const listed = Number(numUpdatedRows);
    // A few say nothing of how long many take, and those of one identity little of the next ones.
    if (listed >= FEWEST) this.#perMs = Math.min(2 * this.#perMs, listed / (performance.now() - began));
    return listed;
  }

  #sizeIn(milliseconds: number): number {
    return Math.min(MOST, Math.max(FEWEST, Math.floor(milliseconds * this.#perMs)));
  }
}
