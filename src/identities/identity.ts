/**
 * An identity: the mapping of one application user to one Communication Services identity.
 *
 * Life: PROVISIONING (a row, and no identity at the service that is known) → ACTIVE ⇄ SUSPENDED → DELETING → DELETED. A
 * deleted row stays as a tombstone without user and service id, so the same user coming back gets a new row.
 */

/** The user as the identity provider knows them: both exact, case-sensitive texts. */
export interface ApplicationUser {
  readonly issuer: string;
  readonly subject: string;
}

export type IdentityStatus = "PROVISIONING" | "ACTIVE" | "SUSPENDED" | "DELETING" | "DELETED";

/** Times are ms since 1970. */
export interface Identity {
  readonly id: string;
  /** Null once DELETED. */
  readonly user: ApplicationUser | null;
  /** Null until the service has made it, and once DELETED. */
  readonly communicationUserId: string | null;
  /** The host of the resource that owns the identity at the service. Null where `communicationUserId` is. */
  readonly resource: string | null;
  readonly status: IdentityStatus;
  readonly createdAt: number;
  readonly lastTokenIssuedAt: number | null;
  /** Tokens issued before are revoked, whatever the service says meanwhile. */
  readonly tokensValidAfter: number | null;
  /** The service has not confirmed the last revocation yet. */
  readonly revocationPending: boolean;
  /** How often tokens were revoked; a token belongs to the count that stood when it was asked for. */
  readonly revocations: number;
}

export type IdentityOrderField = "CREATED_AT" | "LAST_TOKEN_ISSUED_AT";

export interface IdentityOrder {
  readonly field: IdentityOrderField;
  readonly direction: "ASC" | "DESC";
}

/** Where an identity stands in an order: the value ordered by, then the id. */
export interface IdentityPosition {
  readonly value: number;
  readonly id: string;
}

export function positionOf(identity: Identity, field: IdentityOrderField): IdentityPosition {
  return { value: field === "CREATED_AT" ? identity.createdAt : (identity.lastTokenIssuedAt ?? 0), id: identity.id };
}

/** All given conditions hold. */
export interface IdentityFilter {
  readonly status?: readonly IdentityStatus[] | undefined;
  readonly issuer?: string | undefined;
  readonly subjectPrefix?: string | undefined;
  /** ms since 1970, inclusive */
  readonly createdSince?: number | undefined;
  /** ms since 1970, exclusive */
  readonly createdUntil?: number | undefined;
}

/** A text that is a user's alone: no part can be taken for another. */
export function userKey({ issuer, subject }: ApplicationUser): string {
  return JSON.stringify([issuer, subject]);
}

export function sameUser(one: ApplicationUser | null, other: ApplicationUser): boolean {
  return one !== null && one.issuer === other.issuer && one.subject === other.subject;
}
