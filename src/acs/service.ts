/**
 * Communication Services as the gateway sees it: six calls, each made once, each with a deadline.
 *
 * Whoever calls may rely on this: a call is never repeated behind the caller's back (a repeated create makes a second
 * identity), unless the service has refused the access key and so done nothing, when it is made once more with the other
 * key; and it ends within the configured time, or by the deadline where one can be given. A create takes none, because
 * one cut short leaves an identity that nobody knows, nor does an issue, which several callers may share. A call fails with
 * a `ServiceFailure`, which says whether it may have taken effect. The two answers that callers branch on have a class of
 * their own.
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

export interface CommunicationService {
  /** The host of the resource that owns what is made, such as contoso.communication.azure.com. */
  readonly resource: string;
  /** Of the access key in use now. */
  readonly credentialId: string;
  createIdentity(): Promise<{ communicationUserId: string }>;
  /** Identity and first token in one call. */
  createIdentityWithToken(request: TokenRequest): Promise<{ communicationUserId: string; token: ServiceToken }>;
  /** @throws {IdentityNotOwned} */
  issueToken(communicationUserId: string, request: TokenRequest): Promise<ServiceToken>;
  /** Revokes every token issued so far. @throws {IdentityNotOwned} */
  revokeTokens(communicationUserId: string, deadline?: AbortSignal): Promise<void>;
  /** Revokes, blocks and erases. @throws {IdentityNotOwned} also for an identity that is already gone */
  deleteIdentity(communicationUserId: string, deadline?: AbortSignal): Promise<void>;
  /** @throws {TeamsTokenRejected} */
  exchangeTeamsToken(request: TeamsTokenRequest, deadline: AbortSignal): Promise<ServiceToken>;
  /** Resolves when the service answers at all; proves neither the key nor its permissions. */
  check(deadline: AbortSignal): Promise<void>;
}

/** How long after a confirmed revocation the service may still accept a revoked token, by its documentation. */
export const REVOCATION_SPREAD_MS = 15 * 60_000;

/**
 * DEADLINE_EXCEEDED when no answer came in time, UPSTREAM_UNAVAILABLE when the service refused, was down or paced us.
 * `effect`: "none" when the call surely changed nothing, "unknown" when it may have.
 */
export class ServiceFailure extends GatewayError {
  readonly effect: "none" | "unknown";
  /** Seconds that the service itself asked to wait; undefined when it did not. */
  readonly askedToWaitSeconds: number | undefined;
  /** The service has answered, with an error. */
  readonly isAnswer: boolean;

  constructor(code: "DEADLINE_EXCEEDED" | "UPSTREAM_UNAVAILABLE", message: string, details: FailureDetails) {
    super(code, message, { cause: details.cause, retryAfterSeconds: details.askedToWaitSeconds });
    this.effect = details.effect;
    this.askedToWaitSeconds = details.askedToWaitSeconds;
    this.isAnswer = details.isAnswer ?? false;
  }
}

interface FailureDetails {
  readonly effect: "none" | "unknown";
  readonly askedToWaitSeconds?: number | undefined;
  readonly isAnswer?: boolean;
  readonly cause: unknown;
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
