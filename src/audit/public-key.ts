import { createHash, createPublicKey, type KeyObject } from "node:crypto";

/** An Ed25519 key from SPKI in PEM. Undefined for anything else. */
export function readPublicKey(text: string): KeyObject | undefined {
  try {
    const key = createPublicKey(text);
    return key.asymmetricKeyType === "ed25519" ? key : undefined;
  } catch {
    return undefined;
  }
}

/** SPKI in base64, and its SHA-256 in base64url. */
export function describePublicKey(publicKey: KeyObject): { readonly keyId: string; readonly publicKey: string } {
  const der = publicKey.export({ format: "der", type: "spki" });
  return { keyId: createHash("sha256").update(der).digest("base64url"), publicKey: der.toString("base64") };
}
