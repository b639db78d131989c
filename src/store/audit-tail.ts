import type { Kysely } from "kysely";
import type { GrowingTrail } from "../audit/feed.js";
import type { StoredRecord } from "../audit/query.js";
import { idAfter, recordId } from "../audit/record.js";
import { toRecord, WRITER_NOTED_MS } from "./audit-store.js";
import type { Tables } from "./tables.js";

/** The end of the trail, chain by chain, each read along the primary key. */
export class AuditTail implements GrowingTrail {
  constructor(private readonly database: Kysely<Tables>) {}

  async writersSince(at: number): Promise<string[]> {
    const rows = await this.database
      .selectFrom("audit_writers")
      .select("writer")
      .where("written_at", ">=", at - WRITER_NOTED_MS)
      .execute();
    return rows.map(({ writer }) => writer);
  }

  /** By halves: a chain's times are in its order but where a clock was set back, and it may have millions of records. */
  async lastBefore(writer: string, at: number): Promise<number> {
    const [first, last] = [await this.#place(writer, 0), await this.#place(writer, 0, "desc")];
    if (first === undefined || last === undefined) return 0;
    if (last.at < at) return last.sequence;
    let [before, behind] = [first.sequence - 1, last.sequence];
    const half = () => Math.floor((before + behind) / 2);
    for (let middle = half(); before < middle && middle < behind; middle = half()) {
      const row = await this.#place(writer, middle - 1);
      if (row !== undefined && row.at < at) before = middle;
      else behind = middle;
    }
    return before;
  }

  async after(writer: string, sequence: number, limit: number): Promise<StoredRecord[]> {
    const rows = await this.#chain(writer, sequence).selectAll().orderBy("id").limit(limit).execute();
    return rows.map((row) => ({ id: row.id, ...toRecord(row) }));
  }

  /** The first or the last one after this sequence. */
  async #place(writer: string, sequence: number, order: "asc" | "desc" = "asc") {
    const select = this.#chain(writer, sequence).select(["sequence", "at"]).orderBy("id", order).limit(1);
    return await select.executeTakeFirst();
  }

  #chain(writer: string, sequence: number) {
    return this.database
      .selectFrom("audit_events")
      .where("id", ">", recordId({ writer, sequence }))
      .where("id", "<", idAfter(writer));
  }
}
