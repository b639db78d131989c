import type { IssuerProfile } from "../config/config.js";
import type { CompactJws } from "./compact-jws.js";
import { AuthenticationFailure } from "./failure.js";

interface ProfileRules {
  /** Accepted `typ` header values, in lower case and without `application/`; null stands for no `typ` at all. */
  readonly types: readonly (string | null)[];
  /** Beside those of every profile (claims.ts): texts that are not empty. */
  readonly requiredTexts: readonly string[];
  readonly exactClaims?: Readonly<Record<string, string>>;
}

const PROFILES: Readonly<Record<IssuerProfile, ProfileRules>> = {
  // RFC 9068 §2.1 and §2.2
  rfc9068: { types: ["at+jwt"], requiredTexts: ["client_id", "jti"] },
  // Microsoft identity platform, access token claims, v2.0
  entra: {
    types: ["jwt"],
    requiredTexts: ["oid", "tid", "azp"],
    exactClaims: { ver: "2.0" },
  },
  generic: { types: [null, "jwt", "at+jwt"], requiredTexts: [] },
};

/** Throws an `AuthenticationFailure` for a `typ` that the profile does not accept. */
export function checkType(profile: IssuerProfile, { typ }: CompactJws["header"]): void {
  if (PROFILES[profile].types.includes(normalisedType(typ))) return;
  throw new AuthenticationFailure("wrong_type", `typ is not one that profile ${profile} accepts`);
}

/** Throws an `AuthenticationFailure` for a claim that the profile requires and the token lacks. */
export function checkRequiredClaims(profile: IssuerProfile, claims: CompactJws["payload"]): void {
  const { requiredTexts, exactClaims = {} } = PROFILES[profile];
  const missing = requiredTexts.find((claim) => typeof claims[claim] !== "string" || claims[claim] === "");
  if (missing !== undefined) throw new AuthenticationFailure("bad_claims", `claim ${missing} is missing or no text`);
  const wrong = Object.entries(exactClaims).find(([claim, value]) => claims[claim] !== value);
  if (wrong !== undefined) throw new AuthenticationFailure("bad_claims", `claim ${wrong[0]} is not ${wrong[1]}`);
}

/** RFC 7515 §4.1.9: `application/` may be left out; media types ignore case. */
export function normalisedType(typ: string | undefined): string | null {
  return typ === undefined ? null : typ.toLowerCase().replace(/^application\//, "");
}
