/**
 * How much one caller may cost: requests by subject, tokens minted at the service by subject and by issuer, revocations of
 * one's own tokens by subject, failed authentication by network.
 *
 * Budgets are per minute. With Redis they are counted there, for all instances together; while it is away or slow, each
 * instance grants its part of them by a count of its own, so nobody is refused for Redis' sake and nothing is unlimited.
 * Without Redis there is one instance, and it counts for itself. Keys are keyed hashes: they name neither user nor
 * address, and cannot be guessed.
 */
import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import type { LimitsConfig } from "../config/config.js";
import type { Secret } from "../config/secret.js";
import type { ApplicationUser } from "../identities/identity.js";
import type { RedisConnection } from "../shared/redis.js";
import { type Counter, type Take, withFallback } from "./counter.js";
import { memoryCounter } from "./counter-memory.js";
import { redisCounter } from "./counter-redis.js";
import { type BudgetName, type Quota, RateLimited } from "./quota.js";

const WINDOW_SECONDS = 60;

interface LimitsParts {
  readonly config: LimitsConfig;
  /** 32 bytes, base64; the same in all instances. */
  readonly key: Secret;
  /** None: the whole budgets are this process's. */
  readonly redis?: RedisConnection | undefined;
  /** ms since 1970; Redis goes by its own clock. */
  readonly now: () => number;
  /** Told each time that Redis could not be asked. */
  readonly observe: (error: unknown) => void;
  /** A minute unless a test is in a hurry. */
  readonly windowSeconds?: number;
}

/** What was taken for one token. */
export interface Mint {
  readonly quota: Quota;
  /** Never rejects. */
  giveBack(): Promise<void>;
}

interface Budget {
  readonly name: BudgetName;
  readonly counter: Counter;
  /** What a caller is told when it is spent. */
  readonly message: string;
}

export class Limits {
  readonly #requests: Budget;
  readonly #mints: Budget;
  readonly #issuerMints: Budget;
  readonly #revocations: Budget;
  readonly #failedAuth: Budget;
  readonly #windowSeconds: number;
  readonly #key: KeyObject;
  /** A caller is one object as long as their token is remembered. */
  readonly #keysOfUsers = new WeakMap<ApplicationUser, string>();

  constructor(parts: LimitsParts) {
    const { config, windowSeconds = WINDOW_SECONDS } = parts;
    const budget = (name: BudgetName, limit: number, message: string): Budget => {
      return { name, message, counter: createCounter({ ...parts, windowSeconds }, name, limit) };
    };
    this.#windowSeconds = windowSeconds;
    this.#key = createSecretKey(parts.key.bytes());
    this.#requests = budget("requests", config.requestsPerSubject, "Too many requests; wait before sending the next.");
    this.#mints = budget(
      "mints",
      config.mintsPerSubject,
      "Too many tokens for this user; keep a token until its refreshAfter.",
    );
    this.#issuerMints = budget(
      "issuer-mints",
      config.mintsPerIssuer,
      "Too many tokens for the users of this issuer; try again later.",
    );
    this.#revocations = budget(
      "revocations",
      config.revocationsPerSubject,
      "Too many revocations for this user; those before this one hold.",
    );
    this.#failedAuth = budget(
      "failed-auth",
      config.failedAuthPerAddress,
      "Too many failed attempts from this address.",
    );
  }

  /** Counts one request. Throws RATE_LIMITED when the subject's budget is spent. */
  async takeRequest(user: ApplicationUser): Promise<Quota> {
    const take = await this.#requests.counter.take(this.#keyOfUser(user));
    return this.#granted(this.#requests, take, user);
  }

  /**
   * Counts one token about to be minted for this user. Throws RATE_LIMITED when the user's or the issuer's budget is spent,
   * and then neither has lost anything. The quota is the user's; what no token comes of is to be given back.
   */
  async takeMint(user: ApplicationUser): Promise<Mint> {
    const own = await this.#mints.counter.take(this.#keyOfUser(user));
    const quota = this.#granted(this.#mints, own, user);
    const issuers = await this.#issuerMints.counter.take(this.#keyOf(user.issuer));
    if (!issuers.granted) await own.giveBack();
    this.#granted(this.#issuerMints, issuers, null);
    const giveBack = async () => {
      await Promise.all([own.giveBack(), issuers.giveBack()]);
    };
    return { quota, giveBack };
  }

  /** Counts one revocation that a user asks for, each of which is a call to the service. Throws RATE_LIMITED when the budget is spent. */
  async takeRevocation(user: ApplicationUser): Promise<Quota> {
    return this.#granted(this.#revocations, await this.#revocations.counter.take(this.#keyOfUser(user)), user);
  }

  /**
   * Counts one token that did not verify. Throws RATE_LIMITED when the network's budget is spent. A good token is never held
   * up by this: many users can share an address.
   */
  async takeFailedAuth(network: string): Promise<void> {
    this.#granted(this.#failedAuth, await this.#failedAuth.counter.take(this.#keyOf(network)), null);
  }

  #keyOfUser(user: ApplicationUser): string {
    const key = this.#keysOfUsers.get(user) ?? this.#keyOf(user.issuer, user.subject);
    this.#keysOfUsers.set(user, key);
    return key;
  }

  /** As JSON, no part can be taken for another. */
  #keyOf(...parts: readonly string[]): string {
    return createHmac("sha256", this.#key).update(JSON.stringify(parts)).digest("base64url");
  }

  #granted({ name, message }: Budget, { granted, limit, remaining, msLeft }: Take, user: Quota["user"]): Quota {
    const resetSeconds = Math.max(1, Math.ceil(msLeft / 1000));
    const quota = { name, user, limit, windowSeconds: this.#windowSeconds, remaining, resetSeconds };
    if (!granted) throw new RateLimited(message, quota);
    return quota;
  }
}

interface CounterParts extends Pick<LimitsParts, "redis" | "now" | "observe"> {
  readonly config: Pick<LimitsConfig, "instances" | "rememberedCounts">;
  readonly windowSeconds: number;
}

/** Counted in Redis and, while it cannot be asked, here as this instance's part; without Redis here. */
function createCounter(parts: CounterParts, name: string, limit: number): Counter {
  const { config, redis, now, observe, windowSeconds } = parts;
  // Who has more users or networks than that to send from in a minute gains little by having an old count forgotten.
  const local = { windowSeconds, maxKeys: config.rememberedCounts, now };
  if (redis === undefined) return memoryCounter({ ...local, limit });
  const part = Math.max(1, Math.floor(limit / config.instances));
  return withFallback(
    redisCounter(redis, { name, limit, windowSeconds, elapsed: () => performance.now() }),
    memoryCounter({ ...local, limit: part }),
    observe,
  );
}
