import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
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
export async function openWalSync(database: string): Promise<WalSync | undefined> {
  const file = `${database}-wal`;
  if (!existsSync(file)) return undefined;
  const handle = await open(file, "r+");
  return {
    sync: async () => {
      try {
        await handle.datasync();
      } catch (error) {
        throw new GatewayError("STORE_UNAVAILABLE", "The gateway's database does not answer.", { cause: error });
      }
    },
    close: () => handle.close(),
  };
}
