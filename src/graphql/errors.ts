import { unwrapResolverError } from "@apollo/server/errors";
import { GraphQLError, type GraphQLFormattedError } from "graphql";
import { type ErrorCode, errorKind, GatewayError } from "../errors.js";

const MASKED = "Something went wrong on our side.";

/** Apollo's codes that are not in the contract, as the contract's. */
const APOLLO_CODES: Readonly<Record<string, ErrorCode>> = {
  OPERATION_RESOLUTION_FAILURE: "BAD_REQUEST",
  PERSISTED_QUERY_NOT_FOUND: "BAD_REQUEST",
  PERSISTED_QUERY_NOT_SUPPORTED: "BAD_REQUEST",
};

/** The one translator: any error as the client may see it. What is not foreseen is masked. */
export function translateError(formatted: GraphQLFormattedError, error: unknown): GraphQLFormattedError {
  const original = unwrapResolverError(error);
  const { locations, path } = formatted;
  const place = { ...(locations && { locations }), ...(path && { path }) };
  if (original instanceof GatewayError) {
    return { message: original.message, ...place, extensions: extensionsOf(original.code, original.retryAfterSeconds) };
  }
  const claimed = formatted.extensions?.code;
  const code = APOLLO_CODES[String(claimed)] ?? claimed;
  const isForeseen =
    original instanceof GraphQLError && errorKind(code) !== undefined && code !== "INTERNAL_SERVER_ERROR";
  if (!isForeseen) return { message: MASKED, ...place, extensions: extensionsOf("INTERNAL_SERVER_ERROR") };
  const argument = formatted.extensions?.argument;
  return {
    message: formatted.message,
    ...place,
    extensions: { ...extensionsOf(code as ErrorCode), ...(argument !== undefined && { argument }) },
  };
}

/** The code of a translated error. */
export function codeOf(error: GraphQLFormattedError): ErrorCode {
  const code = error.extensions?.code;
  return errorKind(code) === undefined ? "INTERNAL_SERVER_ERROR" : (code as ErrorCode);
}

/** A `GatewayError` that ends a request before GraphQL sees it, as the body of the answer. */
export function errorBody({ message, code, retryAfterSeconds }: GatewayError): string {
  return JSON.stringify({ errors: [{ message, extensions: extensionsOf(code, retryAfterSeconds) }] });
}

function extensionsOf(code: ErrorCode, retryAfterSeconds?: number): Record<string, unknown> {
  return {
    code,
    retryable: errorKind(code)?.retryable ?? false,
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  };
}
