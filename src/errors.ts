/**
 * The two ways in which a call can fail.
 *
 * A `GatewayError` ends the whole request and reaches the client as a top-level GraphQL error with an HTTP status; the
 * table below is the only place that knows which. A `Refusal` is an answer that the caller can act on and reaches the
 * client in a payload's `userErrors`. Anything else that is thrown is a bug and is masked.
 */

interface ErrorKind {
  readonly status: number;
  /** Whether the same call, sent again later, can succeed. */
  readonly retryable: boolean;
  /** Whole seconds to wait when the thrower knows no better. */
  readonly retryAfterSeconds?: number;
  /** Who is told so waits up to so many seconds more: one failure ends many requests at one instant. */
  readonly spreadSeconds?: number;
}

const SOON = { retryAfterSeconds: 5, spreadSeconds: 5 } as const;

const KINDS = {
  UNAUTHENTICATED: { status: 401, retryable: false },
  FORBIDDEN: { status: 403, retryable: false },
  BAD_REQUEST: { status: 400, retryable: false },
  GRAPHQL_PARSE_FAILED: { status: 400, retryable: false },
  GRAPHQL_VALIDATION_FAILED: { status: 400, retryable: false },
  BAD_USER_INPUT: { status: 400, retryable: false },
  RATE_LIMITED: { status: 429, retryable: true, retryAfterSeconds: 60 },
  UPSTREAM_UNAVAILABLE: { status: 503, retryable: true, ...SOON },
  DEADLINE_EXCEEDED: { status: 504, retryable: true },
  AUDIT_UNAVAILABLE: { status: 503, retryable: true, ...SOON },
  STORE_UNAVAILABLE: { status: 503, retryable: true, ...SOON },
  KEYS_UNAVAILABLE: { status: 503, retryable: true, ...SOON },
  INTERNAL_SERVER_ERROR: { status: 500, retryable: false },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof KINDS;

export const ERROR_CODES = Object.keys(KINDS) as readonly ErrorCode[];

/** What a client may assume of a code; undefined for a code that is not ours. */
export function errorKind(code: unknown): ErrorKind | undefined {
  return typeof code === "string" && Object.hasOwn(KINDS, code) ? KINDS[code as ErrorCode] : undefined;
}

interface GatewayErrorOptions {
  /** Whole seconds. */
  readonly retryAfterSeconds?: number | undefined;
  /** Added to them at random, up to so many, where a crowd is told of one time. */
  readonly spreadSeconds?: number | undefined;
  readonly cause?: unknown;
  /** The argument that is at fault, for BAD_USER_INPUT. */
  readonly argument?: string | undefined;
  /** 0 ≤ x < 1; `Math.random` unless a test brings its own. */
  readonly random?: (() => number) | undefined;
}

/** Ends the request. The message reaches the client, so it never holds a secret; the cause goes to the log only. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  readonly retryAfterSeconds: number | undefined;
  readonly argument: string | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: GatewayErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.argument = options.argument;
    const kind: ErrorKind = KINDS[code];
    const { retryAfterSeconds, spreadSeconds = 0 } = options.retryAfterSeconds === undefined ? kind : options;
    const { random = Math.random } = options;
    const spread = Math.floor(random() * (spreadSeconds + 1));
    this.retryAfterSeconds = retryAfterSeconds === undefined ? undefined : retryAfterSeconds + spread;
  }
}

export type RefusalCode =
  | "SCOPE_NOT_ALLOWED"
  | "LIFETIME_NOT_ALLOWED"
  | "IDENTITY_NOT_FOUND"
  | "IDENTITY_SUSPENDED"
  | "IDENTITY_DELETING"
  | "REVOCATION_PENDING"
  | "TEAMS_TOKEN_REJECTED"
  | "INVALID_INPUT";

/** An expected answer of "no": names the input field at fault (outermost first) and says what would be accepted. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  constructor(
    readonly code: RefusalCode,
    message: string,
    readonly path: readonly string[],
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }
}

/** The gateway cannot start. The message is one line for the operator: what is wrong, and how to mend it. */
export class StartError extends Error {
  override readonly name = "StartError";
}
