/** What an operator's command is given of the process, which is `main.ts`'s own. */
import type { Readable, Writable } from "node:stream";
import type { ArchiveConfig, Config } from "../config/config.js";

export interface Host {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable;
  /** A line on standard error, without any secret of the configuration that was read. */
  report(line: string): void;
  /** Throws a `ConfigError`. */
  readConfig(file: string | undefined): Config;
  /** The same for who only reads the database. */
  readArchiveConfig(file: string | undefined): ArchiveConfig;
  /** Aborted at the first SIGINT or SIGTERM from now on, which then does not end the process; a second one does. */
  stopSignal(): AbortSignal;
  /** ms since 1970 */
  now(): number;
}

/** False: what was to be checked or done was not all right, or not all done. Throws a `UsageError`, `ConfigError` or `StartError`. */
export type Command = (args: readonly string[], host: Host) => Promise<boolean>;
