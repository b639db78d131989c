/** The gateway's codes are those of its errors and user errors; the others are the client's own. */
export type TokenRefreshErrorCode =
  /** `getCallerToken` failed (see `cause`), or what it gave is no token. */
  | "CALLER_TOKEN_UNAVAILABLE"
  /** No answer came: no network, a wrong address, or a web page's origin that the gateway does not list. See `cause`. */
  | "NETWORK_ERROR"
  /** No answer came in time. */
  | "TIMEOUT"
  /** An answer came that is not the gateway's. */
  | "UNEXPECTED_ANSWER"
  /** The token that came has ended already, by the clock of the device. */
  | "CLOCK_WRONG"
  | "UNAUTHENTICATED"
  | "SCOPE_NOT_ALLOWED"
  | "LIFETIME_NOT_ALLOWED"
  | "IDENTITY_SUSPENDED"
  | "IDENTITY_NOT_FOUND"
  | "RATE_LIMITED"
  | "UPSTREAM_UNAVAILABLE"
  // Any other of the gateway's, of a later version too.
  | (string & {});

/** What to do about it, where the gateway's own words do not say. */
const CURES: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  CALLER_TOKEN_UNAVAILABLE: "Sign the user in, then ask again.",
  NETWORK_ERROR: "Check the network and `url`, and for a web page the gateway's server.corsOrigins.",
  TIMEOUT: "Check the network, or raise tryTimeoutSeconds.",
  UNEXPECTED_ANSWER: "Check that `url` is the gateway's, with /graphql at its end.",
  CLOCK_WRONG: "Set the device's clock.",
  UNAUTHENTICATED: "Sign the user in again; getCallerToken has to give a token for the gateway.",
  SCOPE_NOT_ALLOWED: "Ask for fewer `scopes`, or have the operator allow them.",
  LIFETIME_NOT_ALLOWED: "Leave `lifetimeMinutes` out for the most that is allowed.",
  IDENTITY_SUSPENDED: "Only an administrator can reinstate it.",
  BAD_REQUEST:
    "Where only trusted documents are run, the operator adds schema/persisted-documents.json of this package.",
});

interface About {
  /** Whether the same call, made later, can succeed. */
  readonly retryable: boolean;
  readonly retryAfterSeconds?: number | undefined;
  readonly status?: number;
  readonly requestId?: string | null | undefined;
  readonly cause?: unknown;
}

/** Why there is no token. The message says what is wrong and what to do about it; it never holds a token. */
export class TokenRefreshError extends Error {
  override readonly name = "TokenRefreshError";
  readonly code: TokenRefreshErrorCode;
  /** Whether the same call, made later, can succeed. */
  readonly retryable: boolean;
  /** Seconds to wait before that, where the gateway says. */
  readonly retryAfterSeconds: number | undefined;
  /** Of HTTP; undefined where no answer came. */
  readonly status: number | undefined;
  /** Under which the gateway's log has the last try. */
  readonly requestId: string | undefined;
  override readonly cause: unknown;

  constructor(code: TokenRefreshErrorCode, message: string, about: About) {
    super([message, CURES[code]].filter(Boolean).join(" "));
    this.code = code;
    this.retryable = about.retryable;
    const { retryAfterSeconds } = about;
    this.retryAfterSeconds = Number.isFinite(retryAfterSeconds) ? Math.max(0, Number(retryAfterSeconds)) : undefined;
    this.status = about.status;
    this.requestId = about.requestId ?? undefined;
    this.cause = about.cause;
  }
}
