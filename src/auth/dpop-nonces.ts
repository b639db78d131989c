import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import type { Secret } from "../config/secret.js";

/** A nonce is good until the end of the period after the one in which it was made. */
const PERIOD_MS = 120_000;

/**
 * The nonces of DPoP proofs (RFC 9449 §8), which show that a proof was made just now and not ahead of time. A nonce is the
 * number of its period and a keyed hash of that, so that instances that share a key take each other's and none is kept.
 */
export class DpopNonces {
  readonly #keys: readonly Buffer[];
  readonly #now: () => number;

  /** Keys are 32 bytes in base64: the first makes nonces, all are accepted, so that a rotation refuses nobody. */
  constructor(keys: readonly Secret[], now: () => number) {
    this.#keys = keys.map((key) => deriveKey(key.bytes()));
    this.#now = now;
  }

  current(): string {
    const [key] = this.#keys;
    if (key === undefined) throw new Error("nonces need a key");
    return write(key, this.#period());
  }

  isGood(nonce: string): boolean {
    const period = this.#period();
    return this.#keys.some((key) => [period, period - 1].some((made) => isSame(nonce, write(key, made))));
  }

  #period(): number {
    return Math.floor(this.#now() / PERIOD_MS);
  }
}

/** A key of its own for this purpose (RFC 5869). */
function deriveKey(key: Buffer): Buffer {
  return Buffer.from(hkdfSync("sha256", key, "", "acs-token-gateway/dpop-nonce/1", 32));
}

function write(key: Buffer, period: number): string {
  return `${period.toString(36)}.${createHmac("sha256", key).update(String(period)).digest("base64url")}`;
}

function isSame(one: string, other: string): boolean {
  const [given, made] = [Buffer.from(one), Buffer.from(other)];
  return given.length === made.length && timingSafeEqual(given, made);
}
