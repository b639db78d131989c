import { GatewayError } from "../errors.js";

/** In one line, for the operator: what the database or the network said. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return reasonOf(error.errors[0]);
  if (!(error instanceof Error)) return "unknown error";
  if (error instanceof GatewayError && error.cause !== undefined) return reasonOf(error.cause);
  return error.message.replaceAll(/\s*\n\s*/g, " ");
}

/** SQLSTATE of a right that the user lacks, or a table that is another's. */
const INSUFFICIENT_PRIVILEGE = "42501";

export function isNotAllowed(error: unknown): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === INSUFFICIENT_PRIVILEGE;
}
