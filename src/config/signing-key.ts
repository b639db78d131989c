import { createPrivateKey, type KeyObject } from "node:crypto";

/** An Ed25519 key (RFC 8032) from PKCS#8, as PEM or as DER in base64. Undefined for anything else. */
export function readSigningKey(text: string): KeyObject | undefined {
  try {
    const key = text.includes("-----BEGIN")
      ? createPrivateKey(text)
      : createPrivateKey({ key: Buffer.from(text, "base64"), format: "der", type: "pkcs8" });
    return key.asymmetricKeyType === "ed25519" ? key : undefined;
  } catch {
    return undefined;
  }
}
