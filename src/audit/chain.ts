/** The chain: what a record's hash is made of, and whether it is. */
import { hash } from "node:crypto";
import type { AuditEvent, AuditRecord, PersonalSeal } from "./record.js";

/** What the first record of a writer has before it. */
export const GENESIS = "";

const SALT_BYTES = 16;

/** For a value that is not there: it is no secret, and needs no hash of its own. */
const NOTHING: PersonalSeal = { salt: null, commitment: "" };

export interface ChainEnd {
  readonly writer: string;
  /** 0 before the first record. */
  readonly sequence: number;
  /** `GENESIS` before the first record. */
  readonly hash: string;
  /** Of the record, ms since 1970; 0 before the first one. */
  readonly at: number;
}

/** The next record of the chain. `randomBytes` makes the salts. */
export function chain(
  end: ChainEnd,
  event: AuditEvent,
  at: number,
  randomBytes: (length: number) => Buffer,
): AuditRecord {
  const seal = (value: unknown): PersonalSeal => {
    if (value === null) return NOTHING;
    const salt = randomBytes(SALT_BYTES).toString("base64url");
    return { salt, commitment: commitmentOf(salt, value) };
  };
  const record = {
    ...event,
    writer: end.writer,
    sequence: end.sequence + 1,
    at,
    actorSeal: seal(actorOf(event)),
    reasonSeal: seal(event.reason),
  };
  return { ...record, hash: hashOf(end.hash, record) };
}

/** What is wrong with a record that should follow this end; undefined when nothing is. */
export function faultOf(end: ChainEnd, record: AuditRecord): string | undefined {
  if (record.sequence !== end.sequence + 1) return `its sequence is ${record.sequence}, not ${end.sequence + 1}`;
  if (!opens(record.actorSeal, actorOf(record))) return "its actor is not the one that was recorded";
  if (!opens(record.reasonSeal, record.reason)) return "its reason is not the one that was recorded";
  // In JSON, of which the hash is made, it would be null.
  if (record.tokenExpiresOn !== null && !Number.isFinite(record.tokenExpiresOn))
    return `its token's time is ${record.tokenExpiresOn}, which is none`;
  if (hashOf(end.hash, record) !== record.hash)
    return "its hash is not that of its content and of the record before it";
  return undefined;
}

/** Whether a value was sealed that is gone. */
export function isErased({ salt, commitment }: PersonalSeal): boolean {
  return salt === null && commitment !== NOTHING.commitment;
}

/** Of a value that is erased, or never was, there is neither salt nor text; anything else has to be what was sealed. */
function opens({ salt, commitment }: PersonalSeal, value: unknown): boolean {
  return salt === null ? value === null : commitmentOf(salt, value) === commitment;
}

function actorOf({ actor }: AuditEvent): readonly string[] | null {
  return actor && [actor.issuer, actor.subject];
}

function commitmentOf(salt: string, value: unknown): string {
  return digest([salt, value]);
}

/** Fields in a fixed order, as a JSON list: one spelling, and no field can run into the next. */
function hashOf(previousHash: string, record: Omit<AuditRecord, "hash">): string {
  return digest([
    "acs-token-gateway/audit/1",
    previousHash,
    record.writer,
    record.sequence,
    record.at,
    record.action,
    record.phase,
    record.identityId,
    record.actorSeal.commitment,
    record.scopes,
    record.tokenFingerprint,
    record.tokenExpiresOn,
    record.reasonSeal.commitment,
    record.requestId,
    record.clientName,
    record.clientVersion,
  ]);
}

function digest(value: readonly unknown[]): string {
  return hash("sha256", JSON.stringify(value), "base64url");
}
