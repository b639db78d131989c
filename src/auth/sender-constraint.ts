import { createHash } from "node:crypto";
import type { Caller } from "./caller.js";
import type { Credentials } from "./credentials.js";
import type { Dpop } from "./dpop.js";
import { AuthenticationFailure } from "./failure.js";
import type { VerifiedToken } from "./token-memory.js";

/** The confirmation methods that are understood (RFC 7800 §3.1): RFC 9449 §6.1 and RFC 8705 §3.1. */
const METHODS = ["jkt", "x5t#S256"];

/**
 * Whether whoever sends the token is the one that it was issued to. A token that is bound to a key is worth nothing without
 * proof of that key, and one that is not bound proves nothing by coming with a proof (RFC 9449 §7.1).
 */
export async function checkSender(
  credentials: Credentials,
  { claims, issuer, subject }: VerifiedToken,
  dpop: Dpop,
): Promise<Caller["senderConstraint"]> {
  const bound = readConfirmation(claims);
  if (Object.hasOwn(bound, "x5t#S256")) checkCertificate(credentials, bound["x5t#S256"]);
  if (Object.hasOwn(bound, "jkt") !== (credentials.scheme === "DPoP")) {
    throw new AuthenticationFailure("no_proof", "the scheme is DPoP and the token not bound to a key, or the reverse");
  }
  if (credentials.scheme === "DPoP") {
    const user = { issuer: issuer.config.issuer, subject };
    await dpop.verify(credentials, { thumbprint: bound.jkt, user, nonceRequired: issuer.config.dpopNonce });
    return "dpop";
  }
  return Object.hasOwn(bound, "x5t#S256") ? "certificate" : null;
}

/** A binding that is not understood is one that cannot be checked. */
function readConfirmation(claims: VerifiedToken["claims"]): Readonly<Record<string, unknown>> {
  if (!Object.hasOwn(claims, "cnf")) return {};
  const { cnf } = claims;
  const methods = cnf !== null && typeof cnf === "object" ? Object.keys(cnf) : [];
  if (methods.length > 0 && methods.every((method) => METHODS.includes(method))) return cnf as Record<string, unknown>;
  throw new AuthenticationFailure("no_proof", "the token is bound in a way that is not understood");
}

/** RFC 8705 §3: the certificate's hash is in the token. */
function checkCertificate({ certificate }: Credentials, thumbprint: unknown): void {
  if (certificate === undefined) {
    throw new AuthenticationFailure("no_proof", "the token is bound to a certificate and none came from a proxy");
  }
  if (createHash("sha256").update(certificate).digest("base64url") !== thumbprint) {
    throw new AuthenticationFailure("bad_certificate", "the certificate is another than the token is bound to");
  }
}
