/**
 * A refresh: tries until there is a token, or no use in going on. The credential of @azure/communication-common refreshes no more
 * by itself once its refresher has failed, so what can pass is waited for here.
 */
import { abortError, sleep, within } from "./abort.js";
import type { RefreshedToken, TokenRefresherOptions } from "./options.js";
import { askForToken } from "./request.js";
import { TokenRefreshError } from "./token-refresh-error.js";

/** What a refresher knows from one refresh to the next. */
export interface Memory {
  hasHadToken: boolean;
  sendsId: boolean;
}

const FIRST_GIVE_UP_SECONDS = 30;
const TRY_TIMEOUT_SECONDS = 15;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
/** However long a server says. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;

export async function refresh(
  options: TokenRefresherOptions,
  memory: Memory,
  signal: AbortSignal,
): Promise<RefreshedToken> {
  const { giveUpAfterSeconds = memory.hasHadToken ? Infinity : FIRST_GIVE_UP_SECONDS, onRetry } = options;
  const giveUpAt = Date.now() + giveUpAfterSeconds * 1000;
  let forceRefresh = false;
  for (let pauses = 0; ; ) {
    const outcome = await tryOnce({ options, memory, signal, forceRefresh });
    if (signal.aborted) throw abortError();
    if (!(outcome instanceof TokenRefreshError)) {
      memory.hasHadToken = true;
      return outcome;
    }
    if (outcome.status === 400 && memory.sendsId) {
      // Whatever else may be wrong with it is told of the text.
      memory.sendsId = false;
      continue;
    }
    if (!forceRefresh && (outcome.status === 401 || outcome.code === "UNAUTHENTICATED")) {
      forceRefresh = true;
      continue;
    }
    forceRefresh = false;
    const pause = pauseMs(outcome, pauses, Math.random());
    if (!outcome.retryable || Date.now() + pause > giveUpAt) throw outcome;
    pauses += 1;
    tell(onRetry, outcome, pause);
    await sleep(pause, signal);
  }
}

interface Try {
  readonly options: TokenRefresherOptions;
  readonly memory: Memory;
  readonly signal: AbortSignal;
  readonly forceRefresh: boolean;
}

async function tryOnce({ options, memory, signal, forceRefresh }: Try): Promise<RefreshedToken | TokenRefreshError> {
  const { getCallerToken, tryTimeoutSeconds = TRY_TIMEOUT_SECONDS } = options;
  let callerToken: unknown;
  try {
    callerToken = await getCallerToken({ forceRefresh, signal });
  } catch (cause) {
    // The first one is for the app to show, such as that nobody has signed in.
    const retryable = memory.hasHadToken && !isFinal(cause);
    return new TokenRefreshError("CALLER_TOKEN_UNAVAILABLE", "getCallerToken failed.", { retryable, cause });
  }
  if (!isBareToken(callerToken)) {
    const message = "getCallerToken gave what is no token: a text without spaces, and without Bearer before it.";
    return new TokenRefreshError("CALLER_TOKEN_UNAVAILABLE", message, { retryable: false });
  }
  const token = callerToken;
  const late = () => new TokenRefreshError("TIMEOUT", "The gateway did not answer in time.", { retryable: true });
  return await within({ milliseconds: tryTimeoutSeconds * 1000, signal, late }, (signal) =>
    askForToken({ options, callerToken: token, byId: memory.sendsId, signal }),
  );
}

/** An app says so of an error of its own. */
function isFinal(error: unknown): boolean {
  return (error as { retryable?: unknown } | null | undefined)?.retryable === false;
}

/** Another would be refused by `fetch`, as if there were no network. */
function isBareToken(value: unknown): value is string {
  return typeof value === "string" && /^[!-~]+$/.test(value);
}

/** Never sooner than the server asks for, up to an hour; beyond that longer each time, and at random, so that a crowd does not come back together. */
function pauseMs({ retryAfterSeconds }: TokenRefreshError, pauses: number, random: number): number {
  const asked = Math.min((retryAfterSeconds ?? 0) * 1000, LONGEST_RETRY_AFTER_MS);
  return asked + random * Math.min(FIRST_PAUSE_MS * 2 ** pauses, LONGEST_PAUSE_MS);
}

/** What an app does wrong there must not end its refreshes. */
function tell(onRetry: TokenRefresherOptions["onRetry"], error: TokenRefreshError, pause: number): void {
  try {
    onRetry?.(error, pause / 1000);
  } catch {}
}
