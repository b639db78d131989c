import { describe, expect, it } from "vitest";
import { checkRequiredClaims, checkType, normalisedType } from "../../src/auth/profiles.js";
import type { IssuerProfile } from "../../src/config/config.js";
import { refusalOf } from "./refusal.js";

const CLAIMS = {
  rfc9068: { client_id: "c", jti: "j" },
  entra: { oid: "o", tid: "t", azp: "a", ver: "2.0" },
  generic: {},
};

describe.each<[IssuerProfile, (string | undefined)[]]>([
  ["rfc9068", ["at+jwt"]],
  ["entra", ["jwt"]],
  ["generic", ["at+jwt", "jwt", undefined]],
])("the profile %s", (profile, types) => {
  it(`takes typ ${types.join(" or ")}`, () => {
    const offered = ["at+jwt", "jwt", undefined, "id+jwt", "dpop+jwt", "logout+jwt", ""];
    const taken = offered.filter(
      (typ) => !refusalOf(() => checkType(profile, { alg: "ES256", ...(typ !== undefined && { typ }) })),
    );
    expect(new Set(taken)).toEqual(new Set(types));
    expect(refusalOf(() => checkType(profile, { alg: "ES256", typ: "id+jwt" }))).toEqual([
      "wrong_type",
      `typ is not one that profile ${profile} accepts`,
    ]);
  });

  it("wants all of its claims", () => {
    const good = CLAIMS[profile];
    const judge = (changes: object) => refusalOf(() => checkRequiredClaims(profile, { ...good, ...changes }));
    expect(judge({})).toBeUndefined();
    for (const name of Object.keys(good).filter((claim) => claim !== "ver")) {
      for (const value of [undefined, null, "", 1, ["x"]]) {
        expect(judge({ [name]: value })).toEqual(["bad_claims", `claim ${name} is missing or no text`]);
      }
    }
  });
});

it("Entra ID's tokens are of version 2.0", () => {
  for (const ver of [undefined, "1.0", 2, ""]) {
    expect(refusalOf(() => checkRequiredClaims("entra", { ...CLAIMS.entra, ver }))).toEqual([
      "bad_claims",
      "claim ver is not 2.0",
    ]);
  }
});

it("a typ is the same in any case, and with application/ before it", () => {
  for (const typ of ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"]) {
    expect(normalisedType(typ)).toBe("at+jwt");
  }
  expect(normalisedType("x-application/at+jwt")).toBe("x-application/at+jwt");
  expect(normalisedType("application/")).toBe("");
  expect(normalisedType(undefined)).toBeNull();
});
