/** What can be asked of the trail. */
import type { TokenScope } from "../config/config.js";
import type { ApplicationUser } from "../identities/identity.js";
import type { AuditAction, AuditPhase, AuditRecord } from "./record.js";

/** A record as it is found in the database, under its id. */
export interface StoredRecord extends AuditRecord {
  readonly id: string;
}

/** A record of a walk through the trail, by the id that it is found under. */
export interface WalkedRecord {
  readonly id: string;
  /** Undefined for a row that is not spelled as this gateway spells any, from its id to its numbers. */
  readonly record: StoredRecord | undefined;
}

/** The beginning of a writer's chain was dropped for its age. */
export interface Dropped {
  readonly writer: string;
  /** The end of what was dropped, signed. */
  readonly line: string;
}

/** What a walk comes upon, as of one instant. */
export interface WalkedBatch {
  /** Of the writers of the records, and of the one to go on from; in a batch without records, of writers that have none left. */
  readonly dropped: readonly Dropped[];
  /** In the order of ids, which is each writer's chain from its beginning, one writer after the other; none after the last. */
  readonly records: readonly WalkedRecord[];
}

/** All given conditions hold. */
export interface AuditFilter {
  readonly action?: readonly AuditAction[] | undefined;
  /** Of a user's records; other pages have no index by it. */
  readonly phase?: AuditPhase | undefined;
  readonly identityId?: string | undefined;
  readonly actor?: ApplicationUser | undefined;
  /** ms since 1970, inclusive */
  readonly since?: number | undefined;
  /** ms since 1970, exclusive */
  readonly until?: number | undefined;
  readonly tokenFingerprint?: string | undefined;
}

/** Whether a record is one of those that a page by this filter has. */
export function isIn(filter: AuditFilter, record: StoredRecord): boolean {
  const { action, phase, identityId, actor, since, until, tokenFingerprint } = filter;
  return (
    (action?.includes(record.action) ?? true) &&
    (phase ?? record.phase) === record.phase &&
    (identityId === undefined || identityId === record.identityId) &&
    (actor === undefined || isUser(actor, record.actor)) &&
    (since === undefined || record.at >= since) &&
    (until === undefined || record.at < until) &&
    (tokenFingerprint === undefined || tokenFingerprint === record.tokenFingerprint)
  );
}

function isUser({ issuer, subject }: ApplicationUser, actor: ApplicationUser | null): boolean {
  return actor?.issuer === issuer && actor.subject === subject;
}

/** Where a record stands in the order of time: its `at`, then its id. */
export interface AuditPosition {
  readonly value: number;
  readonly id: string;
}

/** Newest first. */
export interface AuditPageQuery {
  readonly filter: AuditFilter;
  readonly limit: number;
  /** From the end of the range instead of its beginning; records still come newest first. */
  readonly backward: boolean;
  /** Both exclusive. */
  readonly after?: AuditPosition | undefined;
  readonly before?: AuditPosition | undefined;
}

export type TimeBucket = "MINUTE" | "HOUR" | "DAY";

export const BUCKET_MS = {
  MINUTE: 60_000,
  HOUR: 3_600_000,
  DAY: 86_400_000,
} as const satisfies Record<TimeBucket, number>;

/** From `since`, inclusive, until `until`, exclusive: ms since 1970. */
export interface ActivityQuery {
  readonly since: number;
  readonly until: number;
  readonly bucket: TimeBucket;
}

export type ActivityCounts = Readonly<Record<"issued" | "reused" | "refused" | "revoked", number>>;

export interface TokenActivityPoint extends ActivityCounts {
  /** ms since 1970, a whole minute, hour or day in UTC */
  readonly start: number;
}

/** What is known of an issued token: the record of its issue, seen as a thing of its own. */
export interface TokenRecord {
  readonly id: string;
  readonly identityId: string;
  readonly scopes: readonly TokenScope[];
  /** ms since 1970 */
  readonly issuedAt: number;
  /** ms since 1970 */
  readonly expiresOn: number;
  readonly fingerprint: string;
}

/** The records that are token records, too: what came of an issue is recorded with its token, or not at all. */
export const TOKENS = { action: ["TOKEN_ISSUED"], phase: "OUTCOME" } as const satisfies AuditFilter;

const EVENT_PREFIX = "aud_";
const TOKEN_PREFIX = "tok_";

export function isEventId(id: string): boolean {
  return id.startsWith(EVENT_PREFIX);
}

export function isTokenId(id: string): boolean {
  return id.startsWith(TOKEN_PREFIX);
}

/** Of the record that a token record is made from. */
export function eventIdOf(tokenId: string): string {
  return EVENT_PREFIX + tokenId.slice(TOKEN_PREFIX.length);
}

/** Undefined for a record of anything else than an issued token. */
export function toTokenRecord(record: StoredRecord): TokenRecord | undefined {
  const { id, identityId, scopes, at, tokenExpiresOn, tokenFingerprint } = record;
  if (!TOKENS.action.some((action) => action === record.action) || record.phase !== TOKENS.phase) return undefined;
  if (identityId === null || scopes === null || tokenExpiresOn === null || tokenFingerprint === null) return undefined;
  return {
    id: TOKEN_PREFIX + id.slice(EVENT_PREFIX.length),
    identityId,
    scopes,
    issuedAt: at,
    expiresOn: tokenExpiresOn,
    fingerprint: tokenFingerprint,
  };
}
