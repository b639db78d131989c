import { GatewayError } from "../errors.js";
import type { ApplicationUser } from "../identities/identity.js";

/** Why a caller was not let in: for the log and as the label of a metric, never for the answer. */
export const FAILURE_REASONS = [
  "no_token",
  "malformed",
  "header_refused",
  "unknown_issuer",
  "algorithm_refused",
  "unknown_key",
  "bad_signature",
  "expired",
  "not_yet_valid",
  "wrong_audience",
  "wrong_type",
  "bad_claims",
  "no_proof",
  "bad_proof",
  "used_proof",
  "nonce_needed",
  "bad_certificate",
] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

/** What RFC 6750 §3.1 and RFC 9449 §7.1 and §8 let a client know. */
type ChallengeError = "invalid_token" | "invalid_dpop_proof" | "use_dpop_nonce";

const CHALLENGE_ERRORS: Partial<Record<FailureReason, ChallengeError>> = {
  bad_proof: "invalid_dpop_proof",
  used_proof: "invalid_dpop_proof",
  nonce_needed: "use_dpop_nonce",
};

/**
 * The caller is not authenticated. Whatever the reason, the message is the same; the detail is for the log and never quotes
 * what the caller sent.
 */
export class AuthenticationFailure extends GatewayError {
  constructor(
    readonly reason: FailureReason,
    readonly detail: string,
    cause?: unknown,
  ) {
    super("UNAUTHENTICATED", "A valid access token is required.", { cause });
  }

  /** Undefined for a request that brought no token at all (RFC 6750 §3.1). */
  get challengeError(): ChallengeError | undefined {
    return this.reason === "no_token" ? undefined : (CHALLENGE_ERRORS[this.reason] ?? "invalid_token");
  }
}

/** Token and proof are good, but for a nonce of ours, which the answer brings (RFC 9449 §8). */
export class NonceNeeded extends AuthenticationFailure {
  constructor(readonly user: ApplicationUser) {
    super("nonce_needed", "no nonce of ours, or an old one");
  }
}
