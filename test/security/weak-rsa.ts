import { checkPrimeSync, createPrivateKey, createPublicKey, generatePrimeSync, type KeyObject } from "node:crypto";
import { base64url } from "../fixtures/issuer.js";

const EXPONENT = 65_537n;

type Primes = readonly [bigint, bigint];

/** Primes that nobody should use. */
export const rsaPrimes = {
  /** Two neighbours. */
  close: (): Primes => {
    const one = generatePrimeSync(1024, { bigint: true });
    let other = one + 2n;
    while (!checkPrimeSync(other)) other += 2n;
    return [one, other];
  },
  /** One of 11 bits, and one that makes up for it. */
  small: (): Primes => [1999n, generatePrimeSync(2040, { bigint: true })],
};

/** Of 9216 bits, and without a small factor; base64url. */
export function hugeModulus(): string {
  const primes = Array.from({ length: 9 }, () => generatePrimeSync(1024, { bigint: true }));
  return encode(primes.reduce((product, prime) => product * prime, 1n));
}

export function rsaPairOf([p, q]: Primes): { privateKey: KeyObject; publicKey: KeyObject } {
  const d = inverse(EXPONENT, (p - 1n) * (q - 1n));
  const numbers = { n: p * q, e: EXPONENT, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const jwk = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, encode(value)]));
  const privateKey = createPrivateKey({ key: { kty: "RSA", ...jwk }, format: "jwk" });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

function encode(value: bigint): string {
  const hex = value.toString(16);
  return base64url(Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex"));
}

/** By the extended Euclidean algorithm. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [rest, next] = [modulus, value % modulus];
  let [factor, nextFactor] = [0n, 1n];
  while (next > 0n) {
    const quotient = rest / next;
    [rest, next] = [next, rest - quotient * next];
    [factor, nextFactor] = [nextFactor, factor - quotient * nextFactor];
  }
  return ((factor % modulus) + modulus) % modulus;
}
