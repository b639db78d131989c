/** For commands that change something: what the gateway keeps and records by, opened for as long as the command takes. */
import { randomUUID } from "node:crypto";
import type { Config } from "../config/config.js";
import { secretsIn } from "../config/secrets.js";
import { GatewayError, StartError } from "../errors.js";
import type { Closers } from "../gateway-audit.js";
import { closeAll, openRecords, type Records } from "../gateway-base.js";
import { ANOTHER_KEY, otherKeys } from "../key-checks.js";
import { createLogger } from "../observe/logger.js";
import type { Host } from "./host.js";

/** What goes wrong is said on standard error as the gateway logs it. Throws a `StartError` when it cannot be opened. */
export async function withRecords<Result>(
  config: Config,
  host: Host,
  work: (records: Records) => Promise<Result>,
): Promise<Result> {
  const closers: Closers = [];
  const destination = { write: (line: string) => host.report(line.trimEnd()) };
  const logger = createLogger({ level: "error", secrets: secretsIn(config), destination });
  try {
    const records = await openRecords(config, { logger, now: host.now, standardOutput: host.stdout }, closers);
    // Which a command does not change: the instances are those that the database is used by.
    const others = otherKeys(await records.store.keyChecks.all(), records.keys);
    for (const name of others) host.report(`${name}: ${ANOTHER_KEY}.`);
    return await work(records);
  } catch (error) {
    throw asStartError(error);
  } finally {
    await closeAll(closers);
  }
}

/** Of an outage there is no more to say than that it was one. */
function asStartError(error: unknown): unknown {
  if (!(error instanceof GatewayError)) return error;
  return new StartError(`${error.message} What is done is done, and the rest is not begun: run it again.`, {
    cause: error,
  });
}

/** How the trail names a run of a command. */
export function commandRun(command: string) {
  return { requestId: `${command}-${randomUUID()}`, client: { name: `acs-token-gateway ${command}`, version: null } };
}
