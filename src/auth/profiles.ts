import type { JWTHeaderParameters, JWTPayload } from "jose";
import type { IssuerProfile } from "../config/config.js";

interface ProfileRules {
  /** Accepted `typ` header values, in lower case and without `application/`; null stands for no `typ` at all. */
  readonly types: readonly (string | null)[];
  readonly requiredClaims: readonly string[];
  readonly exactClaims?: Readonly<Record<string, string>>;
}

const PROFILES: Readonly<Record<IssuerProfile, ProfileRules>> = {
  // RFC 9068 §2.1 and §2.2
  rfc9068: { types: ["at+jwt"], requiredClaims: ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] },
  // Microsoft identity platform, access token claims, v2.0
  entra: {
    types: ["jwt"],
    requiredClaims: ["iss", "exp", "aud", "sub", "iat", "oid", "tid", "azp"],
    exactClaims: { ver: "2.0" },
  },
  generic: { types: [null, "jwt", "at+jwt"], requiredClaims: ["iss", "exp", "aud", "sub", "iat"] },
};

/** Claims of an ID token (OpenID Connect Core §2, §3.1.3.6): it tells an app who signed in and is no key to an API. */
const ID_TOKEN_CLAIMS = ["nonce", "at_hash"];

/** Why the token does not fit the profile; undefined when it does. */
export function profileViolation(
  profile: IssuerProfile,
  header: JWTHeaderParameters,
  claims: JWTPayload,
): string | undefined {
  const rules = PROFILES[profile];
  if (!rules.types.includes(normalisedType(header.typ))) return `typ is not one that profile ${profile} accepts`;
  const missing = rules.requiredClaims.find((claim) => !isPresent(claims[claim]));
  if (missing !== undefined) return `claim ${missing} is missing`;
  const wrong = Object.entries(rules.exactClaims ?? {}).find(([claim, value]) => claims[claim] !== value);
  if (wrong !== undefined) return `claim ${wrong[0]} is not ${wrong[1]}`;
  const telltale = ID_TOKEN_CLAIMS.find((claim) => Object.hasOwn(claims, claim));
  if (telltale !== undefined) return `claim ${telltale} marks an ID token`;
  return undefined;
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null && value !== "";
}

/** RFC 7515 §4.1.9: `application/` may be left out; media types ignore case. */
function normalisedType(typ: unknown): string | null {
  if (typ === undefined) return null;
  return String(typ)
    .toLowerCase()
    .replace(/^application\//, "");
}
