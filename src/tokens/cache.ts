/**
 * Tokens that the service has issued, kept for reuse: same identity, same scopes, same lifetime.
 *
 * The cache is never the truth. Each entry notes the identity's count of revocations under which its token was issued, and
 * is good only while the row, read by the caller for this request, still shows that count: a revoked token stays where it
 * is and is not handed out. Likewise it notes the access key that the token was made with, which must still be the one in
 * use: a key that is made anew at the service takes its tokens with it. Whatever is wrong with the cache is a miss, and costs a call to the service.
 */
import { createHash } from "node:crypto";
import type { ServiceToken } from "../acs/service.js";
import type { TokenScope } from "../config/config.js";
import type { ByteCache } from "../shared/byte-cache.js";
import { EARLIEST_REFRESH, LEAST_LIFE_MS } from "./lifetime.js";
import type { Seal } from "./seal.js";
import { SingleFlight } from "./single-flight.js";

/** By how much the clocks of instances may differ without a client being given the token that it came to replace. */
const CLOCK_SLACK_MS = 10_000;
/** At the service's limit of 1000 tokens in 30 s, a minute's worth. */
const MOST_MINTS_AT_ONCE = 2000;

/** What a token is for. Order and repetition of scopes do not matter. */
export interface TokenLookup {
  readonly identityId: string;
  readonly scopes: readonly TokenScope[];
  /** Of the token when it was issued. */
  readonly lifetimeMinutes: number;
}

/**
 * What became of a look-up. `stale`: too old, revoked, or made with another access key. `unreadable`: not written by this gateway for this look-up, or
 * under a key that it no longer has. `failed`: the cache could not be asked, or not be told.
 */
export type CacheOutcome = "hit" | "miss" | "stale" | "unreadable" | "failed";

interface TokenCacheParts {
  readonly bytes: ByteCache;
  readonly seal: Seal;
  /** Of the access key in use now. */
  readonly credentialId: () => string;
  readonly now: () => number;
  readonly observe: (outcome: CacheOutcome, error?: unknown) => void;
}

/** Times are ms since 1970. */
interface Entry extends ServiceToken {
  readonly issuedAt: number;
  readonly revocations: number;
}

export class TokenCache {
  readonly #parts: TokenCacheParts;
  readonly #mints = new SingleFlight<ServiceToken>(MOST_MINTS_AT_ONCE);

  constructor(parts: TokenCacheParts) {
    this.#parts = parts;
  }

  /**
   * A token from the cache, or the one that `mint` makes, which concurrent callers share, errors too. `revocations` is the
   * identity's count, read for this request; `mint` must reject when the row no longer shows it once the token is made.
   * `mint` is nobody's: see `SingleFlight` for deadlines.
   */
  async getOrMint(lookup: TokenLookup, revocations: number, mint: () => Promise<ServiceToken>): Promise<ServiceToken> {
    const cached = await this.get(lookup, revocations);
    if (cached !== undefined) return cached;
    const { credentialId } = this.#parts;
    // A caller who has seen a later revocation must not be given what is made under an earlier count; nor with an older key.
    return await this.#mints.run(`${credentialId()} ${revocations} ${contextOf(lookup)}`, async () => {
      const minted = await mint();
      await this.put(lookup, revocations, minted);
      return minted;
    });
  }

  /** Never rejects. */
  async get(lookup: TokenLookup, revocations: number): Promise<ServiceToken | undefined> {
    const { bytes, credentialId, observe } = this.#parts;
    try {
      const found = await bytes.get(keyOf(lookup));
      const entry = found && this.#read(found, lookup);
      const isGood =
        entry !== undefined &&
        entry.revocations === revocations &&
        entry.credentialId === credentialId() &&
        this.#now() < reusableUntil(entry);
      observe(isGood ? "hit" : entry ? "stale" : found ? "unreadable" : "miss");
      if (!isGood) return undefined;
      return { token: entry.token, expiresOn: entry.expiresOn, credentialId: entry.credentialId };
    } catch (error) {
      observe("failed", error);
      return undefined;
    }
  }

  /** Keeps a token issued just now, for as long as it may be handed out again. Never rejects. */
  async put(lookup: TokenLookup, revocations: number, minted: ServiceToken): Promise<void> {
    const { bytes, seal, observe } = this.#parts;
    const { token, expiresOn, credentialId } = minted;
    const entry: Entry = { token, expiresOn, credentialId, issuedAt: this.#now(), revocations };
    const ttlMs = reusableUntil(entry) - entry.issuedAt;
    if (!(ttlMs > 0)) return;
    try {
      const sealed = seal.close(Buffer.from(JSON.stringify(entry)), contextOf(lookup));
      await bytes.set(keyOf(lookup), sealed, ttlMs);
    } catch (error) {
      observe("failed", error);
    }
  }

  #now(): number {
    return this.#parts.now();
  }

  #read(sealed: Buffer, lookup: TokenLookup): Entry | undefined {
    const plain = this.#parts.seal.open(sealed, contextOf(lookup));
    return plain && parseEntry(plain.toString());
  }
}

/**
 * A client is told to come back no earlier than at `EARLIEST_REFRESH` of what its token has left, which is no earlier than
 * at that share of the token's whole life. From there on nobody is given this token, so who comes back gets a newer one.
 */
function reusableUntil({ issuedAt, expiresOn }: Entry): number {
  const refreshes = issuedAt + (expiresOn - issuedAt) * EARLIEST_REFRESH - CLOCK_SLACK_MS;
  return Math.min(refreshes, expiresOn - LEAST_LIFE_MS);
}

/** The one spelling of a look-up; as JSON, no part can be taken for another. */
function contextOf({ identityId, scopes, lifetimeMinutes }: TokenLookup): string {
  return JSON.stringify([identityId, [...new Set(scopes)].sort(), lifetimeMinutes]);
}

/** Tells whoever sees the cache's keys neither identity nor scopes: identity ids have 128 random bits, so none is guessed. */
function keyOf(lookup: TokenLookup): string {
  return createHash("sha256").update(contextOf(lookup)).digest("base64url");
}

/** Undefined for what another version wrote. */
function parseEntry(text: string): Entry | undefined {
  try {
    const { token, expiresOn, credentialId, issuedAt, revocations } = JSON.parse(text) as Record<string, unknown>;
    const areTexts = typeof token === "string" && typeof credentialId === "string";
    const areNumbers = [expiresOn, issuedAt, revocations].every(Number.isFinite);
    return areTexts && areNumbers ? ({ token, expiresOn, credentialId, issuedAt, revocations } as Entry) : undefined;
  } catch {
    return undefined;
  }
}
