import { validationError } from "./errors.js";
import type { JsonObject } from "./http.js";

export interface TokenRequest {
  readonly scopes: readonly string[];
  readonly lifetimeMinutes: number;
}

const SCOPES: ReadonlySet<string> = new Set(["chat", "voip", "chat.join", "chat.join.limited", "voip.join"]);
const MIN_LIFETIME_MINUTES = 60;
const MAX_LIFETIME_MINUTES = 1440;

/** Undefined when an identity alone is asked for. */
export function parseCreate(body: JsonObject | undefined): TokenRequest | undefined {
  if (!asksForToken(body)) return undefined;
  return parseToken(body.createTokenWithScopes, body.expiresInMinutes);
}

export function parseIssue(body: JsonObject | undefined): TokenRequest {
  if (body?.scopes === undefined || body.scopes === null) {
    throw validationError("Scopes: The Scopes field is required.", "Scopes");
  }
  return parseToken(body.scopes, body.expiresInMinutes);
}

/** JSON null counts as absent: SDKs of other languages send it. */
export function asksForToken(body: JsonObject | undefined): body is JsonObject {
  return body?.createTokenWithScopes !== undefined && body.createTokenWithScopes !== null;
}

function parseToken(scopes: unknown, expiresInMinutes: unknown): TokenRequest {
  return { scopes: parseScopes(scopes), lifetimeMinutes: parseLifetime(expiresInMinutes) };
}

/** The answer to an empty list is recorded; the wording for an unknown scope or another type is a guess. */
function parseScopes(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw validationError("Invalid scopes - Scopes must be a list of strings.", "scopes");
  if (value.length === 0) throw validationError("Invalid scopes - Scopes field is required.", "scopes");
  const stranger: unknown = value.find((scope) => !SCOPES.has(scope));
  if (stranger === undefined) return [...new Set<string>(value)];
  throw validationError(`Invalid scopes - ${shown(stranger)} is not one of ${[...SCOPES].join(", ")}.`, "scopes");
}

function parseLifetime(value: unknown): number {
  if (value === undefined || value === null) return MAX_LIFETIME_MINUTES;
  if (typeof value === "number" && Number.isInteger(value)) {
    if (value >= MIN_LIFETIME_MINUTES && value <= MAX_LIFETIME_MINUTES) return value;
  }
  const interval = `[${MIN_LIFETIME_MINUTES}, ${MAX_LIFETIME_MINUTES}]`;
  const message = `ExpiresInMinutes value ${shown(value)} is invalid. Value must be within the ${interval} interval.`;
  throw validationError(message, "ExpiresInMinutes");
}

function shown(value: unknown): string {
  return JSON.stringify(value).slice(0, 100);
}
