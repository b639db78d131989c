import { describe, expect, it } from "vitest";
import { checkClaims, isInTime } from "../../src/auth/claims.js";
import type { VerifiedToken } from "../../src/auth/token-memory.js";
import type { IssuerConfig } from "../../src/config/config.js";
import { refusalOf } from "./refusal.js";

const NOW = 1_800_000_000;
const TOLERANCE = 5;
const LAST_SECOND = 253_402_300_799;
const CONFIG = {
  audience: ["us", "also us"],
  clockToleranceSeconds: TOLERANCE,
  subjectClaim: "oid",
} as Partial<IssuerConfig> as IssuerConfig;
const GOOD = { iat: NOW - 10, exp: NOW + 10, aud: "us", sub: "s", oid: "o" };

const judge = (changes: object, now = NOW) => refusalOf(() => checkClaims({ ...GOOD, ...changes }, CONFIG, now * 1000));
const remembered = (changes: object) =>
  ({ claims: { ...GOOD, ...changes }, issuer: { config: CONFIG } }) as unknown as VerifiedToken;

describe("the claims of a token", () => {
  it("name the user by the claim that is configured", () => {
    expect(checkClaims(GOOD, CONFIG, NOW * 1000)).toEqual({ subject: "o" });
  });

  it("are good to the second, and to the tolerance of the clock", () => {
    expect(judge({}, GOOD.exp + TOLERANCE - 1)).toBeUndefined();
    expect(judge({}, GOOD.exp + TOLERANCE)).toEqual(["expired", "exp is past"]);
    const early = ["not_yet_valid", "iat or nbf is in the future"];
    expect(judge({ iat: NOW + TOLERANCE })).toBeUndefined();
    expect(judge({ iat: NOW + TOLERANCE + 1 })).toEqual(early);
    expect(judge({ nbf: NOW + TOLERANCE })).toBeUndefined();
    expect(judge({ nbf: NOW + TOLERANCE + 1 })).toEqual(early);
  });

  it("end after they begin", () => {
    expect(judge({ iat: NOW, exp: NOW + 1 })).toBeUndefined();
    expect(judge({ iat: NOW, exp: NOW })).toEqual(["bad_claims", "exp is not after iat"]);
  });

  it.each(["exp", "iat", "nbf"])("have whole seconds of this age for %s", (name) => {
    for (const value of [null, "1", 1.5, -1, LAST_SECOND + 1, Number.NaN]) {
      expect([value, judge({ [name]: value })]).toEqual([
        value,
        ["bad_claims", `${name} is not a sane number of seconds`],
      ]);
    }
  });

  it("may last to the end of this age, and be good from the beginning of time on", () => {
    expect(judge({ exp: LAST_SECOND })).toBeUndefined();
    expect(judge({ nbf: 0 })).toBeUndefined();
    expect(judge({ nbf: 1 })).toBeUndefined();
    expect(judge({ nbf: undefined })).toBeUndefined();
    expect(judge({ iat: 0 })?.[0]).toBe("bad_claims");
    expect(judge({ iat: 1 })).toBeUndefined();
  });

  it("are for us, to the letter", () => {
    for (const aud of ["us", "also us", ["other", "us"]]) expect(judge({ aud })).toBeUndefined();
    for (const aud of ["Us", "u", ["other"], []]) {
      expect(judge({ aud })).toEqual(["wrong_audience", "aud has none of the configured audiences"]);
    }
    for (const aud of [undefined, null, 1, "", ["us", 1], ["us", ""], { us: "us" }]) {
      expect(judge({ aud })).toEqual(["bad_claims", "aud is not a text or a list of texts"]);
    }
  });

  it.each(["nonce", "at_hash", "c_hash", "s_hash", "events"])("are of another kind of token with %s", (name) => {
    expect(judge({ [name]: undefined })).toEqual(["wrong_type", `claim ${name} is of another kind`]);
  });

  it("are of another kind of token by what they say of their type", () => {
    const other = ["wrong_type", "claim typ or token_use is of another kind"];
    for (const typ of ["ID", "Refresh", "Offline", "Logout"]) expect(judge({ typ })).toEqual(other);
    expect(judge({ token_use: "id" })).toEqual(other);
    expect(judge({ typ: "Bearer", token_use: "access" })).toBeUndefined();
    expect(judge({ typ: ["ID"] })).toBeUndefined();
  });

  it.each(["sub", "oid"])("have a text of 1 to 255 characters that can be stored for %s", (name) => {
    expect(judge({ [name]: "x".repeat(255) })).toBeUndefined();
    for (const value of [undefined, 1, "", "x".repeat(256), ["s"]]) {
      expect(judge({ [name]: value })).toEqual(["bad_claims", `${name} is not a text of 1 to 255 characters`]);
    }
    expect(judge({ [name]: "a\0" })).toEqual(["bad_claims", `${name} has a NUL or a lone surrogate`]);
  });

  it("have it themselves: what every object has is no claim", () => {
    const config = { ...CONFIG, subjectClaim: "inherited" };
    const claims = Object.assign(Object.create({ inherited: "o" }) as object, GOOD);
    expect(refusalOf(() => checkClaims(claims, config, NOW * 1000))?.[0]).toBe("bad_claims");
  });
});

describe("a remembered token", () => {
  it("has its time", () => {
    expect(isInTime(remembered({}), NOW * 1000)).toBe(true);
    expect(isInTime(remembered({}), (GOOD.exp + TOLERANCE) * 1000)).toBe(false);
    expect(isInTime(remembered({ iat: NOW + TOLERANCE + 1, exp: NOW + 20 }), NOW * 1000)).toBe(false);
  });

  it("is not taken for an old one when something else fails", () => {
    const broken = remembered({});
    Object.defineProperty(broken, "claims", {
      value: {
        get exp(): number {
          throw new RangeError("broken");
        },
      },
    });
    expect(() => isInTime(broken, NOW * 1000)).toThrow(RangeError);
  });
});
