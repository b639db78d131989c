import { invalidAccessToken, validationError } from "./errors.js";
import { isGuid } from "./guid.js";
import type { JsonObject } from "./http.js";
import { decodeSegment } from "./tokens.js";

/** A Teams user, known by the Microsoft Entra ID access token that the application got for them. */
export interface TeamsUser {
  /** `8:orgid:<object id of the user>` */
  readonly id: string;
  /** When the Entra token ends, and so the exchanged one: ms since 1970. */
  readonly expiresAt: number;
}

/** The last second that `expiresOn` can show. */
const END_OF_9999 = 253_402_300_799;

/**
 * The token is judged first, then the ids, as the service does. It is only decoded: any signature, issuer, audience and
 * permission is accepted, so that a developer can make one up. It must not have expired, and its `appid` (or `azp`)
 * and `oid` must be those of the request where it has them.
 */
export function parseExchange(body: JsonObject | undefined, now: number): TeamsUser {
  const claims = decodeEntraToken(body?.token, now);
  const appId = parseId(body?.appId, "AppId");
  const userId = parseId(body?.userId, "UserId");
  if (contradicts(claims.appid ?? claims.azp, appId)) {
    throw validationError("AAD application is not the expected one.", "appId");
  }
  if (contradicts(claims.oid, userId))
    throw validationError("Provided AAD token issued for unexpected user.", "userId");
  return { id: `8:orgid:${userId}`, expiresAt: claims.exp * 1000 };
}

function decodeEntraToken(token: unknown, now: number): JsonObject & { exp: number } {
  if (typeof token !== "string" || token.split(".").length !== 3) throw invalidAccessToken();
  const claims = decodeSegment(token, 1);
  if (decodeSegment(token, 0) === undefined || claims === undefined) throw invalidAccessToken();
  const { exp } = claims;
  if (typeof exp !== "number" || exp * 1000 <= now || exp > END_OF_9999) throw invalidAccessToken();
  return { ...claims, exp };
}

function parseId(value: unknown, name: "AppId" | "UserId"): string {
  if (value === undefined || value === null || value === "") {
    throw validationError(`${name}: The ${name} field is required.`, name);
  }
  if (typeof value === "string" && isGuid(value)) return value.toLowerCase();
  throw validationError(`Provided ${name} has invalid format.`, name === "AppId" ? "appId" : "userId");
}

function contradicts(claim: unknown, id: string): boolean {
  return claim !== undefined && String(claim).toLowerCase() !== id;
}
