import { PROOF_ALGORITHMS } from "./algorithms.js";
import type { AuthenticationFailure } from "./failure.js";

const REALM = "acs-token-gateway";
const DPOP = `DPoP realm="${REALM}", algs="${PROOF_ALGORITHMS.join(" ")}"`;

/**
 * The values of `WWW-Authenticate` (RFC 6750 §3, RFC 9449 §7.1): both schemes for a request that brought no token, else the
 * one that it came with, and its error; a bearer token that lacks proof is told of the other. `authorization` is the header
 * that was refused.
 */
export function challengesFor(failure: AuthenticationFailure, authorization: string | undefined): string[] {
  const { challengeError } = failure;
  if (challengeError === undefined) return [`Bearer realm="${REALM}"`, DPOP];
  const isDpop = challengeError !== "invalid_token" || /^dpop /i.test(authorization ?? "");
  if (isDpop) return [`${DPOP}, error="${challengeError}"`];
  const bearer = `Bearer realm="${REALM}", error="${challengeError}"`;
  return failure.reason === "no_proof" ? [bearer, DPOP] : [bearer];
}
