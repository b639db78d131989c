import type { Dropped } from "../audit/query.js";
import type { AuditAction, AuditPhase } from "../audit/record.js";
import type { IdentityStatus } from "../identities/identity.js";
import type { AttemptState } from "../identities/provisioning-attempt.js";
import type { ServiceAction } from "../identities/service-work.js";

/** Times are integers, ms since 1970, 0 for never; flags are 0 or 1; so a row reads the same in every dialect. */
export interface Tables {
  readonly identities: IdentityRow;
  readonly provisioning_attempts: AttemptRow;
  readonly service_work: WorkRow;
  readonly audit_events: AuditRow;
  readonly audit_erasures: ErasureRow;
  readonly audit_dropped: Dropped;
  readonly audit_writers: WriterRow;
  readonly key_checks: KeyCheckRow;
}

export interface IdentityRow {
  readonly id: string;
  readonly issuer: string | null;
  readonly subject: string | null;
  readonly communication_user_id: string | null;
  /** The host of the resource that owns the identity. */
  readonly resource: string | null;
  readonly status: IdentityStatus;
  readonly created_at: number;
  readonly last_token_issued_at: number;
  readonly tokens_valid_after: number;
  readonly revocation_pending: 0 | 1;
  readonly revocations: number;
  /** Of a tombstone: the keyed hash of the user it was. */
  readonly user_hash: string | null;
}

export interface AttemptRow {
  readonly id: string;
  readonly identity_id: string;
  readonly state: AttemptState;
  readonly started_at: number;
  /** Until then nobody else may ask the service for this identity. */
  readonly lease_until: number;
  readonly ended_at: number;
  /** What the attempt failed with, for those who waited for it. */
  readonly error_code: string | null;
  readonly retry_after_seconds: number | null;
  /** Of a LOST one: what was lost, and whose it was. */
  readonly communication_user_id: string | null;
  readonly resource: string | null;
}

/** At most one row for each identity of the service: what has to be done to it there. */
export interface WorkRow {
  readonly communication_user_id: string;
  readonly action: ServiceAction;
  /** Null for an identity that no row of ours points to. */
  readonly identity_id: string | null;
  readonly resource: string | null;
  /** Changes whenever the work is asked for again, so that the end of an earlier try does not count for it. */
  readonly generation: number;
  readonly created_at: number;
  readonly next_try_at: number;
  readonly tries: number;
  readonly lease_until: number;
  /** Whose lease it is: a random text. */
  readonly lease_holder: string | null;
  readonly last_error: string | null;
}

/** An identity that is deleted, of whose user the trail has yet to be searched for names. */
interface ErasureRow {
  readonly identity_id: string;
  readonly next_try_at: number;
  /** 1: after it no record can come that was begun before the deletion. */
  readonly is_last: 0 | 1;
}

/** A chain of the trail that has been written to, for whoever follows the trail as it grows. */
export interface WriterRow {
  readonly writer: string;
  /** Of its newest record, or up to so much before that as `WRITER_NOTED_MS` says. */
  readonly written_at: number;
}

/** A key that the database was used with last. */
interface KeyCheckRow {
  /** Of the variable of the environment that has it. */
  readonly name: string;
  /** Tells it from others, and does not tell it. */
  readonly value: string;
}

/** One record of the audit trail. */
export interface AuditRow extends RecordRow {
  /** 0: durable, and not yet in the indexes of users, identities and tokens. */
  readonly listed: 0 | 1;
}

/** What is recorded. Scopes are parted by spaces. */
export interface RecordRow {
  readonly id: string;
  readonly writer: string;
  readonly sequence: number;
  readonly at: number;
  readonly action: AuditAction;
  readonly phase: AuditPhase;
  readonly identity_id: string | null;
  readonly actor_issuer: string | null;
  readonly actor_subject: string | null;
  readonly actor_salt: string | null;
  readonly actor_commitment: string;
  readonly scopes: string | null;
  readonly token_fingerprint: string | null;
  readonly token_expires_on: number | null;
  readonly reason: string | null;
  readonly reason_salt: string | null;
  readonly reason_commitment: string;
  readonly request_id: string;
  readonly client_name: string | null;
  readonly client_version: string | null;
  readonly hash: string;
}
