import { checkPrimeSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { rsaWeakness } from "../../src/auth/weak-keys.js";

/** Mersenne's primes of 61 and 89 bits, which are far from each other. */
const [ONE, OTHER] = [2n ** 61n - 1n, 2n ** 89n - 1n];
const TELLING_PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157].map(BigInt);
const PRODUCT = TELLING_PRIMES.reduce((one, other) => one * other);

/** The first of these for which the condition holds. */
function first(start: bigint, step: bigint, condition: (number: bigint) => boolean): bigint {
  let number = start;
  while (!condition(number)) number += step;
  return number;
}

/** Of two primes that Fermat's method finds in this step: a + b and a − b, where a is so many above √(a² − b²), rounded up. */
function foundInStep(step: number): bigint {
  const a = 2n ** 64n;
  const least = BigInt(Math.ceil(Math.sqrt(2 * Number(a) * (step - 1))));
  const b = first(least | 1n, 2n, (odd) => checkPrimeSync(a + odd) && checkPrimeSync(a - odd));
  return (a + b) * (a - b);
}

describe("an RSA modulus", () => {
  it("is not weak when nothing is known against it", () => {
    expect(rsaWeakness(ONE * OTHER)).toBeUndefined();
  });

  it("is weak with a factor below 2000", () => {
    for (let factor = 2; factor < 2000; factor++) {
      expect([factor, rsaWeakness(BigInt(factor) * OTHER)]).toEqual([factor, "has a small factor"]);
    }
    expect(rsaWeakness(2003n * OTHER)).toBeUndefined();
  });

  it("is weak with factors that are found in a hundred steps", () => {
    const close = "has factors too close to each other";
    expect(rsaWeakness(ONE * ONE)).toBe(close);
    for (const step of [1, 2, 50, 100]) expect([step, rsaWeakness(foundInStep(step))]).toEqual([step, close]);
    expect(rsaWeakness(foundInStep(101))).toBeUndefined();
  });

  it("is weak with the fingerprint of CVE-2017-15361: a power of 65537 by each of the telling primes", () => {
    for (const power of [0n, 1n, 5n, 1000n]) {
      const faulty = first(
        65_537n ** power + PRODUCT,
        PRODUCT,
        (number) => rsaWeakness(number) !== "has a small factor",
      );
      expect(rsaWeakness(faulty)).toBe("was made by a faulty library (CVE-2017-15361)");
    }
  });

  it.each(TELLING_PRIMES)("has not that fingerprint when it is no such power by %i", (prime) => {
    const powers = new Set(Array.from({ length: Number(prime) }, (_, power) => 65_537n ** BigInt(power) % prime));
    const sound = first(65_537n, PRODUCT / prime, (number) => {
      return !powers.has(number % prime) && rsaWeakness(number) !== "has a small factor";
    });
    expect(rsaWeakness(sound)).toBeUndefined();
  });
});
