/**
 * Tokens that the service has issued, kept for reuse: same identity, same scopes, same lifetime.
 *
 * The cache is never the truth. Each entry notes the identity's count of revocations under which its token was issued, and
 * is good only while the row still shows that count, as the caller has read for this request, or has the record of it written only
 * if it is so: a revoked token stays where it is and is not handed out. Likewise it notes the access key that the token was made
 * with, which must still be the one in use: a key that is made anew at the service takes its tokens with it. Whatever is wrong with
 * the cache is a miss, and costs a call to the service.
 */
import type { ServiceToken } from "../acs/service.js";
import type { TokenScope } from "../config/config.js";
import type { ByteCache } from "../shared/byte-cache.js";
import { distinct } from "./grant.js";
import { earliestRefresh, LEAST_LIFE_MS } from "./lifetime.js";
import type { Seal } from "./seal.js";
import { SingleFlight } from "./single-flight.js";

/** By how much the clocks of instances may differ without a client being given the token that it came to replace. */
const CLOCK_SLACK_MS = 10_000;

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
export const CACHE_OUTCOMES = ["hit", "miss", "stale", "unreadable", "failed"] as const;
export type CacheOutcome = (typeof CACHE_OUTCOMES)[number];

interface TokenCacheParts {
  readonly bytes: ByteCache;
  readonly seal: Seal;
  /** Of the access key in use now. */
  readonly credentialId: () => string;
  readonly mintsAtOnce: number;
  readonly now: () => number;
  readonly observe: (outcome: CacheOutcome, error?: unknown) => void;
}

/** Times are ms since 1970. */
interface Entry {
  readonly token: ServiceToken;
  readonly issuedAt: number;
  readonly revocations: number;
}

export class TokenCache {
  readonly #parts: TokenCacheParts;
  readonly #entries = new WeakMap<Buffer, Entry>();
  readonly #mints: SingleFlight<ServiceToken>;

  constructor(parts: TokenCacheParts) {
    this.#parts = parts;
    this.#mints = new SingleFlight(parts.mintsAtOnce);
  }

  /**
   * The token that `mint` makes; callers at the same time share it, errors too, but for one who wants their own. It is kept for others
   * to come, which is waited for only by that one.
   * `revocations` is the identity's count, read for this request; `mint` must reject when the row no longer shows it once the
   * token is made. `mint` is nobody's: see `SingleFlight` for deadlines.
   */
  async mint(
    lookup: TokenLookup,
    revocations: number,
    mint: () => Promise<ServiceToken>,
    { alone }: { readonly alone: boolean },
  ): Promise<ServiceToken> {
    const keep = (minted: ServiceToken) => this.put(lookup, revocations, minted);
    if (alone) {
      const minted = await this.#mints.alone(mint);
      // Who asks for a new one and then for any is not to be given the one before.
      await keep(minted);
      return minted;
    }
    // A caller who has seen a later revocation must not be given what is made under an earlier count; nor with an older key.
    return await this.#mints.run(`${this.#parts.credentialId()} ${revocations} ${contextOf(lookup)}`, mint, keep);
  }

  /** Never rejects. */
  async get(lookup: TokenLookup, revocations: number): Promise<ServiceToken | undefined> {
    const { bytes, seal, credentialId, observe } = this.#parts;
    try {
      const found = await bytes.get(seal.keyOf(contextOf(lookup)));
      const entry = found && this.#read(found, lookup);
      const isGood =
        entry !== undefined &&
        entry.revocations === revocations &&
        entry.token.credentialId === credentialId() &&
        this.#now() < reusableUntil(entry);
      observe(isGood ? "hit" : entry ? "stale" : found ? "unreadable" : "miss");
      return isGood ? entry.token : undefined;
    } catch (error) {
      observe("failed", error);
      return undefined;
    }
  }

  /** Keeps a token issued just now, for as long as it may be handed out again. Never rejects. */
  async put(lookup: TokenLookup, revocations: number, minted: ServiceToken): Promise<void> {
    const { bytes, seal, observe } = this.#parts;
    const entry: Entry = { token: minted, issuedAt: this.#now(), revocations };
    const ttlMs = reusableUntil(entry) - entry.issuedAt;
    if (!(ttlMs > 0)) return;
    try {
      const context = contextOf(lookup);
      await bytes.set(seal.keyOf(context), seal.close(Buffer.from(writeEntry(entry)), context), ttlMs);
    } catch (error) {
      observe("failed", error);
    }
  }

  #now(): number {
    return this.#parts.now();
  }

  /** What is in this process's memory is the same bytes each time, and is read once. */
  #read(sealed: Buffer, lookup: TokenLookup): Entry | undefined {
    const known = this.#entries.get(sealed);
    if (known !== undefined) return known;
    const plain = this.#parts.seal.open(sealed, contextOf(lookup));
    const entry = plain && parseEntry(plain.toString());
    if (entry !== undefined) this.#entries.set(sealed, entry);
    return entry;
  }
}

/**
 * Until the first client returns that was given this token when it was new; who got it later is told a later time. From there
 * on nobody is given this token, so who comes back when told gets a newer one.
 */
function reusableUntil({ issuedAt, token: { expiresOn } }: Entry): number {
  const refreshes = issuedAt + earliestRefresh(expiresOn - issuedAt) - CLOCK_SLACK_MS;
  return Math.min(refreshes, expiresOn - LEAST_LIFE_MS);
}

/** The one spelling of a look-up; as JSON, no part can be taken for another. */
function contextOf({ identityId, scopes, lifetimeMinutes }: TokenLookup): string {
  return JSON.stringify([identityId, distinct(scopes).toSorted(), lifetimeMinutes]);
}

function writeEntry({ token: { token, expiresOn, credentialId }, issuedAt, revocations }: Entry): string {
  return JSON.stringify({ token, expiresOn, credentialId, issuedAt, revocations });
}

/** Undefined for what another version wrote. */
function parseEntry(text: string): Entry | undefined {
  try {
    const { token, expiresOn, credentialId, issuedAt, revocations } = JSON.parse(text) as Record<string, unknown>;
    const areTexts = typeof token === "string" && typeof credentialId === "string";
    const areNumbers = [expiresOn, issuedAt, revocations].every(Number.isFinite);
    if (!areTexts || !areNumbers) return undefined;
    return { token: { token, expiresOn, credentialId }, issuedAt, revocations } as Entry;
  } catch {
    return undefined;
  }
}
