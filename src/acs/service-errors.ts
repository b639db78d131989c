import {
  type FailureReason,
  IdentityNotOwned,
  ServiceFailure,
  type ServiceOperation,
  TeamsTokenRejected,
} from "./service.js";

/** What Microsoft's client throws for an answer that is not a success, as far as it is read here. */
interface SdkError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly statusCode?: number;
  readonly response?: { readonly headers: { get(name: string): string | undefined } };
}

/** Each way in which the service says no, or does not say anything, as one of the gateway's own errors. */
export function translateServiceError(operation: ServiceOperation, error: unknown): Error {
  const failure: SdkError = error instanceof Error ? error : new Error("the client threw what is no error");
  const cause = forTheLog(failure);
  if (failure.code === "IdentityNotOwned")
    return new IdentityNotOwned("the identity is not of this resource", { cause });
  if (operation === "exchangeTeamsToken" && isTeamsRejection(failure)) {
    return new TeamsTokenRejected("the Teams user's token was rejected", { cause });
  }
  const reason = reasonOf(failure);
  return new ServiceFailure(reason, MESSAGES[reason], { askedToWaitSeconds: readRetryAfter(failure), cause });
}

/** Failures of a connection that was never made, so that nothing was sent. */
const NOT_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

type AttemptFailure = Exclude<FailureReason, "notBegun" | "left">;

function reasonOf({ name, statusCode, code }: SdkError): AttemptFailure {
  if (name === "AbortError" || name === "TimeoutError") return "timeout";
  if (statusCode === undefined) return code !== undefined && NOT_SENT.has(code) ? "unreachable" : "broken";
  if (statusCode === 429) return "throttled";
  if (statusCode >= 400 && statusCode < 500 && statusCode !== 408) return "refused";
  // Whatever else is no error of the service is a success that cannot be used.
  return statusCode >= 400 ? "outOfOrder" : "broken";
}

const MESSAGES: Readonly<Record<AttemptFailure, string>> = {
  timeout: "Communication Services did not answer in time.",
  unreachable: "Communication Services cannot be reached.",
  broken: "Communication Services answered what cannot be used, or broke off.",
  throttled: "Communication Services asks for fewer calls.",
  outOfOrder: "Communication Services is out of order.",
  refused: "Communication Services refused the call; the operator's log says why.",
};

const MAX_MESSAGE_LENGTH = 300;

/**
 * What went wrong, for the log. The client's own error is not kept: for an answer that cannot be read, its message holds the
 * answer, token and all. What the service says of a refusal is worth keeping.
 */
function forTheLog({ name, code, statusCode, message }: SdkError): Error {
  const about = [name, code, statusCode].filter((part) => part !== undefined).join(" ");
  const mayQuote = statusCode === undefined || statusCode >= 400;
  return new Error(mayQuote ? `${about}: ${message.slice(0, MAX_MESSAGE_LENGTH)}` : about);
}

/** Our own key or signature is no good: nothing was done, so that any call can be repeated with another key, a create too. */
export function isKeyRefused(error: unknown): boolean {
  const { statusCode, code } = error as Partial<SdkError>;
  return statusCode === 401 && code === "Denied";
}

/** Whether the service looked at what it was asked, and said no to that. */
export function showsGoodKey(error: unknown): boolean {
  const { statusCode, code } = error as Partial<SdkError>;
  return statusCode === 400 || code === "IdentityNotOwned";
}

/** A 401 `Denied` is about our own key, any other 400 or 401 about the Teams user's token and ids. */
function isTeamsRejection(error: SdkError): boolean {
  return error.statusCode === 400 || (error.statusCode === 401 && !isKeyRefused(error));
}

const MAX_RETRY_AFTER_SECONDS = 3600;

/** Whole seconds, 1 to 3600, that the service asks to wait; undefined when it does not say. */
function readRetryAfter(error: SdkError): number | undefined {
  const seconds = parseRetryAfter(error);
  if (seconds === undefined || Number.isNaN(seconds)) return undefined;
  return Math.min(MAX_RETRY_AFTER_SECONDS, Math.max(1, seconds));
}

/** `Retry-After` (RFC 9110 §10.2.3, both forms) or Azure's headers in milliseconds. */
function parseRetryAfter({ response }: SdkError): number | undefined {
  for (const name of ["retry-after-ms", "x-ms-retry-after-ms"]) {
    const milliseconds = Number(response?.headers.get(name) ?? Number.NaN);
    if (milliseconds >= 0) return Math.ceil(milliseconds / 1000);
  }
  const value = response?.headers.get("retry-after");
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value);
  // A date begins with the day's name; of a number JavaScript would make one, too.
  return /^[A-Z]/i.test(value) ? Math.ceil((Date.parse(value) - Date.now()) / 1000) : undefined;
}
