import { parseStrictJson } from "../json.js";
import { AuthenticationFailure } from "./failure.js";

type JsonObject = Readonly<Record<string, unknown>>;

/** A signed JSON text whose form is sound. Nothing in it is to be believed before its signature is verified. */
export interface CompactJws {
  readonly text: string;
  readonly header: JsonObject & { readonly alg: string; readonly kid?: string; readonly typ?: string };
  readonly payload: JsonObject;
}

const MAX_LENGTH = 8192;

/**
 * Headers that would let the token say how it is to be read, or bring the key to its own signature (RFC 7515 §4.1.2 to
 * §4.1.6, §4.1.11; RFC 7797; RFC 8725 §3.10). `cty`, `enc` and `zip` tell of nested and encrypted tokens.
 */
const REFUSED_HEADERS = ["crit", "b64", "jku", "x5u", "x5c", "cty", "enc", "zip"];

/** The header that a token may not have and a DPoP proof must (RFC 9449 §4.2). */
const OWN_KEY = "jwk";

/**
 * The one spelling of a compact JWS (RFC 7515 §7.1): three parts in canonical base64url, the first two strict JSON objects.
 * Throws an `AuthenticationFailure`; nothing cryptographic is done here.
 */
export function parseCompactJws(text: string, { ownKey }: { readonly ownKey: "required" | "refused" }): CompactJws {
  if (text.length > MAX_LENGTH) throw malformed(`longer than ${MAX_LENGTH} characters`);
  const parts = text.split(".").map(decodePart);
  if (parts.length !== 3) throw malformed("not of three parts");
  const [header, payload] = parts as [Buffer, Buffer, Buffer];
  const parsed = { text, header: readHeader(parseObject(header)), payload: parseObject(payload) };
  if (Object.hasOwn(parsed.header, OWN_KEY) !== (ownKey === "required")) {
    throw new AuthenticationFailure("header_refused", `header ${OWN_KEY} is ${ownKey}`);
  }
  return parsed;
}

/** RFC 4648 §5 without padding, and the only text that encodes these bytes (RFC 8725 bis, malleable encodings). */
function decodePart(part: string): Buffer {
  const bytes = Buffer.from(part, "base64url");
  if (part === "" || bytes.toString("base64url") !== part) throw malformed("a part is not canonical base64url");
  return bytes;
}

function parseObject(bytes: Buffer): JsonObject {
  const value = parse(bytes);
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw malformed("a part is no JSON object");
  return value as JsonObject;
}

function parse(bytes: Buffer): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    // It throws nothing else, and quotes nothing.
    throw malformed((error as SyntaxError).message);
  }
}

function readHeader(header: JsonObject): CompactJws["header"] {
  const refused = REFUSED_HEADERS.find((name) => Object.hasOwn(header, name));
  if (refused !== undefined) throw new AuthenticationFailure("header_refused", `header ${refused} is refused`);
  const { alg, kid, typ } = header;
  if (typeof alg !== "string" || !isTextOrAbsent(kid) || !isTextOrAbsent(typ)) {
    throw malformed("alg, kid or typ is not a text");
  }
  return header as CompactJws["header"];
}

/** A member of a header, or of a key. */
export function isTextOrAbsent(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string";
}

function malformed(detail: string): AuthenticationFailure {
  return new AuthenticationFailure("malformed", detail);
}
