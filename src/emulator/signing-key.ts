import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { setting, settle } from "./database.js";

export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  /** The service's tokens carry the thumbprint of a certificate; here it is that of the public key. */
  readonly x5t: string;
  /** The published key, as in a JWKS. */
  readonly jwk: Readonly<Record<string, string>>;
}

/** The key stored in the database; one is made on first use, which takes up to some hundred milliseconds. */
export async function loadSigningKey(database: DatabaseSync): Promise<SigningKey> {
  const stored = setting(database, "signingKey") ?? settle(database, "signingKey", await generatePem());
  const privateKey = createPrivateKey(stored);
  const publicKey = createPublicKey(stored);
  const { n = "", e = "" } = publicKey.export({ format: "jwk" });
  const kid = createHash("sha256")
    .update(JSON.stringify({ e, kty: "RSA", n }))
    .digest("base64url");
  const x5t = createHash("sha1")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("base64url");
  return { privateKey, publicKey, kid, x5t, jwk: { kty: "RSA", use: "sig", alg: "RS256", kid, n, e } };
}

async function generatePem(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: 2048 });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}
