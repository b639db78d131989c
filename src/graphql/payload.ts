import { MAX_REASON_LENGTH } from "../audit/record.js";
import { Refusal } from "../errors.js";
import type { UserError } from "./types/token.js";

/** What the work answers, or its refusal as a user error beside fields that are all null. */
export async function payload<Fields extends object>(
  refused: { readonly [Key in keyof Fields]: null },
  work: () => Promise<Fields>,
): Promise<(Fields | typeof refused) & { userErrors: readonly UserError[] }> {
  try {
    return { ...(await work()), userErrors: [] };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, message, path, retryAfterSeconds } = error;
    return { ...refused, userErrors: [{ code, message, path, retryAfterSeconds }] };
  }
}

/** The reason for the operator's records, checked. */
export function readReason({ reason }: { readonly reason?: string | null }): string | null {
  if (typeof reason === "string" && reason.length > MAX_REASON_LENGTH) {
    throw new Refusal("INVALID_INPUT", `The reason must have at most ${MAX_REASON_LENGTH} characters.`, [
      "input",
      "reason",
    ]);
  }
  return reason ?? null;
}
