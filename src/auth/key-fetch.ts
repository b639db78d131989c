import { isHttpsOrLoopback } from "../config/check.js";
import { parseStrictJson } from "../json.js";
import { fetchBytes } from "./fetch-bytes.js";
import { type PublicKey, readPublicKey, UnusableKey } from "./public-key.js";

const MAX_KEYS = 100;
/** Characters of what others write that a message shows. */
const MAX_NAMED = 200;

/**
 * The keys of a JSON Web Key Set (RFC 7517 §5); one that is known already is the same object. Rejects with what is wrong,
 * also when none can be used.
 */
export async function fetchKeys(
  jwksUri: string,
  known: readonly PublicKey[],
  deadline: AbortSignal,
): Promise<FetchedKeys> {
  const set = await fetchJson(jwksUri, deadline);
  const { keys } = set as { keys?: unknown };
  if (!Array.isArray(keys)) throw new Error(`${jwksUri} is no JSON Web Key Set`);
  if (keys.length > MAX_KEYS) throw new Error(`${jwksUri} has more than ${MAX_KEYS} keys`);
  const read = await Promise.all(keys.map((jwk) => readOrSay(jwk, known)));
  const usable = read.filter((key) => typeof key !== "string");
  const unusable = read.filter((why) => typeof why === "string");
  // Good keys are never replaced by none: that is a mistake at the issuer, not a rotation.
  if (usable.length === 0)
    throw new Error(`${jwksUri} has no key that can be used (${unusable.join(", ") || "empty"})`);
  return { usable, unusable };
}

export interface FetchedKeys {
  readonly usable: readonly PublicKey[];
  /** Why each of the others is not. */
  readonly unusable: readonly string[];
}

async function readOrSay(jwk: unknown, known: readonly PublicKey[]): Promise<PublicKey | string> {
  try {
    return await readPublicKey(jwk, known);
  } catch (error) {
    if (error instanceof UnusableKey) return error.message;
    throw error;
  }
}

/** OpenID Connect Discovery 1.0 §4: the `jwks_uri` of the issuer's metadata, whose `issuer` must be the same text (§4.3). */
export async function discoverJwksUri(issuer: string, deadline: AbortSignal): Promise<string> {
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const metadata = (await fetchJson(address, deadline)) as Record<string, unknown>;
  if (metadata.issuer !== issuer) {
    // Often the same but for a slash, and public.
    const named = JSON.stringify(metadata.issuer ?? null).slice(0, MAX_NAMED);
    throw new Error(`${address} names another issuer: ${named}`);
  }
  const uri = typeof metadata.jwks_uri === "string" ? URL.parse(metadata.jwks_uri) : null;
  if (uri === null || !isHttpsOrLoopback(uri)) throw new Error(`${address} has no usable jwks_uri`);
  return uri.href;
}

/** A JSON object. */
async function fetchJson(address: string, deadline: AbortSignal): Promise<object> {
  const value = parseOrSay(await fetchOrSay(address, deadline), address);
  if (value === null || typeof value !== "object") throw new Error(`${address} is no JSON object`);
  return value;
}

/** Metadata and keys may be at different hosts: which of them it was is half of the matter. */
async function fetchOrSay(address: string, deadline: AbortSignal): Promise<Buffer> {
  try {
    return await fetchBytes(address, deadline);
  } catch (error) {
    if (error instanceof Error && error.message.startsWith(address)) throw error;
    const why = deadline.aborted ? "did not answer in time" : "cannot be fetched";
    throw new Error(`${address} ${why}`, { cause: error });
  }
}

function parseOrSay(bytes: Buffer, address: string): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    throw new Error(`${address} is not JSON`, { cause: error });
  }
}
