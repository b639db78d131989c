import { GatewayError } from "../errors.js";
import { IdentityNotOwned, TeamsTokenRejected } from "./service.js";
import type { ServiceOperation } from "./service-azure.js";

/** What Microsoft's client throws for an answer that is not a success, as far as it is read here. */
interface ServiceFailure {
  readonly name: string;
  readonly code?: string;
  readonly statusCode?: number;
  readonly response?: { readonly headers: { get(name: string): string | undefined } };
}

/** Each way in which the service says no, or does not say anything, as one of the gateway's own errors. */
export function translateServiceError(operation: ServiceOperation, error: unknown): Error {
  if (!(error instanceof Error)) return new GatewayError("INTERNAL_SERVER_ERROR", "The call failed.", { cause: error });
  const failure: ServiceFailure = error;
  if (failure.name === "AbortError" || failure.name === "TimeoutError") {
    return new GatewayError("DEADLINE_EXCEEDED", "Communication Services did not answer in time.", { cause: error });
  }
  if (failure.code === "IdentityNotOwned") return new IdentityNotOwned(error.message, { cause: error });
  if (operation === "exchangeTeamsToken" && isTeamsRejection(failure)) {
    return new TeamsTokenRejected(error.message, { cause: error });
  }
  return new GatewayError("UPSTREAM_UNAVAILABLE", messageFor(failure), {
    cause: error,
    retryAfterSeconds: readRetryAfter(failure),
  });
}

/** A 401 `Denied` is about our own key, any other 400 or 401 about the Teams user's token and ids. */
function isTeamsRejection({ statusCode, code }: ServiceFailure): boolean {
  return statusCode === 400 || (statusCode === 401 && code !== "Denied");
}

function messageFor({ statusCode }: ServiceFailure): string {
  if (statusCode === undefined) return "Communication Services cannot be reached.";
  if (statusCode === 429) return "Communication Services asks for fewer calls.";
  if (statusCode >= 500) return "Communication Services is out of order.";
  return "Communication Services refused the call; the operator's log says why.";
}

/** Whole seconds of `Retry-After` (RFC 9110 §10.2.3, both forms) or of Azure's headers in milliseconds. */
function readRetryAfter({ response }: ServiceFailure): number | undefined {
  for (const name of ["retry-after-ms", "x-ms-retry-after-ms"]) {
    const milliseconds = Number(response?.headers.get(name) ?? Number.NaN);
    if (milliseconds >= 0) return Math.ceil(milliseconds / 1000);
  }
  const value = response?.headers.get("retry-after");
  if (value === undefined) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : Math.ceil((Date.parse(value) - Date.now()) / 1000);
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}
