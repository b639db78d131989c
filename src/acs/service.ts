/**
 * Communication Services as the gateway sees it: six calls, each with a deadline.
 *
 * Whoever calls may rely on this: a create is never repeated when it may have taken effect, for a repeated create makes a
 * second identity; what is repeated within a call is done once for whoever called, and it ends within the configured time
 * (waiting, pacing and repeating included), or by the deadline where one is given. A call fails with a `ServiceFailure`,
 * which says whether it may have taken effect. The two answers that callers branch on have a class of their own.
 *
 * `service-azure.ts` makes a call once, by Microsoft's client (and once more with the other access key, if the service has
 * refused the first and so done nothing); `guard/guard.ts` stands before it and decides when, and whether again.
 */
import type { TokenScope } from "../config/config.js";
import { GatewayError } from "../errors.js";

export interface ServiceToken {
  /** A bearer secret; opaque. */
  readonly token: string;
  /** ms since 1970 */
  readonly expiresOn: number;
  /** Of the access key that it was made with: a key that is made anew at the service takes its tokens with it. */
  readonly credentialId: string;
}

export interface TokenRequest {
  readonly scopes: readonly TokenScope[];
  /** 60 to 1440 */
  readonly lifetimeMinutes: number;
}

export interface TeamsTokenRequest {
  /** The Entra ID access token of a Teams user; a secret. */
  readonly teamsUserAadToken: string;
  readonly clientId: string;
  readonly userObjectId: string;
}

export const SERVICE_OPERATIONS = [
  "createIdentity",
  "createIdentityWithToken",
  "issueToken",
  "revokeTokens",
  "deleteIdentity",
  "exchangeTeamsToken",
] as const;
export type ServiceOperation = (typeof SERVICE_OPERATIONS)[number];

/**
 * Who is served first when not all can be. `expiring`: the client's last token has ended, or ends soon. `early`: it is good
 * for long. `normal`: the client has none yet, or nobody knows.
 */
export type Urgency = "expiring" | "normal" | "early";

/** What a caller may say about a call. */
export interface CallTerms {
  /** Once it is aborted nothing is begun any more; what is under way goes on. */
  readonly beginBy?: AbortSignal | undefined;
  /**
   * Ends the call, and what is under way. Not for a create, because one cut short leaves an identity that nobody knows, nor
   * for an issue, which several callers may share.
   */
  readonly deadline?: AbortSignal | undefined;
  readonly urgency?: Urgency | undefined;
}

export interface CommunicationService {
  /** The host of the resource that owns what is made, such as contoso.communication.azure.com. */
  readonly resource: string;
  /** Of the access key in use now. */
  readonly credentialId: string;
  createIdentity(terms?: CallTerms): Promise<{ communicationUserId: string }>;
  /** Identity and first token in one call. */
  createIdentityWithToken(
    request: TokenRequest,
    terms?: CallTerms,
  ): Promise<{ communicationUserId: string; token: ServiceToken }>;
  /** @throws {IdentityNotOwned} */
  issueToken(communicationUserId: string, request: TokenRequest, terms?: CallTerms): Promise<ServiceToken>;
  /** Revokes every token issued so far. @throws {IdentityNotOwned} */
  revokeTokens(communicationUserId: string, terms?: CallTerms): Promise<void>;
  /** Revokes, blocks and erases. @throws {IdentityNotOwned} also for an identity that is already gone */
  deleteIdentity(communicationUserId: string, terms?: CallTerms): Promise<void>;
  /** @throws {TeamsTokenRejected} */
  exchangeTeamsToken(request: TeamsTokenRequest, terms?: CallTerms): Promise<ServiceToken>;
  /** Resolves when the service answers at all; proves neither the key nor its permissions. */
  check(deadline: AbortSignal): Promise<void>;
}

/** How long after a confirmed revocation the service may still accept a revoked token, by its documentation. */
export const REVOCATION_SPREAD_MS = 15 * 60_000;

/**
 * Why a call failed. `notBegun`: it was not worth it, or could not be begun in time. `unreachable`: no connection.
 * `broken`: a connection that broke, or an answer that cannot be used. `timeout`: no answer. `outOfOrder`: an error of the
 * service's own (5xx, 408). `throttled`: too many calls (429). `refused`: any other no (4xx).
 * `left`: the caller's own time was up while the service was at it, which says nothing about the service.
 */
export type FailureReason =
  | "notBegun"
  | "unreachable"
  | "broken"
  | "timeout"
  | "outOfOrder"
  | "throttled"
  | "refused"
  | "left";

/** In answer to these the service has said something. */
const ANSWERS: readonly FailureReason[] = ["outOfOrder", "throttled", "refused"];
/** These surely changed nothing. A server's error, or a connection that broke, may have come after the effect. */
const WITHOUT_EFFECT: readonly FailureReason[] = ["notBegun", "unreachable", "throttled", "refused"];

/** DEADLINE_EXCEEDED when no answer came in time, UPSTREAM_UNAVAILABLE when the service refused, was down or paces us. */
export class ServiceFailure extends GatewayError {
  /** "none" when the call surely changed nothing, "unknown" when it may have. */
  readonly effect: "none" | "unknown";
  /** Seconds that the service itself asked to wait; undefined when it did not. */
  readonly askedToWaitSeconds: number | undefined;
  /** The service has answered, with an error. */
  readonly isAnswer: boolean;

  constructor(
    readonly reason: FailureReason,
    message: string,
    details: FailureDetails = {},
  ) {
    const { cause, askedToWaitSeconds, retryAfterSeconds = askedToWaitSeconds } = details;
    super(reason === "timeout" || reason === "left" ? "DEADLINE_EXCEEDED" : "UPSTREAM_UNAVAILABLE", message, {
      cause,
      retryAfterSeconds,
    });
    this.effect = WITHOUT_EFFECT.includes(reason) ? "none" : "unknown";
    this.askedToWaitSeconds = askedToWaitSeconds;
    this.isAnswer = ANSWERS.includes(reason);
  }
}

interface FailureDetails {
  readonly askedToWaitSeconds?: number | undefined;
  /** Where the service did not ask. */
  readonly retryAfterSeconds?: number | undefined;
  readonly cause?: unknown;
}

/**
 * Whether the service has made no token, as far as anybody is told: it was not reached, refused, or answered an error. One
 * that did not answer may have.
 */
export function hasMintedNothing(error: unknown): boolean {
  return error instanceof ServiceFailure && (error.effect === "none" || error.isAnswer);
}

/** The service does not know the identity as one of this resource: it belongs to another resource or was deleted there. */
export class IdentityNotOwned extends Error {
  override readonly name = "IdentityNotOwned";
}

/** The service refused the Teams user's token or what it was said to belong to. */
export class TeamsTokenRejected extends Error {
  override readonly name = "TeamsTokenRejected";
}
