import { createHmac, createSecretKey } from "node:crypto";
import type { Secret } from "../config/secret.js";

/** Sets these hashes apart from whatever else is made with the same key. */
const PURPOSE = "acs-token-gateway/token-fingerprint/1";

/** Stands for a token in the trail: base64url, the same for the same token under the same key. */
export type Fingerprint = (token: string) => string;

/**
 * HMAC-SHA-256 under a key of its own, derived from the audit key (32 bytes, base64): whoever has a leaked token and the key
 * finds its records, and a list of fingerprints says nothing about any token.
 */
export function createFingerprint(auditKey: Secret): Fingerprint {
  const derived = createHmac("sha256", auditKey.bytes()).update(PURPOSE).digest();
  // Node takes a buffer apart anew at each use.
  const key = createSecretKey(derived);
  return (token) => createHmac("sha256", key).update(token).digest("base64url");
}
