import type { Kysely } from "kysely";
import type { Tables } from "./tables.js";

/** What tells the keys that the database was used with last. */
export class KeyCheckStore {
  constructor(private readonly database: Kysely<Tables>) {}

  /** By the keys' names. */
  async all(): Promise<ReadonlyMap<string, string>> {
    const rows = await this.database.selectFrom("key_checks").selectAll().execute();
    return new Map(rows.map(({ name, value }) => [name, value]));
  }

  /** Those of which there is none. */
  async add(checks: readonly { readonly name: string; readonly value: string }[]): Promise<void> {
    await this.database
      .insertInto("key_checks")
      .values([...checks])
      .onConflict((conflict) => conflict.column("name").doNothing())
      .execute();
  }

  async set(name: string, value: string): Promise<void> {
    await this.database
      .insertInto("key_checks")
      .values({ name, value })
      .onConflict((conflict) => conflict.column("name").doUpdateSet({ value }))
      .execute();
  }
}
