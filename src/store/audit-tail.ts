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

  async lastBefore(writer: string, at: number): Promise<number> {
    const row = await this.#chain(writer, 0)
      .select("sequence")
      .where("at", "<", at)
      .orderBy("id", "desc")
      .limit(1)
      .executeTakeFirst();
    return row?.sequence ?? 0;
  }

  async after(writer: string, sequence: number, limit: number): Promise<StoredRecord[]> {
    const rows = await this.#chain(writer, sequence).selectAll().orderBy("id").limit(limit).execute();
    return rows.map((row) => ({ id: row.id, ...toRecord(row) }));
  }

  #chain(writer: string, sequence: number) {
    return this.database
      .selectFrom("audit_events")
      .where("id", ">", recordId({ writer, sequence }))
      .where("id", "<", idAfter(writer));
  }
}
