/**
 * How much one caller may cost. Budgets are per minute and counted in this process: requests by subject, tokens minted at
 * the service by subject and by issuer, failed authentication by address.
 */
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { LimitsConfig } from "../config/config.js";
import { GatewayError } from "../errors.js";
import type { ApplicationUser } from "../identities/identity.js";

const WINDOW_SECONDS = 60;

export class Limits {
  readonly #requests: RateLimiterMemory;
  readonly #mintsBySubject: RateLimiterMemory;
  readonly #mintsByIssuer: RateLimiterMemory;
  readonly #failedAuth: RateLimiterMemory;

  constructor(config: LimitsConfig) {
    const budget = (points: number) => new RateLimiterMemory({ points, duration: WINDOW_SECONDS });
    this.#requests = budget(config.requestsPerSubject);
    this.#mintsBySubject = budget(config.mintsPerSubject);
    this.#mintsByIssuer = budget(config.mintsPerIssuer);
    this.#failedAuth = budget(config.failedAuthPerAddress);
  }

  /** Counts one request. Throws RATE_LIMITED when the subject's budget is spent. */
  async takeRequest(user: ApplicationUser): Promise<void> {
    await take(this.#requests, subjectKey(user), "Too many requests; wait before sending the next.");
  }

  /** Counts one token about to be minted for this user. Throws RATE_LIMITED when a budget is spent. */
  async takeMint(user: ApplicationUser): Promise<void> {
    await take(
      this.#mintsBySubject,
      subjectKey(user),
      "Too many tokens for this user; keep a token until its refreshAfter.",
    );
    await take(this.#mintsByIssuer, user.issuer, "Too many tokens for the users of this issuer; try again later.");
  }

  /**
   * Counts one token that did not verify. Throws RATE_LIMITED when the address's budget is spent. A good token is never held
   * up by this: many users can share an address.
   */
  async takeFailedAuth(address: string): Promise<void> {
    await take(this.#failedAuth, address, "Too many failed attempts from this address.");
  }
}

function subjectKey({ issuer, subject }: ApplicationUser): string {
  return `${issuer}\n${subject}`;
}

async function take(limiter: RateLimiterMemory, key: string, message: string): Promise<void> {
  try {
    await limiter.consume(key);
  } catch (state) {
    throw state instanceof RateLimiterRes ? spent(state, message) : state;
  }
}

function spent({ msBeforeNext }: RateLimiterRes, message: string): GatewayError {
  return new GatewayError("RATE_LIMITED", message, { retryAfterSeconds: Math.max(1, Math.ceil(msBeforeNext / 1000)) });
}
