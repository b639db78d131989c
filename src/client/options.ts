import type { AbortSignalLike } from "./abort.js";
import type { TokenRefreshError } from "./token-refresh-error.js";

export type TokenScope = "CHAT" | "CHAT_JOIN" | "CHAT_JOIN_LIMITED" | "VOIP" | "VOIP_JOIN";

export interface CallerTokenRequest {
  /** The gateway has just refused the last one: get a new one past any cache. */
  readonly forceRefresh: boolean;
  /** Aborted when nobody waits for it any more. */
  readonly signal: AbortSignal;
}

/** The part of `fetch` that the client uses. */
export type Fetch = (
  url: string,
  init: {
    readonly method: "POST";
    readonly headers: Record<string, string>;
    readonly body: string;
    readonly signal: AbortSignal;
  },
) => Promise<{
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  text(): Promise<string>;
}>;

export interface TokenRefresherOptions {
  /** The gateway's, such as `https://tokens.example.com/graphql`. In a browser `/graphql` will do for the page's own origin. */
  readonly url: string;
  /**
   * Gives the user's access token for the gateway, without "Bearer" before it, from the app's sign-in library. Asked before each
   * try, so it should come from that library's cache. May take its time, as for a sign-in.
   */
  readonly getCallerToken: (request: CallerTokenRequest) => string | Promise<string>;
  /** At least one; the fewest that the app needs. */
  readonly scopes: readonly TokenScope[];
  /** 60 to 1440. Left out: the most that the gateway's policy allows. */
  readonly lifetimeMinutes?: number | undefined;
  /** Never a token that was handed out before: for when one has stopped working before its time. */
  readonly forceNew?: boolean | undefined;
  /** The gateway has this package's `schema/persisted-documents.json`: name the document in place of sending it. */
  readonly persisted?: boolean | undefined;
  /** Names the app in the gateway's log, metrics and audit trail. */
  readonly clientName?: string | undefined;
  readonly clientVersion?: string | undefined;
  /** Ends every refresh, such as at sign-out: a disposed credential does not. */
  readonly signal?: AbortSignalLike | undefined;
  /**
   * How long a refresh goes on while it fails in ways that can pass, in seconds; `Infinity` is allowed. Left out: 30 for the first
   * token, without end afterwards.
   */
  readonly giveUpAfterSeconds?: number | undefined;
  /** How long the gateway may take for its answer to one try, in seconds; 15 when left out. */
  readonly tryTimeoutSeconds?: number | undefined;
  /** In place of the global one, such as to add a DPoP proof. */
  readonly fetch?: Fetch | undefined;
  /** Told of each failure that is followed by another try, and of the seconds until then. */
  readonly onRetry?: ((error: TokenRefreshError, waitSeconds: number) => void) | undefined;
}

/** A token as Azure's credentials take it. Times are in milliseconds since 1970. */
export interface RefreshedToken {
  /** A bearer secret, opaque. */
  readonly token: string;
  readonly expiresOnTimestamp: number;
  /** When the gateway would have the next one asked for, at the earliest. */
  readonly refreshAfterTimestamp: number;
}

/** Throws a `TypeError` for what a program got wrong, before anything is asked for. */
export function checkOptions(options: TokenRefresherOptions): void {
  const { url, getCallerToken, scopes, fetch = globalThis.fetch } = options;
  const complain = (what: string) => {
    throw new TypeError(what);
  };
  if (!/^(https?:\/)?\//i.test(url)) complain("`url` has to be https://.../graphql.");
  if (typeof getCallerToken !== "function") complain("`getCallerToken` has to be a function.");
  if (typeof fetch !== "function") complain("`fetch` has to be a function.");
  if (!Array.isArray(scopes) || !scopes.length) complain('`scopes` has to be such as ["CHAT"].');
  for (const name of ["lifetimeMinutes", "giveUpAfterSeconds", "tryTimeoutSeconds"] as const)
    if (!((options[name] ?? 1) >= 0)) complain(`\`${name}\` has to be a number.`);
  // As headers are.
  if (/[^ -~]/.test(`${options.clientName}${options.clientVersion}`))
    complain("`clientName` or `clientVersion` has to be ASCII.");
}
