/**
 * The public keys of one issuer, kept for a while and never mixed with another's.
 *
 * Keys younger than half of their greatest age are used as they are; then a fetch begins beside the requests; at that age
 * it is waited for. While the issuer cannot be asked, or answers what is no key set, the last good keys serve on up to a
 * second age; after that it is KEYS_UNAVAILABLE. A key that is not there may be new: that is looked up, but no more than twice
 * in ten seconds, so a flood of made-up keys makes no flood at the issuer.
 */
import type { IssuerConfig } from "../config/config.js";
import { GatewayError } from "../errors.js";
import type { SpanAbout, Tracing } from "../observe/tracing.js";
import { AuthenticationFailure } from "./failure.js";
import { discoverJwksUri, type FetchedKeys, fetchKeys } from "./key-fetch.js";
import { keyFits, type PublicKey } from "./public-key.js";

/** Discovery included. */
const FETCH_TIMEOUT_MS = 3000;
/** Between the beginnings of two fetches: a new key is accepted within 5 s of its first use. */
const COOL_DOWN_MS = 4500;
/** Between a fetch and the one after the next. */
const TWO_FETCHES_MS = 10_200;
/** After a first failure, while there are no keys; doubled with each further one, up to the cool-down. */
const FIRST_BACK_OFF_MS = 1000;
/** The address of the keys is looked up anew after this, or after a failure. */
const DISCOVERY_MS = 3_600_000;

/** Told of every fetch when it ends. */
export type ObserveFetch = (issuer: string, outcome: FetchedKeys | Error) => void;

type KeyConfig = Pick<IssuerConfig, "issuer" | "jwksUri" | "keyMaxAgeSeconds" | "keyStaleSeconds">;

/** Who wait. Each has a place that another would have whose key is at hand. */
interface Waiting {
  count: number;
  readonly most: number;
}

interface IssuerKeysParts {
  /** ms by a clock that is never set, since ages must not jump. */
  readonly elapsed: () => number;
  readonly observe: ObserveFetch;
  /** For a key that is not among those at hand, of all issuers. */
  readonly waiting: Waiting;
  /** Who may wait for any of this one's, where none serve. */
  readonly mostForAny: number;
  readonly tracing?: Tracing | undefined;
}

interface KeySet {
  readonly keys: readonly PublicKey[];
  /** When it was asked for, by the clock that is never set. */
  readonly at: number;
}

export class IssuerKeys {
  readonly #config: KeyConfig;
  readonly #elapsed: () => number;
  readonly #observe: ObserveFetch;
  readonly #waiting: Waiting;
  readonly #waitingForAny: Waiting;
  readonly #tracing: Tracing | undefined;
  #held: KeySet | undefined;
  #jwksUri: { readonly uri: string; readonly at: number } | undefined;
  /** When the last fetch began, and the one before it. */
  #triedAt: readonly [number, number] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  #failedAt = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #lastError: unknown;
  #underWay: Promise<void> | undefined;

  constructor(config: KeyConfig, { elapsed, observe, waiting, mostForAny, tracing }: IssuerKeysParts) {
    this.#config = config;
    this.#elapsed = elapsed;
    this.#observe = observe;
    this.#waiting = waiting;
    this.#waitingForAny = { count: 0, most: mostForAny };
    this.#tracing = tracing;
  }

  /**
   * The one key of this algorithm and id. Throws an `AuthenticationFailure` when the issuer has none, KEYS_UNAVAILABLE when
   * it cannot be asked.
   */
  async find(alg: string, kid: string | undefined): Promise<PublicKey> {
    const found = select(await this.#current(), alg, kid);
    if (found !== undefined) return found;
    await this.#waitFor(this.#mayTry() ? this.#fetch() : this.#underWay, this.#waiting);
    const added = select(await this.#current(), alg, kid);
    if (added !== undefined) return added;
    if (this.#failures > 0) throw this.#unavailable();
    throw new AuthenticationFailure("unknown_key", "the issuer has no such key");
  }

  async #waitFor(fetching: Promise<void> | undefined, waiting: Waiting): Promise<void> {
    if (fetching === undefined) return;
    if (waiting.count >= waiting.most) throw this.#unavailable();
    waiting.count += 1;
    try {
      await fetching;
    } finally {
      waiting.count -= 1;
    }
  }

  /** Whether a key that was found here is still the issuer's. Throws KEYS_UNAVAILABLE as `find` does. */
  async has(key: PublicKey): Promise<boolean> {
    return (await this.#current()).includes(key);
  }

  /** Resolves once the issuer has answered; throws KEYS_UNAVAILABLE until then. */
  async check(): Promise<void> {
    await this.#current();
  }

  async #current(): Promise<readonly PublicKey[]> {
    const greatestAge = this.#config.keyMaxAgeSeconds * 1000;
    if (this.age < greatestAge / 2 && this.#held !== undefined) return this.#held.keys;
    const canServe = this.age < greatestAge || (this.#failures > 0 && this.age < this.#mostStale());
    if (this.#mayTry()) void this.#fetch();
    if (!canServe) await this.#waitFor(this.#underWay, this.#waitingForAny);
    if (this.#held === undefined || this.age >= this.#mostStale()) throw this.#unavailable();
    return this.#held.keys;
  }

  /** ms, of the keys that are held; infinite when there are none. */
  get age(): number {
    return this.#held === undefined ? Number.POSITIVE_INFINITY : this.#elapsed() - this.#held.at;
  }

  #mostStale(): number {
    return (this.#config.keyMaxAgeSeconds + this.#config.keyStaleSeconds) * 1000;
  }

  /**
   * Whether it is time to ask again. With keys that still serve: twice in ten seconds at most, whatever is asked of them.
   * Without: after a pause that grows with each failure, counted from its end, or an issuer that does not answer would be
   * asked nearly all the time.
   */
  #mayTry(): boolean {
    const now = this.#elapsed();
    const [last, beforeLast] = this.#triedAt;
    if (this.age < this.#mostStale()) return now - last >= COOL_DOWN_MS && now - beforeLast >= TWO_FETCHES_MS;
    // Without a failure since the last keys, the one before is longer ago than any pause, or at no time.
    return now - this.#failedAt >= Math.min(COOL_DOWN_MS, FIRST_BACK_OFF_MS * 2 ** (this.#failures - 1));
  }

  /** One at a time; never rejects. */
  #fetch(): Promise<void> {
    this.#underWay ??= this.#tryFetch().finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  async #tryFetch(): Promise<void> {
    const at = this.#elapsed();
    this.#triedAt = [at, this.#triedAt[0]];
    try {
      const deadline = AbortSignal.timeout(FETCH_TIMEOUT_MS);
      const known = this.#held?.keys ?? [];
      const fetch = async () => fetchKeys(await this.#findJwksUri(at, deadline), known, deadline);
      const fetched = await (this.#tracing?.span(this.#about(), fetch) ?? fetch());
      this.#held = { keys: fetched.usable, at };
      this.#failures = 0;
      this.#observe(this.#config.issuer, fetched);
    } catch (error) {
      this.#failures += 1;
      this.#lastError = error;
      this.#jwksUri = undefined;
      this.#failedAt = this.#elapsed();
      this.#observe(this.#config.issuer, error instanceof Error ? error : new Error("the fetch failed"));
    }
  }

  /** The issuer is not told of the trace: it is nobody of the operator's. */
  #about(): SpanAbout {
    return { name: "fetch issuer keys", kind: "client", attributes: { "gateway.issuer": this.#config.issuer } };
  }

  async #findJwksUri(at: number, deadline: AbortSignal): Promise<string> {
    if (this.#config.jwksUri !== null) return this.#config.jwksUri;
    if (this.#jwksUri === undefined || at - this.#jwksUri.at >= DISCOVERY_MS) {
      this.#jwksUri = { uri: await discoverJwksUri(this.#config.issuer, deadline), at };
    }
    return this.#jwksUri.uri;
  }

  #unavailable(): GatewayError {
    const message = "The keys of the token's issuer cannot be fetched.";
    return new GatewayError("KEYS_UNAVAILABLE", message, { cause: this.#lastError });
  }
}

/** Undefined also when several different ones fit: which one is meant cannot be told (RFC 7515 appendix D). */
function select(keys: readonly PublicKey[], alg: string, kid: string | undefined): PublicKey | undefined {
  const fitting = keys.filter((key) => (kid === undefined || key.kid === kid) && keyFits(key, alg));
  const [first] = fitting;
  return fitting.every(({ thumbprint }) => thumbprint === first?.thumbprint) ? first : undefined;
}
