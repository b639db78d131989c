import { ServiceError, validationError } from "./errors.js";
import { OPERATIONS, type Operation } from "./operations.js";

export interface Match {
  readonly operation: Operation;
  /** The identity's id in the path, decoded; empty where the path has none. */
  readonly identity: string;
}

/** No recording shows what the service says of a path or a method that it does not have. */
export function matchOperation(method: string, path: string): Match {
  const segments = decodePath(path);
  const candidates = OPERATIONS.filter((operation) => fits(operation.path, segments));
  if (candidates.length === 0) throw noSuchPath(path);
  const operation = candidates.find((candidate) => candidate.method === method);
  if (operation === undefined) throw wrongMethod(method, candidates);
  return { operation, identity: segments[operation.path.indexOf("{id}")] ?? "" };
}

/** Codes and messages are those of ASP.NET API versioning, which the service was seen to use. */
export function checkApiVersion({ apiVersions }: Operation, query: URLSearchParams, path: string): void {
  const given = new Set(query.getAll("api-version"));
  const supported = `Supported: ${apiVersions.join(", ")}.`;
  if (given.size === 0) {
    throw badVersion("ApiVersionUnspecified", `An API version is required, but was not specified. ${supported}`);
  }
  if (given.size > 1) {
    throw badVersion("AmbiguousApiVersion", `The API version was specified more than once. ${supported}`);
  }
  const [version = ""] = given;
  if (apiVersions.includes(version)) return;
  const resource = `The HTTP resource that matches the request URI '${path}'`;
  throw badVersion("UnsupportedApiVersion", `${resource} does not support the API version '${version}'. ${supported}`);
}

function decodePath(path: string): string[] {
  try {
    return path.split("/").slice(1).map(decodeURIComponent);
  } catch {
    throw validationError("The path holds a malformed percent-encoding.", "path");
  }
}

function fits(pattern: readonly string[], segments: readonly string[]): boolean {
  if (pattern.length !== segments.length) return false;
  return pattern.every((part, i) => (part === "{id}" ? segments[i] !== "" : part === segments[i]));
}

function noSuchPath(path: string): ServiceError {
  return new ServiceError({ status: 404, code: "NotFound", message: `There is nothing at '${path}'.` });
}

function wrongMethod(method: string, candidates: readonly Operation[]): ServiceError {
  const allow = candidates.map((candidate) => candidate.method).join(", ");
  return new ServiceError({
    status: 405,
    code: "MethodNotAllowed",
    message: `The method ${method} is not allowed here. Allowed: ${allow}.`,
    headers: { allow },
  });
}

function badVersion(code: string, message: string): ServiceError {
  return new ServiceError({ status: 400, code, message });
}
