import { type ParseArgsConfig, parseArgs } from "node:util";
import { MAX_REASON_LENGTH } from "../audit/record.js";

/** The command line was not understood: its message is printed, and where the usage is. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

type Options = NonNullable<ParseArgsConfig["options"]>;

/** The values of options. Throws a `UsageError`, for anything else, too. */
export function readArguments<Known extends Options>(args: readonly string[], options: Known) {
  try {
    return parseArgs({ args: [...args], options, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : "wrong options");
  }
}

/** For the trail; null when there is none. Throws a `UsageError`. */
export function readReason(said: string | undefined): string | null {
  if (said === undefined || said.length <= MAX_REASON_LENGTH) return said ?? null;
  throw new UsageError(`--reason has at most ${MAX_REASON_LENGTH} characters`);
}
