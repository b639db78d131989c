import { describe, expect, it } from "vitest";
import { algorithmFits, allows, PROOF_ALGORITHMS } from "../../src/auth/algorithms.js";

const FITTING = {
  RS256: "RSA",
  RS384: "RSA",
  RS512: "RSA",
  PS256: "RSA",
  PS384: "RSA",
  PS512: "RSA",
  ES256: "EC P-256",
  ES384: "EC P-384",
  ES512: "EC P-521",
  EdDSA: "OKP Ed25519",
  Ed25519: "OKP Ed25519",
};
const KEYS = ["RSA", "EC", "EC P-256", "EC P-384", "EC P-521", "EC secp256k1", "OKP", "OKP Ed25519", "OKP X25519"];
const OTHERS = ["oct", "oct P-256", "EC Ed25519", "OKP P-256"];

describe("an algorithm", () => {
  it.each(Object.entries(FITTING))("%s takes keys of one type and curve: %s", (alg, fitting) => {
    const taken = [...KEYS, ...OTHERS].filter((key) => {
      const [kty, crv] = key.split(" ");
      return algorithmFits(alg, { kty, crv });
    });
    expect(taken).toEqual([fitting]);
  });

  it("of RSA does not care for a curve, which has no meaning there", () => {
    expect(algorithmFits("RS256", { kty: "RSA", crv: "P-256" })).toBe(true);
  });

  it.each(["none", "HS256", "RSA1_5", "ES256K", "es256", "", "constructor"])(
    "that is not known takes none: %j",
    (alg) => {
      expect(KEYS.filter((kty) => algorithmFits(alg, { kty }))).toEqual([]);
      expect(algorithmFits(alg, {})).toBe(false);
    },
  );

  it("of a proof is any that is known", () => {
    expect(PROOF_ALGORITHMS).toEqual(Object.keys(FITTING));
  });

  it("is allowed when it is in the list, Ed25519 also by its older name", () => {
    expect(allows(["ES256", "RS256"], "RS256")).toBe(true);
    expect(allows(["ES256"], "RS256")).toBe(false);
    expect(allows([], "RS256")).toBe(false);
    expect(allows(["EdDSA"], "Ed25519")).toBe(true);
    expect(allows(["Ed25519"], "EdDSA")).toBe(false);
    expect(allows(["ES256"], "Ed25519")).toBe(false);
    expect(allows(["EdDSA"], "ES256")).toBe(false);
  });
});
