import type { AuditFeed, FeedItem, FeedPosition } from "../audit/feed.js";
import {
  type ActivityCounts,
  type AuditFilter,
  type AuditPageQuery,
  BUCKET_MS,
  eventIdOf,
  isIn,
  type StoredRecord,
  type TimeBucket,
  TOKENS,
  type TokenActivityPoint,
  type TokenRecord,
  toTokenRecord,
} from "../audit/query.js";
import { GatewayError } from "../errors.js";
import type { Call } from "../policy/call.js";
import { requirePermission } from "../policy/policy.js";
import type { AuditReader } from "../store/audit-reader.js";
import type { IdentityReader } from "./reader.js";
import { TrailReads } from "./trail-reads.js";

/** Points that one plot may have. */
const MAX_BUCKETS = 1500;

/** Records that one count may look at. Its caller pays nothing for them, and other callers wait for the database meanwhile. */
const MAX_COUNTED = 100_000;

const NOTHING: ActivityCounts = { issued: 0, reused: 0, refused: 0, revoked: 0 };

/** Who asks, and their reads of identities. */
interface Asking {
  readonly call: Call;
  readonly identities: IdentityReader;
}

interface FollowRequest {
  readonly filter: AuditFilter;
  /** Undefined: from now on. */
  readonly position: FeedPosition | undefined;
  readonly signal: AbortSignal;
}

interface AuditAccessParts {
  readonly trail: AuditReader;
  readonly feed: AuditFeed;
  /** How long records are kept; null: for ever. */
  readonly maxAgeMs: number | null;
  /** ms since 1970 */
  readonly now: () => number;
}

type PageRange = Omit<AuditPageQuery, "filter">;

interface ActivityRequest {
  /** ms since 1970, inclusive */
  readonly since: number;
  /** ms since 1970, exclusive; now when left out */
  readonly until: number | undefined;
  readonly bucket: TimeBucket;
}

/**
 * Who may read what of the trail: events and figures take AUDIT_READ; a token record may be read by whoever may read its
 * identity, which is its own user or takes IDENTITY_READ.
 */
export class AuditAccess {
  readonly #parts: AuditAccessParts;
  readonly #reads = new WeakMap<Call, TrailReads>();

  constructor(parts: AuditAccessParts) {
    this.#parts = parts;
  }

  async events(call: Call, query: AuditPageQuery): Promise<readonly StoredRecord[]> {
    requirePermission(call.entitlements, "AUDIT_READ");
    return await this.#readsOf(call).page(query);
  }

  /** Those that are added from a position on, until the signal; without one, those that are recorded once this has resolved. BAD_USER_INPUT for a position that is older than the trail. */
  async follow({ entitlements }: Call, { filter, position, signal }: FollowRequest): Promise<AsyncGenerator<FeedItem>> {
    const { feed, maxAgeMs, now } = this.#parts;
    requirePermission(entitlements, "AUDIT_READ");
    if (maxAgeMs !== null && position !== undefined && position.since < now() - maxAgeMs)
      throw new GatewayError("BAD_USER_INPUT", TOO_OLD, { argument: "after" });
    const from = position ?? (await feed.end());
    return feed.follow({ position: from, signal, matches: (record) => isIn(filter, record) });
  }

  async countEvents(call: Call, filter: AuditFilter): Promise<number> {
    requirePermission(call.entitlements, "AUDIT_READ");
    return await this.#readsOf(call).count(filter, MAX_COUNTED);
  }

  /** Those of them that there are; none for a caller who may not see them. */
  async eventsByIds({ entitlements }: Call, ids: readonly string[]): Promise<StoredRecord[]> {
    return entitlements.permissions.has("AUDIT_READ") ? await this.#parts.trail.findByIds(ids) : [];
  }

  async tokens(asking: Asking, identityId: string, range: PageRange): Promise<TokenRecord[]> {
    await this.#requireSight(asking, identityId);
    const records = await this.#readsOf(asking.call).page({ ...range, filter: { ...TOKENS, identityId } });
    return records.flatMap((record) => toTokenRecord(record) ?? []);
  }

  async countTokens(asking: Asking, identityId: string): Promise<number> {
    await this.#requireSight(asking, identityId);
    return await this.#readsOf(asking.call).count({ ...TOKENS, identityId }, MAX_COUNTED);
  }

  /** Those of them that there are and the caller may see. */
  async tokensByIds({ identities }: Asking, ids: readonly string[]): Promise<TokenRecord[]> {
    const records = await this.#parts.trail.findByIds(ids.map(eventIdOf));
    const tokens = records.flatMap((record) => toTokenRecord(record) ?? []);
    const owners = await Promise.all(tokens.map(({ identityId }) => identities.byId(identityId)));
    return tokens.filter((_, index) => owners[index]);
  }

  /** A point for each bucket from the one that `since` is in, those without any activity too. */
  async activity(
    call: Call,
    { since, until = this.#parts.now(), bucket }: ActivityRequest,
  ): Promise<TokenActivityPoint[]> {
    requirePermission(call.entitlements, "AUDIT_READ");
    const length = BUCKET_MS[bucket];
    const first = Math.floor(since / length);
    const size = Math.max(0, Math.ceil(until / length) - first);
    if (size > MAX_BUCKETS) throw new GatewayError("BAD_USER_INPUT", tooMany(size), { argument: "bucket" });
    if (size === 0) return [];
    const counts = await this.#readsOf(call).activity({ since, until, bucket });
    return Array.from({ length: size }, (_, index) => {
      const start = (first + index) * length;
      return { start, ...NOTHING, ...counts.get(start) };
    });
  }

  #readsOf(call: Call): TrailReads {
    const reads = this.#reads.get(call) ?? new TrailReads(this.#parts.trail, call.deadline);
    this.#reads.set(call, reads);
    return reads;
  }

  async #requireSight({ call, identities }: Asking, identityId: string): Promise<void> {
    if ((await identities.byId(identityId)) === null) requirePermission(call.entitlements, "IDENTITY_READ");
  }
}

const TOO_OLD =
  'Argument "after" is older than what the trail keeps, so records after it may be gone. Follow without it, and read what there is by auditEvents.';

function tooMany(size: number): string {
  return `Argument "bucket" would make ${size} points; the limit is ${MAX_BUCKETS}. Take a longer bucket, or a later "since".`;
}
