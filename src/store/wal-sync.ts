import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { type Kysely, sql } from "kysely";
import { GatewayError } from "../errors.js";

/** Has on disk what was committed to a SQLite database in WAL mode before it was called. */
export interface WalSync {
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * A commit with `synchronous = NORMAL` leaves the sync to others: here a thread of the pool does it, while the process goes on.
 * A process that moves the log's content to the database, or begins the log anew, syncs by itself, so nothing falls between.
 * Undefined for a database without a log, as on some file systems.
 */
export async function openWalSync<Tables>(file: string, database: Kysely<Tables>): Promise<WalSync | undefined> {
  const log = `${file}-wal`;
  if (!existsSync(log)) return undefined;
  const handle = await open(log, "r+");
  // What Linux has failed to write it takes for written: the next sync succeeds, and after a crash the log ends at what is not there.
  let hasGap = false;
  const mend = async () => {
    await emptyLog(database);
    // Else a crash could bring back the log as far as the gap, with older pages than the file has by now.
    await handle.sync();
    hasGap = false;
  };
  return {
    sync: async () => {
      try {
        if (!hasGap) await handle.datasync();
        // Of several at once only one is told.
        if (hasGap) await mend();
      } catch (error) {
        hasGap = true;
        throw new GatewayError("STORE_UNAVAILABLE", "The gateway's database does not answer.", { cause: error });
      }
    },
    close: () => handle.close(),
  };
}

/** Has everything in the database's file, synced there; what comes next begins the log anew. */
async function emptyLog<Tables>(database: Kysely<Tables>): Promise<void> {
  const { rows } = await sql<{ busy: number }>`pragma wal_checkpoint(truncate)`.execute(database);
  if (rows[0]?.busy !== 0) throw new Error("the log could not be synced, nor emptied while others read it");
}
