import type { IssuerConfig } from "../config/config.js";
import { isStorable } from "../text.js";
import { MAX_SUBJECT_LENGTH } from "./caller.js";
import { AuthenticationFailure } from "./failure.js";
import type { VerifiedToken } from "./token-memory.js";

type Claims = Readonly<Record<string, unknown>>;

/** Midnight before the year 10000: beyond it lies a mistake, such as milliseconds. */
const LAST_SECOND = 253_402_300_799;

/** The claims of a token whose signature is verified. Throws an `AuthenticationFailure`. */
export function checkClaims(claims: Claims, config: IssuerConfig, now: number): { readonly subject: string } {
  checkTimes(claims, config, now);
  checkAudience(claims, config.audience);
  refuseOtherKinds(claims);
  readText(claims, "sub");
  return { subject: readText(claims, config.subjectClaim) };
}

/**
 * What changes while a token is remembered: whether it is its time (RFC 7519 §4.1.4 to §4.1.6). `exp` and `iat` are
 * required; whole seconds since 1970, so that no rounding is argued about.
 */
function checkTimes(claims: Claims, { clockToleranceSeconds }: IssuerConfig, now: number): void {
  const seconds = now / 1000;
  const exp = readTime(claims, "exp");
  const iat = readTime(claims, "iat");
  // From the beginning of time on is a way to say: no limit.
  const nbf = claims.nbf === undefined || claims.nbf === 0 ? iat : readTime(claims, "nbf");
  if (exp <= iat) throw bad("exp is not after iat");
  if (exp <= seconds - clockToleranceSeconds) throw new AuthenticationFailure("expired", "exp is past");
  if (Math.max(iat, nbf) > seconds + clockToleranceSeconds) {
    throw new AuthenticationFailure("not_yet_valid", "iat or nbf is in the future");
  }
}

/** Whether it is still the time of a token that was good before. */
export function isInTime({ claims, issuer }: VerifiedToken, now: number): boolean {
  try {
    checkTimes(claims, issuer.config, now);
    return true;
  } catch (error) {
    if (error instanceof AuthenticationFailure) return false;
    throw error;
  }
}

export function readTime(claims: Claims, name: string): number {
  const value = claims[name];
  if (typeof value === "number" && Number.isInteger(value) && value > 0 && value <= LAST_SECOND) return value;
  throw bad(`${name} is not a sane number of seconds`);
}

/** RFC 7519 §4.1.3: a text or a list of texts; one of them is ours, to the letter. */
function checkAudience({ aud }: Claims, accepted: readonly string[]): void {
  const named: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (named.some((name) => typeof name !== "string" || name === "")) throw bad("aud is not a text or a list of texts");
  if (!named.some((name) => accepted.includes(String(name)))) {
    throw new AuthenticationFailure("wrong_audience", "aud has none of the configured audiences");
  }
}

/**
 * What tells another kind of JWT from an access token, whatever its `typ` says: ID tokens (OpenID Connect Core §2 and
 * §3.3.2.11; what Keycloak and Cognito add), and logout and other security event tokens (RFC 8417 §2.2).
 */
function refuseOtherKinds(claims: Claims): void {
  const telltale = OTHER_CLAIMS.find((claim) => Object.hasOwn(claims, claim));
  if (telltale !== undefined) throw new AuthenticationFailure("wrong_type", `claim ${telltale} is of another kind`);
  const { typ, token_use } = claims;
  if ((typeof typ === "string" && OTHER_TYPES.includes(typ)) || token_use === "id") {
    throw new AuthenticationFailure("wrong_type", "claim typ or token_use is of another kind");
  }
}

const OTHER_CLAIMS = ["nonce", "at_hash", "c_hash", "s_hash", "events"];
const OTHER_TYPES = ["ID", "Refresh", "Offline", "Logout"];

function readText(claims: Claims, name: string): string {
  const text = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (typeof text !== "string" || text === "" || text.length > MAX_SUBJECT_LENGTH) {
    throw bad(`${name} is not a text of 1 to ${MAX_SUBJECT_LENGTH} characters`);
  }
  if (!isStorable(text)) throw bad(`${name} has a NUL or a lone surrogate`);
  return text;
}

function bad(detail: string): AuthenticationFailure {
  return new AuthenticationFailure("bad_claims", detail);
}
