import { unwrapResolverError } from "@apollo/server/errors";
import { GraphQLError, type GraphQLFormattedError } from "graphql";
import { type ErrorCode, errorKind, GatewayError } from "../errors.js";

/** How many errors a request that fails as a whole is told. */
export const MAX_ERRORS = 3;
/** Bytes as JSON. With these an answer has less than 2 KB, whatever the request says. */
const MAX_MESSAGE = 240;
const MAX_NAMES = 120;
const MAX_ARGUMENT = 60;
const MAX_LOCATIONS = 2;

/** Apollo's words, which give advice that is not for clients. */
const OUR_WORDS: readonly (readonly [beginning: string, message: string])[] = [
  ["GraphQL introspection is not allowed", "Introspection is off; the schema is published with the gateway."],
  ["GraphQL operations must contain", "The request needs a query: a text that is not empty."],
];

const MASKED = "Something went wrong on our side.";

/** Apollo's codes that are not in the contract, as the contract's. */
const APOLLO_CODES: Readonly<Record<string, ErrorCode>> = {
  OPERATION_RESOLUTION_FAILURE: "BAD_REQUEST",
};

/** The one translator: any error as the client may see it. What is not foreseen is masked. */
export function translateError(formatted: GraphQLFormattedError, error: unknown): GraphQLFormattedError {
  const original = unwrapResolverError(error);
  const place = placeOf(formatted);
  if (original instanceof GatewayError) {
    return {
      message: clip(original.message, MAX_MESSAGE),
      ...place,
      extensions: extensionsOf(original.code, original),
    };
  }
  const claimed = isOfArgument(original) ? "BAD_USER_INPUT" : formatted.extensions?.code;
  const code = APOLLO_CODES[String(claimed)] ?? claimed;
  const isForeseen =
    original instanceof GraphQLError && errorKind(code) !== undefined && code !== "INTERNAL_SERVER_ERROR";
  if (!isForeseen) return { message: MASKED, ...place, extensions: extensionsOf("INTERNAL_SERVER_ERROR") };
  const argument = formatted.extensions?.argument;
  return {
    message: clip(inOurWords(formatted.message), MAX_MESSAGE),
    ...place,
    extensions: extensionsOf(code as ErrorCode, typeof argument === "string" ? { argument } : {}),
  };
}

/** What graphql-js says, without a code, of a variable that is null where its default would not have been. */
function isOfArgument(error: unknown): boolean {
  return error instanceof GraphQLError && error.extensions.code === undefined && error.message.startsWith("Argument ");
}

function inOurWords(message: string): string {
  return OUR_WORDS.find(([beginning]) => message.startsWith(beginning))?.[1] ?? message;
}

/** Without the names of the schema that GraphQL offers for a misspelt one. */
export function withoutSuggestion(error: GraphQLFormattedError): GraphQLFormattedError {
  const at = error.message.endsWith("?") ? error.message.lastIndexOf(" Did you mean ") : -1;
  return at < 0 ? error : { ...error, message: error.message.slice(0, at) };
}

/** A path has the client's own names in it, of any length; one that is cut would be wrong, so it is left out. */
function placeOf({ locations, path }: GraphQLFormattedError): Partial<GraphQLFormattedError> {
  return {
    ...(locations && { locations: locations.slice(0, MAX_LOCATIONS) }),
    ...(path && jsonBytes(path) <= MAX_NAMES && { path }),
  };
}

/** The nulls of a request that failed as a whole; the names before them are the client's own, too. */
export function shortData(data: Record<string, unknown>): Record<string, unknown> | null {
  return jsonBytes(data) <= MAX_NAMES ? data : null;
}

/** The beginning of a text that quotes what the client sent. */
function clip(text: string, maxBytes: number): string {
  if (text.length <= maxBytes && jsonBytes(text) <= maxBytes) return text;
  let clipped = "";
  let bytes = jsonBytes("…");
  for (const character of text.slice(0, maxBytes)) {
    bytes += jsonBytes(character) - 2;
    if (bytes > maxBytes) break;
    clipped += character;
  }
  return `${clipped}…`;
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

/** The code of a translated error. */
export function codeOf(error: GraphQLFormattedError): ErrorCode {
  const code = error.extensions?.code;
  return errorKind(code) === undefined ? "INTERNAL_SERVER_ERROR" : (code as ErrorCode);
}

/** A dependency's failure has a cause to log; a refusal by policy or limits is in the request's own line; the rest are bugs. */
export function isWorthALine(error: unknown): boolean {
  if (error instanceof GatewayError) return error.cause !== undefined;
  return codeOf(translateError({ message: "", extensions: extensionsIn(error) }, error)) === "INTERNAL_SERVER_ERROR";
}

function extensionsIn(error: unknown): Record<string, unknown> {
  return (error as { extensions?: Record<string, unknown> }).extensions ?? {};
}

/** Masked errors carry the id under which the log has the cause. */
export function withRequestId(error: GraphQLFormattedError, requestId: string): GraphQLFormattedError {
  if (codeOf(error) !== "INTERNAL_SERVER_ERROR") return error;
  return { ...error, extensions: { ...error.extensions, requestId } };
}

/** A `GatewayError` that ends a request before GraphQL sees it, as the body of the answer. */
export function errorBody(error: GatewayError): string {
  return JSON.stringify({ errors: [formatGatewayError(error)] });
}

/** A bug, as its client may hear of it. */
export function masked(cause: unknown, requestId: string): GatewayError {
  const message = `Something went wrong on our side; the log has it as ${requestId}.`;
  return new GatewayError("INTERNAL_SERVER_ERROR", message, { cause });
}

export function formatGatewayError(error: GatewayError) {
  return { message: clip(error.message, MAX_MESSAGE), extensions: extensionsOf(error.code, error) };
}

function extensionsOf(
  code: ErrorCode,
  { retryAfterSeconds, argument }: Partial<Pick<GatewayError, "retryAfterSeconds" | "argument">> = {},
): Record<string, unknown> {
  return {
    code,
    retryable: errorKind(code)?.retryable ?? false,
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    ...(argument !== undefined && { argument: clip(argument, MAX_ARGUMENT) }),
  };
}
