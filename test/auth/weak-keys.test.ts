import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { rsaWeakness } from "../../src/auth/weak-keys.js";
import { rsaPrimes } from "../security/weak-rsa.js";

const product = (numbers: readonly bigint[]) => numbers.reduce((one, other) => one * other, 1n);

describe("an RSA modulus", () => {
  it("is weak with the fingerprint of CVE-2017-15361: a power of 65537 by each of the telling primes", () => {
    const primes = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157].map(BigInt);
    const modulus = product(primes);
    const padding = modulus << BigInt(2047 - modulus.toString(2).length);
    // Any multiple of the primes' product leaves the remainders as they are; an odd number without a small factor is found soon.
    const found = Array.from({ length: 2000 }, (_, n) => 65_537n ** 5n + padding + BigInt(2 * n) * modulus)
      .map(rsaWeakness)
      .filter((weakness) => weakness !== undefined && !weakness.includes("small factor"));
    expect(found.length).toBeGreaterThan(0);
    expect(new Set(found)).toEqual(new Set(["was made by a faulty library (CVE-2017-15361)"]));
  });

  it("is weak with factors close to each other, or with a small one", () => {
    expect(rsaWeakness(product(rsaPrimes.close()))).toBe("has factors too close to each other");
    const [prime = 0n] = rsaPrimes.close();
    expect(rsaWeakness(prime * prime)).toBe("has factors too close to each other");
    expect(rsaWeakness(product(rsaPrimes.small()))).toBe("has a small factor");
    expect(rsaWeakness(2n * product(rsaPrimes.close()))).toBe("has a small factor");
  });

  it("is not weak when a sound library made it", () => {
    for (let n = 0; n < 10; n++) {
      const { n: modulus = "" } = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({
        format: "jwk",
      });
      expect(rsaWeakness(BigInt(`0x${Buffer.from(modulus, "base64url").toString("hex")}`))).toBeUndefined();
    }
  });
});
