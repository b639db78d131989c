import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../../src/config/secret.js";
import { openStore } from "../../src/store/store.js";
import { retentionConformance } from "../conformance/retention.js";
import { type OpenedTrail, trailConformance } from "../conformance/trail.js";
import { onPostgres } from "../fixtures/on-postgres.js";
import { TestDatabase } from "../fixtures/postgres.js";
import { askFile } from "../fixtures/trail.js";

async function openOnDisk(): Promise<OpenedTrail> {
  const folder = mkdtempSync(join(tmpdir(), "gateway-trail-"));
  const file = join(folder, "gateway.db");
  const [store, other] = [await openStore({ kind: "sqlite", file }), await openStore({ kind: "sqlite", file })];
  return {
    store,
    other,
    ask: async (sql) => askFile(file, sql),
    close: async () => {
      await store.close();
      await other.close();
      rmSync(folder, { recursive: true });
    },
  };
}

async function openOnServer(server: string): Promise<OpenedTrail> {
  const database = await TestDatabase.create(server);
  const config = { kind: "postgres", url: new Secret(database.url), maxConnections: 5, queueSize: 500 } as const;
  const [store, other] = [await openStore(config), await openStore(config)];
  return {
    store,
    other,
    ask: <Row>(sql: string) => database.ask<Row>(sql),
    close: async () => {
      await store.close();
      await other.close();
      await database.drop();
    },
  };
}

trailConformance("SQLite", openOnDisk);
retentionConformance("SQLite", openOnDisk);

onPostgres("a trail", (server) => {
  trailConformance("a Postgres server", () => openOnServer(server), true);
  retentionConformance("a Postgres server", () => openOnServer(server));
});
