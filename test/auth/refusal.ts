import { AuthenticationFailure } from "../../src/auth/failure.js";

/** Reason and detail of the failure that this throws; undefined when it throws none. */
export function refusalOf(work: () => unknown): readonly [reason: string, detail: string] | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof AuthenticationFailure) return [error.reason, error.detail];
    throw error;
  }
}
