import type { Kysely } from "kysely";
import { type AuditRecord, recordId } from "../audit/record.js";
import type { TokenScope } from "../config/config.js";
import type { ApplicationUser } from "../identities/identity.js";
import type { AuditRow, Tables } from "./tables.js";

/** The audit records. They are added and read; of one that exists, personal values can be erased and nothing else changes. */
export class AuditStore {
  constructor(
    private readonly database: Kysely<Tables>,
    /** Where records are added. */
    private readonly trail = database,
  ) {}

  /** All or none, in one statement, durable once it resolves. Rejects when one of them is there already. */
  async append(records: readonly AuditRecord[]): Promise<void> {
    await this.trail.insertInto("audit_events").values(records.map(toRow)).execute();
  }

  /** What names this user, and what was said of this identity: gone, with the salts, so that the chain still verifies. */
  async erase(user: ApplicationUser, identityId: string): Promise<void> {
    await this.database
      .updateTable("audit_events")
      .set({ actor_issuer: null, actor_subject: null, actor_salt: null })
      .where("actor_issuer", "=", user.issuer)
      .where("actor_subject", "=", user.subject)
      .execute();
    await this.database
      .updateTable("audit_events")
      .set({ reason: null, reason_salt: null })
      .where("identity_id", "=", identityId)
      .execute();
  }
}

export function toRow(record: AuditRecord): AuditRow {
  return {
    id: recordId(record),
    writer: record.writer,
    sequence: record.sequence,
    at: record.at,
    action: record.action,
    phase: record.phase,
    identity_id: record.identityId,
    actor_issuer: record.actor?.issuer ?? null,
    actor_subject: record.actor?.subject ?? null,
    actor_salt: record.actorSeal.salt,
    actor_commitment: record.actorSeal.commitment,
    scopes: record.scopes?.join(" ") ?? null,
    token_fingerprint: record.tokenFingerprint,
    token_expires_on: record.tokenExpiresOn,
    reason: record.reason,
    reason_salt: record.reasonSeal.salt,
    reason_commitment: record.reasonSeal.commitment,
    request_id: record.requestId,
    client_name: record.clientName,
    client_version: record.clientVersion,
    hash: record.hash,
  };
}

export function toRecord(row: AuditRow): AuditRecord {
  const { actor_issuer: issuer, actor_subject: subject } = row;
  return {
    writer: row.writer,
    sequence: row.sequence,
    at: row.at,
    action: row.action,
    phase: row.phase,
    identityId: row.identity_id,
    actor: issuer === null || subject === null ? null : { issuer, subject },
    actorSeal: { salt: row.actor_salt, commitment: row.actor_commitment },
    scopes: row.scopes === null ? null : (row.scopes.split(" ").filter(Boolean) as TokenScope[]),
    tokenFingerprint: row.token_fingerprint,
    tokenExpiresOn: row.token_expires_on,
    reason: row.reason,
    reasonSeal: { salt: row.reason_salt, commitment: row.reason_commitment },
    requestId: row.request_id,
    clientName: row.client_name,
    clientVersion: row.client_version,
    hash: row.hash,
  };
}
