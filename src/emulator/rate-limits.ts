import { ServiceError } from "./errors.js";

/** A call of `createIdentity` that asks for a token has a budget of its own. */
export const LIMITED_CALLS = [
  "createIdentity",
  "createIdentityWithToken",
  "issueAccessToken",
  "deleteIdentity",
  "revokeAccessTokens",
  "exchangeTeamsUserAccessToken",
] as const;
export type LimitedCall = (typeof LIMITED_CALLS)[number];

/** Calls in a window of 30 s. */
export type Limits = Readonly<Record<LimitedCall, number>>;

const WINDOW_MS = 30_000;

const PUBLISHED: Limits = {
  createIdentity: 1000,
  createIdentityWithToken: 1000,
  issueAccessToken: 1000,
  deleteIdentity: 500,
  revokeAccessTokens: 500,
  exchangeTeamsUserAccessToken: 500,
};

interface Window {
  readonly startedAt: number;
  count: number;
}

/** The published limits of a resource, in fixed windows that begin with their first call. */
export class RateLimits {
  #enabled: boolean;
  #limits = PUBLISHED;
  readonly #now: () => number;
  readonly #windows = new Map<LimitedCall, Window>();

  constructor(enabled: boolean, now: () => number) {
    this.#enabled = enabled;
    this.#now = now;
  }

  get settings(): { enabled: boolean; windowSeconds: number; limits: Limits } {
    return { enabled: this.#enabled, windowSeconds: WINDOW_MS / 1000, limits: this.#limits };
  }

  /** What is left out stays as it is. Every window begins anew. */
  change(settings: { enabled?: boolean | undefined; limits: Partial<Limits> }): void {
    this.#enabled = settings.enabled ?? this.#enabled;
    this.#limits = { ...this.#limits, ...settings.limits };
    this.#windows.clear();
  }

  /** Refused calls count too: the published advice is that all requests accrue. */
  take(call: LimitedCall): void {
    if (!this.#enabled) return;
    const window = this.#window(call);
    window.count += 1;
    if (window.count > this.#limits[call]) throw tooManyRequests(window.startedAt + WINDOW_MS - this.#now());
  }

  #window(call: LimitedCall): Window {
    const now = this.#now();
    const current = this.#windows.get(call);
    if (current !== undefined && now >= current.startedAt && now < current.startedAt + WINDOW_MS) return current;
    const next = { startedAt: now, count: 0 };
    this.#windows.set(call, next);
    return next;
  }
}

/** No recording shows the service's own 429, nor whether it says when to come back. */
function tooManyRequests(waitMs: number): ServiceError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new ServiceError({
    status: 429,
    code: "TooManyRequests",
    message: `Too many requests. Try again in ${seconds} seconds.`,
    headers: { "retry-after": String(seconds) },
  });
}
