import { createHmac } from "node:crypto";
import type { Secret } from "../config/secret.js";
import type { ApplicationUser } from "./identity.js";

/** Sets these hashes apart from whatever else is made with the same key. */
const PURPOSE = "acs-token-gateway/user/1";

/**
 * Stands for a user whose names must not be kept: HMAC-SHA-256 in base64url, the same for the same user under the same
 * key. Without the key (32 bytes, base64) it cannot be made for a guessed subject.
 */
export function hashUser({ issuer, subject }: ApplicationUser, auditKey: Secret): string {
  // JSON keeps the parts apart, and lone surrogates too, which UTF-8 would all turn into the same character.
  const text = JSON.stringify([PURPOSE, issuer, subject]);
  return createHmac("sha256", auditKey.bytes()).update(text).digest("base64url");
}
