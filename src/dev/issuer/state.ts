import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { JWK } from "jose";
import { StartError } from "../../errors.js";

/** What outlives a restart, so that tokens and users do, too. */
interface IssuerState {
  readonly port: number;
  /** Private. */
  readonly key: JWK;
}

/** Undefined at the first start. Throws a `StartError` for a file that is damaged. */
export function readState(file: string): IssuerState | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as IssuerState;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new StartError(
      `${file}, which has the embedded issuer's key, cannot be read: delete it, or the whole folder, to start afresh.`,
      {
        cause: error,
      },
    );
  }
}

/** Whole or not at all, whenever the process ends. */
export function writeState(file: string, state: IssuerState): void {
  writeFileSync(`${file}.new`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
