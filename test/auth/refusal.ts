import { AuthenticationFailure } from "../../src/auth/failure.js";

type Refusal = readonly [reason: string, detail: string] | undefined;

/** Reason and detail of the failure that this throws; undefined when it throws none. */
export function refusalOf(work: () => unknown): Refusal {
  try {
    work();
    return undefined;
  } catch (error) {
    return read(error);
  }
}

/** The same for what throws later. */
export async function rejectionOf(work: Promise<unknown>): Promise<Refusal> {
  return await work.then(() => undefined, read);
}

function read(error: unknown): Refusal {
  if (error instanceof AuthenticationFailure) return [error.reason, error.detail];
  throw error;
}
