/**
 * A key that may verify signatures. What an issuer publishes, or a DPoP proof brings, is looked at once, here; a key that is
 * weak, meant for something else or not understood does not become a `PublicKey`.
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { calculateJwkThumbprint } from "jose";
import { algorithmFits } from "./algorithms.js";
import { isTextOrAbsent } from "./compact-jws.js";
import { rsaWeakness } from "./weak-keys.js";

export interface PublicKey {
  readonly key: KeyObject;
  readonly kty: string;
  readonly crv: string | undefined;
  readonly kid: string | undefined;
  /** The one algorithm that the key is for, where it says so. */
  readonly alg: string | undefined;
  /** JWK SHA-256 thumbprint (RFC 7638), base64url. */
  readonly thumbprint: string;
}

/** Whether the key can verify a signature of this algorithm. Keys of type OKP know one, by two names (RFC 9864 §2.2). */
export function keyFits({ kty, crv, alg: only }: PublicKey, alg: string): boolean {
  return algorithmFits(alg, { kty, crv }) && (only === undefined || only === alg || kty === "OKP");
}

/** Why a JWK is not used. The message never quotes it. */
export class UnusableKey extends Error {
  override readonly name = "UnusableKey";
}

const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/** Reads a JWK (RFC 7517); one that is among the known is the same object, and not weighed again. Throws `UnusableKey`. */
export async function readPublicKey(jwk: unknown, known: readonly PublicKey[] = []): Promise<PublicKey> {
  if (jwk === null || typeof jwk !== "object") throw new UnusableKey("no JSON object");
  const { kty, crv, kid, alg, use, key_ops: operations } = withoutNulls(jwk);
  if (typeof kty !== "string" || !isTextOrAbsent(crv) || !isTextOrAbsent(kid) || !isTextOrAbsent(alg)) {
    throw new UnusableKey("a member of the wrong type");
  }
  // A private key that is published is everybody's, a shared one was never the issuer's alone.
  if (PRIVATE_MEMBERS.some((name) => Object.hasOwn(jwk, name))) throw new UnusableKey("not a public key");
  // RFC 7517 §4.2 and §4.3
  if (use !== undefined && use !== "sig") throw new UnusableKey("not for signatures");
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) {
    throw new UnusableKey("not for verifying");
  }
  if (alg !== undefined && !algorithmFits(alg, { kty, crv })) throw new UnusableKey("its alg does not fit its type");
  const key = importKey(jwk as JsonWebKey);
  const thumbprint = await calculateJwkThumbprint(key.export({ format: "jwk" }));
  const same = known.filter((other) => other.thumbprint === thumbprint);
  if (same.length === 0) refuseWeak(key, thumbprint);
  return same.find((other) => other.kid === kid && other.alg === alg) ?? { key, kty, crv, kid, alg, thumbprint };
}

/** Some issuers write null for what they leave out. */
function withoutNulls(jwk: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(jwk).filter(([, value]) => value !== null));
}

/** OpenSSL refuses points that are not on their curve. */
function importKey(jwk: JsonWebKey): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: "jwk" });
  } catch (error) {
    throw new UnusableKey("not a sound public key", { cause: error });
  }
}

function refuseWeak(key: KeyObject, thumbprint: string): void {
  if (PUBLISHED_EXAMPLES.has(thumbprint)) throw new UnusableKey("an example whose private key is published");
  if (key.asymmetricKeyType === "rsa") refuseWeakRsa(key);
}

const LEAST_RSA_BITS = 2048;
/** Verification takes time by the square of it: what is longer is there to slow us down. */
const MOST_RSA_BITS = 8192;
/** RFC 8017 §3.1 wants it odd and at least 3; a long one slows verification down. */
const MOST_RSA_EXPONENT = 2n ** 32n;

function refuseWeakRsa(key: KeyObject): void {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < LEAST_RSA_BITS) throw new UnusableKey(`RSA with less than ${LEAST_RSA_BITS} bits`);
  if (modulusLength > MOST_RSA_BITS) throw new UnusableKey(`RSA with more than ${MOST_RSA_BITS} bits`);
  if (publicExponent < 3n || publicExponent % 2n === 0n || publicExponent > MOST_RSA_EXPONENT) {
    throw new UnusableKey("RSA with a bad public exponent");
  }
  const weakness = rsaWeakness(modulusOf(key));
  if (weakness !== undefined) throw new UnusableKey(`RSA modulus ${weakness}`);
}

function modulusOf(key: KeyObject): bigint {
  const { n } = key.export({ format: "jwk" }) as { n: string };
  return BigInt(`0x${Buffer.from(n, "base64url").toString("hex")}`);
}

/** Thumbprints of keys that people paste from examples into what they run: jwt.io's and the RFCs'. */
const PUBLISHED_EXAMPLES: ReadonlySet<string> = new Set([
  "oGDmHqCJ7yzMkWEkrlZVHkvrHIyQwtlDmeq5ForUHeY", // jwt.io, RSA
  "19J8y7Zprt2-QKLjF2I5pVk0OELX6cY2AfaAv1LC_w8", // jwt.io, P-256
  "iTqXXI0zbAnJCKDaobfhkM1f-6rMSpTfyZMRp_2tKI8", // jwt.io, P-384
  "xZDfZpry4P9vZPZyG2fNBRj-7Lz5omVdm7tHoCgSNfY", // jwt.io, P-521
  "IsUn6_e04MaShXFIISMp4kG62LWzMIPy_MvSA5pJgX8", // RFC 7515 appendix A.2, RSA
  "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U", // RFC 7515 appendix A.3, P-256
  "u5YUSjQ2-2chBi51NSk3t3g7IM4o2KYcnPqPtCNGd3U", // RFC 7515 appendix A.4, P-521
  "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s", // RFC 7517 appendix A.2, P-256
  "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", // RFC 7517 appendix A.2, RSA
  "D8R4-FeTJfzuDUy8bZ0c4hcwpul-Q11gCPs3mw6-R9Q", // RFC 7517 appendix C.1, RSA
  "dHri3SADZkrush5HU_50AoRhcKFryN-PI6jPBtPL55M", // RFC 7520 §3.2, P-521
  "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI", // RFC 7520 §3.4, RSA
  "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", // RFC 8037 appendix A.1, Ed25519
]);
