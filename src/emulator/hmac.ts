import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { denied } from "./errors.js";
import type { Received } from "./http.js";
import type { AccessKey } from "./resource.js";

const MAX_SKEW_MS = 5 * 60_000;
const AUTHORIZATION =
  /^HMAC-SHA256 SignedHeaders=(x-ms-date|date);host;x-ms-content-sha256&Signature=([A-Za-z0-9+/]{43}=)$/;

/**
 * The access key that signed the request; every fault gives the same 401. The signature covers the verb, the request
 * target as it stands on the wire, the date, the host as the client named it, and the hash of the body.
 *
 * A bearer token is refused too: only Microsoft Entra ID could say whether it is good.
 */
export function authenticate(request: Received, keys: readonly AccessKey[], now: number): AccessKey {
  const [, dateHeader = "", signature = ""] = AUTHORIZATION.exec(request.headers.authorization ?? "") ?? [];
  const date = String(request.headers[dateHeader] ?? "");
  const contentHash = createHash("sha256").update(request.body).digest("base64");
  if (!isRecent(date, now) || request.headers["x-ms-content-sha256"] !== contentHash) throw denied();

  const stringToSign = `${request.method}\n${request.url}\n${date};${request.headers.host ?? ""};${contentHash}`;
  const signer = keys.find((key) => matches(signature, stringToSign, key));
  if (signer === undefined) throw denied();
  return signer;
}

/** Only the fixed form of RFC 9110 §5.6.7 (RFC 1123) survives the round trip. */
function isRecent(date: string, now: number): boolean {
  const at = new Date(date);
  return at.toUTCString() === date && Math.abs(now - at.getTime()) <= MAX_SKEW_MS;
}

function matches(signature: string, stringToSign: string, key: AccessKey): boolean {
  const expected = createHmac("sha256", Buffer.from(key.value, "base64")).update(stringToSign).digest();
  return timingSafeEqual(expected, Buffer.from(signature, "base64"));
}
