import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openStore } from "../../src/store/store.js";

const LOCKS = "/proc/locks";
const hasLocks = existsSync(LOCKS);

/** Whoever closes a file lets go of all locks that its process has on it (POSIX), of all of its connections. */
it.skipIf(!hasLocks)(
  `is locked while it is open, by which strangers see it is in use${hasLocks ? "" : " (skipped: no /proc/locks)"}`,
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "gateway-locks-"));
    const file = join(folder, "gateway.db");
    // A first start, and one on a database that is there.
    for (const _ of [1, 2]) {
      const store = await openStore({ kind: "sqlite", file });
      const { ino } = statSync(file);
      expect(readFileSync(LOCKS, "utf8")).toMatch(new RegExp(` ${process.pid} \\S+:${ino} `));
      await store.close();
    }
    rmSync(folder, { recursive: true });
  },
);
