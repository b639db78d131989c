import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { PGliteDialect } from "kysely";
import { Secret } from "../../src/config/secret.js";
import { openStore, openStoreOn } from "../../src/store/store.js";
import { auditFeedConformance } from "../conformance/audit-feed.js";
import { auditReaderConformance } from "../conformance/audit-reader.js";
import { identityStoreConformance, type OpenedStore } from "../conformance/identity-store.js";
import { serviceWorkConformance } from "../conformance/service-work.js";
import { onPostgres } from "../fixtures/on-postgres.js";
import { TestDatabase } from "../fixtures/postgres.js";

async function openOnDisk(): Promise<OpenedStore> {
  const folder = mkdtempSync(join(tmpdir(), "gateway-store-"));
  const store = await openStore({ kind: "sqlite", file: join(folder, "nested", "gateway.db") });
  return {
    store,
    close: async () => {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

async function openInProcess(): Promise<OpenedStore> {
  const store = await openStoreOn(new PGliteDialect({ pglite: new PGlite() }), "in memory");
  return { store, close: () => store.close() };
}

const IN_PROCESS = "Postgres in process (PGlite)";
identityStoreConformance("SQLite", openOnDisk);
serviceWorkConformance("SQLite", openOnDisk);
auditReaderConformance("SQLite", openOnDisk);
auditFeedConformance("SQLite", openOnDisk);
identityStoreConformance(IN_PROCESS, openInProcess);
serviceWorkConformance(IN_PROCESS, openInProcess);
auditReaderConformance(IN_PROCESS, openInProcess);
auditFeedConformance(IN_PROCESS, openInProcess);

onPostgres("store", (server) => {
  identityStoreConformance("a Postgres server", () => openOnServer(server));
  serviceWorkConformance("a Postgres server", () => openOnServer(server));
  auditReaderConformance("a Postgres server", () => openOnServer(server));
  auditFeedConformance("a Postgres server", () => openOnServer(server));
});

async function openOnServer(server: string): Promise<OpenedStore> {
  const database = await TestDatabase.create(server);
  const config = { kind: "postgres", url: new Secret(database.url), maxConnections: 5, queueSize: 500 } as const;
  const [store, other] = [await openStore(config), await openStore(config)];
  return {
    store,
    other,
    close: async () => {
      await store.close();
      await other.close();
      await database.drop();
    },
  };
}
