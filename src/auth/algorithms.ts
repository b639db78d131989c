import type { SignatureAlgorithm } from "../config/shape.js";

/** What a signature algorithm needs of its key (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2). Asymmetric ones only. */
interface Algorithm {
  readonly kty: "RSA" | "EC" | "OKP";
  readonly crv?: string;
}

const ALGORITHMS: Readonly<Record<SignatureAlgorithm, Algorithm>> = {
  RS256: { kty: "RSA" },
  RS384: { kty: "RSA" },
  RS512: { kty: "RSA" },
  PS256: { kty: "RSA" },
  PS384: { kty: "RSA" },
  PS512: { kty: "RSA" },
  ES256: { kty: "EC", crv: "P-256" },
  ES384: { kty: "EC", crv: "P-384" },
  ES512: { kty: "EC", crv: "P-521" },
  EdDSA: { kty: "OKP", crv: "Ed25519" },
  Ed25519: { kty: "OKP", crv: "Ed25519" },
};

/** Whether a list of algorithms has this one. `Ed25519` is the newer name for `EdDSA` with such a key (RFC 9864 §2.2). */
export function allows(algorithms: readonly string[], alg: string): boolean {
  return algorithms.includes(alg) || (alg === "Ed25519" && algorithms.includes("EdDSA"));
}

/** What a DPoP proof may be signed with: all that are known here (RFC 9449 §4.3, "asymmetric"). */
export const PROOF_ALGORITHMS: readonly string[] = Object.keys(ALGORITHMS);

/** Whether a key of this type and curve can verify signatures of this algorithm. */
export function algorithmFits(alg: string, { kty, crv }: { readonly kty?: unknown; readonly crv?: unknown }): boolean {
  if (!isKnown(alg)) return false;
  const algorithm: Algorithm = ALGORITHMS[alg];
  return algorithm.kty === kty && algorithm.crv === (kty === "RSA" ? undefined : crv);
}

function isKnown(alg: string): alg is SignatureAlgorithm {
  return Object.hasOwn(ALGORITHMS, alg);
}
