import type { Kysely } from "kysely";
import { type Migration, Migrator } from "kysely/migration";

/** In order of their names; one that has been released is never edited, only followed by another. */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  "0001-identities": { up: createIdentities },
};

/** Brings the database to the current schema. Safe to call at every start; takes the dialect's migration lock. */
export async function migrate<Tables>(database: Kysely<Tables>): Promise<void> {
  const migrator = new Migrator({ db: database, provider: { getMigrations: async () => MIGRATIONS } });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
}

async function createIdentities(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .createTable("identities")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("issuer", "text")
    .addColumn("subject", "text")
    .addColumn("communication_user_id", "text", (column) => column.unique())
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("last_token_issued_at", "bigint", (column) => column.notNull().defaultTo(0))
    .addColumn("tokens_valid_after", "bigint", (column) => column.notNull().defaultTo(0))
    .addColumn("revocation_pending", "integer", (column) => column.notNull().defaultTo(0))
    .addColumn("revocations", "integer", (column) => column.notNull().defaultTo(0))
    // One live row a user: a tombstone has neither issuer nor subject, and nulls are distinct.
    .addUniqueConstraint("identities_user", ["issuer", "subject"])
    .execute();
  const indexes: Readonly<Record<string, readonly string[]>> = {
    identities_created: ["created_at", "id"],
    identities_last_issued: ["last_token_issued_at", "id"],
    identities_status: ["status", "created_at", "id"],
  };
  for (const [name, columns] of Object.entries(indexes)) {
    await database.schema
      .createIndex(name)
      .on("identities")
      .columns([...columns])
      .execute();
  }
}
