import { closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

// With a write-ahead log, NORMAL hands every commit to the operating system before it returns: a killed process loses
// nothing; only a power failure could.
const SCHEMA = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS access_keys (
    slot TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    rotations INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE IF NOT EXISTS identities (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revocations INTEGER NOT NULL DEFAULT 0,
    revoked_at INTEGER,
    deleted_at INTEGER
  ) STRICT;
`;

/** The emulator's only state. Without a file it lives in memory, by the same code. */
export function openDatabase(file: string | undefined): DatabaseSync {
  if (file !== undefined) {
    mkdirSync(dirname(file), { recursive: true });
    // It has access keys. One that is there is not touched, lest locks on it be lost.
    if (!existsSync(file)) closeSync(openSync(file, "wx", 0o600));
  }
  const database = new DatabaseSync(file ?? ":memory:", { timeout: 5_000 });
  try {
    database.exec(SCHEMA);
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

/** The stored value of a setting, which is `initial` if none is stored yet. Two processes on one file agree on it. */
export function settle(database: DatabaseSync, name: string, initial: string): string {
  database.prepare("INSERT OR IGNORE INTO settings (name, value) VALUES (?, ?)").run(name, initial);
  return setting(database, name) ?? initial;
}

export function setting(database: DatabaseSync, name: string): string | undefined {
  const row = database.prepare("SELECT value FROM settings WHERE name = ?").get(name);
  return row === undefined ? undefined : String(row.value);
}
