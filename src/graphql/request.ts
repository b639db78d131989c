import { GatewayError } from "../errors.js";
import { isObject } from "./manifest.js";

type JsonObject = Readonly<Record<string, unknown>>;

/** What a body asks for (GraphQL over HTTP §5.1), its members of the types that they have to have. */
export interface GraphqlRequest {
  readonly query: string;
  readonly operationName?: string;
  readonly variables?: JsonObject;
  readonly extensions?: JsonObject;
}

/** Throws BAD_REQUEST. Members that are null are left out, those of other names are passed by. */
export function readRequest(body: unknown): GraphqlRequest {
  if (Array.isArray(body)) throw bad("There is no batching: send one request at a time, as one JSON object.");
  if (!isObject(body)) throw bad("The body has to be one JSON object.");
  const { query, operationName, variables, extensions } = body;
  if (typeof query !== "string" || query === "") throw bad("The request needs a query: a text that is not empty.");
  if (isGiven(operationName) && typeof operationName !== "string") throw bad("operationName has to be a text.");
  return {
    query,
    ...(isGiven(operationName) && { operationName }),
    ...(isGiven(variables) && { variables: object("variables", variables) }),
    ...(isGiven(extensions) && { extensions: object("extensions", extensions) }),
  };
}

/** A member that is null is as if it were left out. */
export function isGiven<Value>(value: Value | null | undefined): value is Value {
  return value !== undefined && value !== null;
}

function object(name: string, value: unknown): JsonObject {
  if (isObject(value)) return value;
  throw bad(`${name} has to be a JSON object.`);
}

function bad(message: string): GatewayError {
  return new GatewayError("BAD_REQUEST", message);
}
