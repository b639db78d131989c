/** `audit fingerprint`: what stands in the trail for a token, so that whoever finds a leaked one finds its records. */
import { createFingerprint } from "../audit/fingerprint.js";
import type { Secret } from "../config/secret.js";
import { StartError } from "../errors.js";

const MAX_LENGTH = 16_384;

/** Of the one token in the input; what is around it, such as the end of a line, is none of it. Throws a `StartError`. */
export async function fingerprintOf(auditKey: Secret, input: AsyncIterable<unknown>): Promise<string> {
  let text = "";
  for await (const chunk of input) {
    text += String(chunk);
    if (text.length > MAX_LENGTH) break;
  }
  const token = text.trim();
  if (/^[!-~]+$/.test(token) && text.length <= MAX_LENGTH) return createFingerprint(auditKey)(token);
  throw new StartError("There is not one token on standard input: put it into a file, alone, and add < FILE.");
}
