/**
 * Proof of possession by DPoP (RFC 9449): the checks of §4.3, what costs most last. Nothing is computed with a key that is not
 * the one of the token.
 */
import { createHash } from "node:crypto";
import { calculateJwkThumbprint, type JWK } from "jose";
import { GatewayError } from "../errors.js";
import type { ApplicationUser } from "../identities/identity.js";
import type { SingleUse } from "../shared/single-use.js";
import { readTime } from "./claims.js";
import { type CompactJws, parseCompactJws } from "./compact-jws.js";
import type { Credentials } from "./credentials.js";
import type { DpopNonces } from "./dpop-nonces.js";
import { AuthenticationFailure, NonceNeeded } from "./failure.js";
import { normalisedType } from "./profiles.js";
import { keyFits, type PublicKey, readPublicKey, UnusableKey } from "./public-key.js";
import { verifySignature } from "./signature.js";

/** How far a proof's `iat` may be from now, either way: what makes clients with a clock that is a little off work. */
const WINDOW_SECONDS = 60;
/** As long as a proof could be accepted once more, and then some for clocks of instances that differ. */
const REMEMBERED_MS = (2 * WINDOW_SECONDS + 10) * 1000;
const MAX_JTI_LENGTH = 255;

interface DpopParts {
  readonly used: SingleUse;
  readonly nonces: DpopNonces;
  readonly now: () => number;
}

interface ProofOptions {
  /** The `cnf.jkt` of the token (§6.1). */
  readonly thumbprint: unknown;
  /** Whose token it is. */
  readonly user: ApplicationUser;
  readonly nonceRequired: boolean;
}

export class Dpop {
  readonly #parts: DpopParts;

  constructor(parts: DpopParts) {
    this.#parts = parts;
  }

  /** Throws an `AuthenticationFailure`, or STORE_UNAVAILABLE when it cannot be told whether the proof was used before. */
  async verify(credentials: Credentials, { thumbprint, user, nonceRequired }: ProofOptions): Promise<void> {
    const proof = parseProof(credentials.proof ?? "");
    await checkThumbprint(proof, thumbprint);
    checkTarget(proof, credentials);
    this.#checkTime(proof);
    const key = await readProofKey(proof);
    await verifySignature(proof, key, "bad_proof");
    // Also one without a nonce is used up, or whoever has seen it could spend its user's requests with it.
    await this.#useUp(proof, key, user);
    if (nonceRequired && !this.#hasGoodNonce(proof)) throw new NonceNeeded(user);
  }

  #checkTime({ payload }: CompactJws): void {
    const age = this.#parts.now() / 1000 - readProofTime(payload);
    if (Math.abs(age) > WINDOW_SECONDS) throw bad("iat is not of this minute");
  }

  #hasGoodNonce({ payload: { nonce } }: CompactJws): boolean {
    return typeof nonce === "string" && this.#parts.nonces.isGood(nonce);
  }

  /** §11.1. The last check, so that only sound proofs take room. */
  async #useUp(
    { payload: { jti } }: CompactJws,
    { thumbprint }: PublicKey,
    { issuer, subject }: ApplicationUser,
  ): Promise<void> {
    const key = createHash("sha256").update(`${thumbprint} ${jti}`).digest("base64url");
    const isFirst = await this.#claim(key, JSON.stringify([issuer, subject]));
    if (!isFirst) throw new AuthenticationFailure("used_proof", "the proof was used before");
  }

  async #claim(key: string, owner: string): Promise<boolean> {
    try {
      return await this.#parts.used.claim(key, REMEMBERED_MS, owner);
    } catch (cause) {
      const message = "Whether the proof was used before cannot be told; try again with a new one.";
      throw new GatewayError("STORE_UNAVAILABLE", message, { cause });
    }
  }
}

/** A sound JWS of the right type with all claims of §4.2. */
function parseProof(text: string): CompactJws {
  const proof = rethrown(() => parseCompactJws(text, { ownKey: "required" }));
  if (normalisedType(proof.header.typ) !== "dpop+jwt") throw bad("typ is not dpop+jwt");
  const { jti, htm, htu, ath } = proof.payload;
  const texts = [jti, htm, htu, ath];
  if (!texts.every((claim) => typeof claim === "string" && claim !== "")) throw bad("a claim is missing or no text");
  if (String(jti).length > MAX_JTI_LENGTH) throw bad(`jti has more than ${MAX_JTI_LENGTH} characters`);
  return proof;
}

/** Whatever is wrong with a proof is told as such. */
function rethrown<Result>(parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    throw error instanceof AuthenticationFailure ? bad(error.detail) : error;
  }
}

async function checkThumbprint({ header: { jwk } }: CompactJws, thumbprint: unknown): Promise<void> {
  // jose refuses what is no JWK of a known type.
  const own = await calculateJwkThumbprint(jwk as JWK).catch(() => undefined);
  if (own === undefined || own !== thumbprint) throw bad("the proof is by another key than the token is bound to");
}

async function readProofKey({ header }: CompactJws): Promise<PublicKey> {
  try {
    const key = await readPublicKey(header.jwk);
    if (!keyFits(key, header.alg)) throw bad("alg does not fit the key");
    return key;
  } catch (error) {
    throw error instanceof UnusableKey ? bad(`jwk: ${error.message}`) : error;
  }
}

function checkTarget({ payload }: CompactJws, { token, method, uri }: Credentials): void {
  const { htm, htu, ath } = payload;
  if (htm !== method) throw bad("htm is another method");
  const target = normaliseUri(String(htu));
  if (target === undefined || target !== normaliseUri(uri)) throw bad("htu is another address");
  if (ath !== createHash("sha256").update(token).digest("base64url")) throw bad("ath is of another token");
}

/** Without what `URL` would quietly change: white space, backslashes, control characters, a third slash. */
const PLAIN_URI = /^https?:\/\/(?!\/)[!-[\]-~]+$/i;

/**
 * Without query and fragment, by the syntax and the scheme (§4.3, check 9; RFC 3986 §6.2.2 and §6.2.3); undefined for what is
 * no address that could be ours.
 */
function normaliseUri(text: string): string | undefined {
  const url = PLAIN_URI.test(text) ? URL.parse(text) : null;
  if (url === null || url.username !== "" || url.password !== "") return undefined;
  const path = url.pathname.replace(/%[0-9a-f]{2}/gi, (triplet) => {
    const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : triplet.toUpperCase();
  });
  return `${url.origin}${path}`;
}

function readProofTime(payload: CompactJws["payload"]): number {
  return rethrown(() => readTime(payload, "iat"));
}

function bad(detail: string): AuthenticationFailure {
  return new AuthenticationFailure("bad_proof", detail);
}
