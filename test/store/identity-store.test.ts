import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore, type Store } from "../../src/store/store.js";
import { identityStoreConformance } from "../conformance/identity-store.js";

identityStoreConformance("SQLite", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gateway-store-"));
  const store: Store = await openStore({ kind: "sqlite", file: join(folder, "nested", "gateway.db") });
  return {
    store,
    close: async () => {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
});
