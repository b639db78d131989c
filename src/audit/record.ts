/**
 * The audit trail: who got which token, when, for what, through which app, by whose order.
 *
 * A service says what happened as an `AuditEvent`; the `Trail` makes it a `AuditRecord` in its chain and resolves once that
 * is durable, so nothing that is to be recorded leaves before. Where a call of the service lies between, there are two: the
 * intent before it and the outcome after it, and an intent without an outcome says "asked, outcome unknown".
 */
import type { TokenScope } from "../config/config.js";
import type { ApplicationUser } from "../identities/identity.js";

export const AUDIT_ACTIONS = [
  "TOKEN_ISSUED",
  "TOKEN_REUSED",
  "TOKEN_REFUSED",
  "TEAMS_TOKEN_EXCHANGED",
  "TOKENS_REVOKED",
  "IDENTITY_PROVISIONED",
  "IDENTITY_SUSPENDED",
  "IDENTITY_REINSTATED",
  "IDENTITY_DELETED",
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

export const AUDIT_PHASES = ["INTENT", "OUTCOME"] as const;
export type AuditPhase = (typeof AUDIT_PHASES)[number];

/** Of what an operator may write as the reason, in UTF-16 code units. */
export const MAX_REASON_LENGTH = 500;

export interface AuditEvent {
  readonly action: AuditAction;
  readonly phase: AuditPhase;
  /** Null for a caller who has none yet. */
  readonly identityId: string | null;
  /** Who asked. Null when nobody did, and once the user is erased. */
  readonly actor: ApplicationUser | null;
  readonly scopes: readonly TokenScope[] | null;
  /** A keyed hash of the token; never the token. */
  readonly tokenFingerprint: string | null;
  /** ms since 1970 */
  readonly tokenExpiresOn: number | null;
  /** What the operator wrote, or the code of a refusal. Null once erased. */
  readonly reason: string | null;
  readonly requestId: string;
  readonly clientName: string | null;
  readonly clientVersion: string | null;
}

/**
 * A row of an identity, as it was when it was read: what an event relies on that is to be recorded only if it is still so. That it is
 * ACTIVE, and no revocation is pending, goes with it.
 */
export interface Premise {
  readonly identityId: string;
  readonly communicationUserId: string;
  /** The row's count. */
  readonly revocations: number;
}

/** An event in its place in a writer's chain. */
export interface AuditRecord extends AuditEvent {
  /** A process, from its start to its end, or to a write whose outcome it does not know: a random text. */
  readonly writer: string;
  /** From 1, without holes. */
  readonly sequence: number;
  /** ms since 1970 */
  readonly at: number;
  readonly actorSeal: PersonalSeal;
  readonly reasonSeal: PersonalSeal;
  /** Of this record and, through the one before it, of all before; SHA-256, base64url. */
  readonly hash: string;
}

/**
 * Stands for a personal value in the hash: SHA-256 of a random salt and the value. Value and salt can be erased together, and
 * what remains tells of them that they were there, and keeps the chain whole.
 */
export interface PersonalSeal {
  /** base64url, 16 bytes; null once erased, and of no value. */
  readonly salt: string | null;
  /** Empty for no value; a record of an earlier version has one for that, too, with a salt. */
  readonly commitment: string;
}

/** The record's id in the database and in the schema; in one writer ids are ordered as their records are. */
export function recordId({ writer, sequence }: Pick<AuditRecord, "writer" | "sequence">): string {
  return `aud_${writer}_${String(sequence).padStart(12, "0")}`;
}

/** The place that such an id tells of; undefined for any other text. */
export function placeIn(id: string): Pick<AuditRecord, "writer" | "sequence"> | undefined {
  const [, writer, digits] = /^aud_(.+)_(\d{12,})$/s.exec(id) ?? [];
  return writer === undefined ? undefined : { writer, sequence: Number(digits) };
}

/** After the ids of all records of the writer, and before those of the next one. */
export function idAfter(writer: string): string {
  return `aud_${writer}_~`;
}
