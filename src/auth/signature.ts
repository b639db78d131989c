import { compactVerify } from "jose";
import type { CompactJws } from "./compact-jws.js";
import { AuthenticationFailure, type FailureReason } from "./failure.js";
import type { PublicKey } from "./public-key.js";

/**
 * Verifies the signature of a text whose form is known to be sound, under the one algorithm that its header names and the
 * caller allows. jose looks at the form once more: what it would not let pass does not pass here either.
 */
export async function verifySignature(
  { text, header }: CompactJws,
  { key }: PublicKey,
  reason: Extract<FailureReason, "bad_signature" | "bad_proof">,
): Promise<void> {
  try {
    await compactVerify(text, key, { algorithms: [header.alg] });
  } catch (error) {
    throw new AuthenticationFailure(reason, "the signature does not verify", error);
  }
}
