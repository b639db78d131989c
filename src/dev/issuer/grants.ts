/**
 * What users have agreed to: authorization codes, and the sessions that refresh tokens belong to. Kept in memory, so many
 * of each and no more, and gone with the process; an app then has its user sign in again.
 */
import { createHash, randomBytes } from "node:crypto";
import { ExpiringMap } from "./expiring-map.js";
import type { DevUser } from "./signer.js";

export interface Grant {
  readonly user: DevUser;
  readonly clientId: string;
  readonly scope: string | undefined;
  /** Of the ID token (OpenID Connect Core §3.1.2.1). */
  readonly nonce: string | undefined;
  /** The life of each access token, in seconds. */
  readonly expiresIn: number;
}

interface Code {
  readonly grant: Grant;
  readonly redirectUri: string;
  /** S256 of the verifier (RFC 7636 §4.2). */
  readonly challenge: string;
  /** The session that it began, once it was used. */
  sessionId?: string | undefined;
  isUsed: boolean;
}

interface Session {
  readonly grant: Grant;
  /** Of the one refresh token that is good. */
  secret: string;
}

/** Who brings a code: what is undefined was left out. */
interface Redeemer {
  readonly clientId: string | undefined;
  readonly redirectUri: string | undefined;
  readonly verifier: string | undefined;
}

export interface Redeemed {
  readonly grant: Grant;
  readonly refreshToken: string;
}

/** RFC 6749 §4.1.2 recommends ten minutes at most. */
const CODE_MS = 60_000;
const SESSION_MS = 12 * 3_600_000;
const MOST = 1000;

export class Grants {
  readonly #codes: ExpiringMap<Code>;
  readonly #sessions: ExpiringMap<Session>;

  constructor(now: () => number) {
    this.#codes = new ExpiringMap({ now, lifeMs: CODE_MS, most: MOST });
    this.#sessions = new ExpiringMap({ now, lifeMs: SESSION_MS, most: MOST });
  }

  /** A code for the redirect, good for one use within a minute. */
  issueCode(grant: Grant, redirectUri: string, challenge: string): string {
    const code = randomText();
    this.#codes.set(code, { grant, redirectUri, challenge, isUsed: false });
    return code;
  }

  /**
   * Undefined when the code is not good, or is not this client's, for this address, or of this verifier. Any try uses it
   * up, one that leaves something out, too; a second one ends the session that the first began, since one of the two is a thief (RFC 6749 §4.1.2).
   */
  redeemCode(code: string, from: Redeemer): Redeemed | undefined {
    const found = this.#codes.get(code);
    if (found?.sessionId !== undefined) this.#sessions.delete(found.sessionId);
    if (found === undefined || found.isUsed) return undefined;
    found.isUsed = true;
    const { grant, redirectUri, challenge } = found;
    if (grant.clientId !== from.clientId || redirectUri !== from.redirectUri) return undefined;
    if (from.verifier === undefined || challenge !== s256(from.verifier)) return undefined;
    const sessionId = randomText();
    const session = { grant, secret: randomText() };
    this.#sessions.set(sessionId, session);
    found.sessionId = sessionId;
    return { grant, refreshToken: `${sessionId}.${session.secret}` };
  }

  /**
   * Undefined when the refresh token is not good, or not this client's. Each is good once and replaced by another; one
   * that was replaced ends its session, since somebody else has it, too (RFC 9700 §4.14.2).
   */
  refresh(refreshToken: string, clientId: string): Redeemed | undefined {
    const [sessionId = "", secret = ""] = refreshToken.split(".");
    const session = this.#sessions.get(sessionId);
    if (session === undefined || session.grant.clientId !== clientId) return undefined;
    if (session.secret !== secret) {
      this.#sessions.delete(sessionId);
      return undefined;
    }
    session.secret = randomText();
    return { grant: session.grant, refreshToken: `${sessionId}.${session.secret}` };
  }
}

function randomText(): string {
  return randomBytes(32).toString("base64url");
}

/** RFC 7636 §4.6 */
function s256(verifier: string): string {
  return createHash("sha256").update(verifier).digest("base64url");
}
