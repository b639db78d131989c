/** How long work is waited for. It goes on after that, and how it ends is of no interest any more. */

/** The result, or an error that says this when it takes longer. */
export async function inTime<Result>(work: Promise<Result>, milliseconds: number, late: string): Promise<Result> {
  const { promise: over, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(late)), milliseconds);
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}

/** The same for work that had better end then: its deadline is aborted when nobody waits any more. */
export async function inTimeOrAborted<Result>(
  work: (deadline: AbortSignal) => Promise<Result>,
  milliseconds: number,
  late: string,
): Promise<Result> {
  const over = new AbortController();
  try {
    return await inTime(work(over.signal), milliseconds, late);
  } finally {
    over.abort();
  }
}

/** The result, or undefined when it takes longer. */
export async function waitAtMost<Result>(work: Promise<Result>, milliseconds: number): Promise<Result | undefined> {
  const { promise: over, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, milliseconds, undefined);
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}
