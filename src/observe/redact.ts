/**
 * The last guard of the log: whatever is written goes through here as text, so that a secret that has found its way into a
 * message, a stack or a name does not leave. It is a net below the rule that secrets are not passed to the log at all.
 */
import type { Secret } from "../config/secret.js";

/** Of JSON or plain text; what is hidden leaves JSON as sound as it was. */
export type Redact = (text: string) => string;

const HIDDEN = "[hidden]";

/** A shorter one would garble the log, and tell that it is there by what is missing. */
const SHORTEST = 6;

/** A JWT (RFC 7519), whole or what a cut has left of it: a JSON object in base64url begins so. */
const JWT = "eyJ[\\w-]{8,}(?:\\.[\\w-]*){0,4}";

/** A password may look like one: where JSON may have a number, nines hide it, which leave it a number. */
const NUMBER = /^[\d.]+$/;

/** With what stands before it, which is kept. An escape in a JSON text ends them. */
const LABELLED = new RegExp(
  [
    // RFC 6750 §2.1, RFC 9449 §7.1, RFC 7617
    "\\b((?:bearer|dpop|basic) +)[^\\s\"'\\\\,;]{8,}",
    "((?:accesskey|access_token|client_secret|password|signature)=)(?!<)[^\\s\"'\\\\;&]+",
    // What our own sentences show of a form begins with < or [, which no secret does.
    // RFC 3986 §3.2.1; to the last @, for a password that was not encoded.
    '(://)(?!\\[)[^\\s"\\\\/@:]{0,200}:[^\\s"\\\\]{1,500}@',
  ].join("|"),
  "gi",
);

/** Hides these secrets, in every spelling, and what looks like one of anybody. */
export function createRedact(secrets: readonly Secret[]): Redact {
  const spellings = [...new Set(secrets.flatMap((secret) => partsOf(secret.reveal())).flatMap(spellingsOf))];
  // A whole address before the password in it.
  const known = spellings.filter(({ length }) => length >= SHORTEST).sort((one, other) => other.length - one.length);
  const exact = new RegExp([...known.map(asPattern), JWT].join("|"), "g");
  const numbers = known.filter((spelling) => NUMBER.test(spelling)).map(asPattern);
  const inNumber = numbers.length > 0 && new RegExp(`(?<=[:[,]\\s*-?[\\d.]*)(?:${numbers.join("|")})`, "g");
  return (text) => {
    const withoutNumbers = inNumber ? text.replace(inNumber, (digits) => digits.replaceAll(/\d/g, "9")) : text;
    return withoutNumbers.replace(exact, HIDDEN).replace(LABELLED, (_, ...labels: (string | undefined)[]) => {
      const [scheme, name, slashes] = labels;
      return `${scheme ?? name ?? slashes ?? ""}${HIDDEN}${slashes === undefined ? "" : "@"}`;
    });
  };
}

/** An address, and the password in it. */
function partsOf(secret: string): string[] {
  const password = URL.parse(secret)?.password;
  return password ? [secret, password] : [secret];
}

/** As it is, percent-decoded and -encoded, each also as it stands in a JSON text. */
function spellingsOf(text: string): string[] {
  return [text, decode(text), encodeURIComponent(text)].flatMap((spelling) => [
    spelling,
    JSON.stringify(spelling).slice(1, -1),
  ]);
}

function asPattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
