/** Databases that may be kept for the next run, in a folder or on a server. */
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { StoreConfig } from "../src/config/config.js";
import { Secret } from "../src/config/secret.js";
import { ask, dropDatabase, haveDatabase } from "./postgres.js";

interface Database {
  readonly config: StoreConfig;
  /** For DATABASE_URL. */
  readonly url: string;
}

export interface Place {
  readonly kind: "SQLite" | "Postgres";
  /** The database of this name, whether or not it is there yet. */
  open(name: string): Promise<Database>;
  /** What it takes on the disk. */
  bytes(name: string): Promise<number>;
  drop(name: string): Promise<void>;
}

export function placesOf(folder: string, server: string | undefined): Place[] {
  return [sqlite(folder), ...(server === undefined ? [] : [postgres(server)])];
}

function sqlite(folder: string): Place {
  const fileOf = (name: string) => join(folder, `${name}.db`);
  return {
    kind: "SQLite",
    open: async (name) => ({ config: { kind: "sqlite", file: fileOf(name) }, url: `sqlite:${fileOf(name)}` }),
    bytes: async (name) => statSync(fileOf(name)).size,
    drop: async (name) => {
      for (const suffix of ["", "-wal", "-shm"]) rmSync(`${fileOf(name)}${suffix}`, { force: true });
    },
  };
}

function postgres(server: string): Place {
  const nameOf = (name: string) => `gateway_bench_${name.replaceAll("-", "_")}`;
  return {
    kind: "Postgres",
    open: async (name) => {
      const url = await haveDatabase(server, nameOf(name));
      return { config: { kind: "postgres", url: new Secret(url), maxConnections: 2, queueSize: 500 }, url };
    },
    bytes: async (name) => {
      const [row] = await ask<{ size: string }>(server, `select pg_database_size('${nameOf(name)}') as size`);
      return Number(row?.size);
    },
    drop: (name) => dropDatabase(server, nameOf(name)),
  };
}
