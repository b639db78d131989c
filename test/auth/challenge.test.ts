import { describe, expect, it } from "vitest";
import { challengesFor } from "../../src/auth/challenge.js";
import { AuthenticationFailure, type FailureReason } from "../../src/auth/failure.js";

const ALGORITHMS = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519";
const BEARER = 'Bearer realm="acs-token-gateway"';
const DPOP = `DPoP realm="acs-token-gateway", algs="${ALGORITHMS}"`;

const challenges = (reason: FailureReason, authorization?: string) =>
  challengesFor(new AuthenticationFailure(reason, "detail"), authorization);

describe("the challenge", () => {
  it("names both schemes and no error when no token came", () => {
    expect(challenges("no_token")).toEqual([BEARER, DPOP]);
    expect(challenges("no_token", "")).toEqual([BEARER, DPOP]);
  });

  it("is of the scheme that the token came with, and of Bearer when there was none to tell", () => {
    expect(challenges("expired", "Bearer a")).toEqual([`${BEARER}, error="invalid_token"`]);
    expect(challenges("malformed", "Basic dpop a")).toEqual([`${BEARER}, error="invalid_token"`]);
    expect(challenges("malformed")).toEqual([`${BEARER}, error="invalid_token"`]);
    expect(challenges("expired", "dPoP a")).toEqual([`${DPOP}, error="invalid_token"`]);
  });

  it("tells a bearer token that lacks proof of the other scheme", () => {
    expect(challenges("no_proof", "Bearer a")).toEqual([`${BEARER}, error="invalid_token"`, DPOP]);
    expect(challenges("no_proof", "DPoP a")).toEqual([`${DPOP}, error="invalid_token"`]);
  });

  it.each<[FailureReason, string]>([
    ["bad_proof", "invalid_dpop_proof"],
    ["used_proof", "invalid_dpop_proof"],
    ["nonce_needed", "use_dpop_nonce"],
  ])("of a proof says what is wrong with it: %s", (reason, error) => {
    for (const authorization of ["DPoP a", undefined]) {
      expect(challenges(reason, authorization)).toEqual([`${DPOP}, error="${error}"`]);
    }
  });
});
