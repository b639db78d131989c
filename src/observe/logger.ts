import { type DestinationStream, pino } from "pino";
import type { Secret } from "../config/secret.js";
import { createRedact } from "./redact.js";

export type Logger = pino.Logger;

interface LoggerOptions {
  readonly level: string;
  /** Never written, whoever passes them. */
  readonly secrets: readonly Secret[];
  readonly destination: DestinationStream;
}

/** JSON lines. */
export function createLogger({ level, secrets, destination }: LoggerOptions): Logger {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError },
    hooks: { streamWrite: createRedact(secrets) },
  };
  return pino(options, destination);
}

interface DescribedError {
  readonly type: string;
  readonly message: string;
  readonly stack?: string | undefined;
  readonly cause?: DescribedError;
}

/** Name, message, stack and causes only: other fields of a foreign error may hold the request it was made of. */
function describeError(error: unknown): DescribedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const { name: type, message, stack, cause } = error;
  return { type, message, stack, ...(cause !== undefined && { cause: describeError(cause) }) };
}
