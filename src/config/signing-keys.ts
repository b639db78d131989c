/** Ed25519 keys (RFC 8032), as they are written in configuration and files. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";

/** From PKCS#8, as PEM or as DER in base64. Undefined for anything else. */
export function readSigningKey(text: string): KeyObject | undefined {
  return ed25519(() =>
    text.includes("-----BEGIN")
      ? createPrivateKey(text)
      : createPrivateKey({ key: Buffer.from(text, "base64"), format: "der", type: "pkcs8" }),
  );
}

/** From SPKI, as PEM or as DER in base64. Undefined for anything else, private keys too. */
export function readPublicKey(text: string): KeyObject | undefined {
  return ed25519(() =>
    text.includes("-----BEGIN PUBLIC KEY")
      ? createPublicKey(text)
      : createPublicKey({ key: Buffer.from(text, "base64"), format: "der", type: "spki" }),
  );
}

function ed25519(read: () => KeyObject): KeyObject | undefined {
  try {
    const key = read();
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
