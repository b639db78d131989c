/** What happens in the gateway that an operator wants to see: one function per event, which logs and counts it. */
import type { AccessKeyName } from "../acs/credentials-azure.js";
import type { BreakerName } from "../acs/guard/breaker.js";
import type { CallShedReason } from "../acs/guard/gate.js";
import type { HoldReason } from "../acs/guard/pace.js";
import type { ServiceOperation } from "../acs/service.js";
import type { AuditEvent } from "../audit/record.js";
import type { Fault } from "../audit/verifier.js";
import type { AuthenticationFailure } from "../auth/failure.js";
import type { FetchedKeys } from "../auth/key-fetch.js";
import type { ErrorCode } from "../errors.js";
import type { LoadWatcher, RequestShedReason, Signs } from "../http/load.js";
import type { Identity } from "../identities/identity.js";
import type { ServiceWork } from "../identities/service-work.js";
import { ANOTHER_KEY, type KeyName } from "../key-checks.js";
import type { ClientInfo } from "../policy/call.js";
import type { CacheOutcome } from "../tokens/cache.js";
import type { Metrics } from "./metrics.js";
import type { EndedSpan, ExportWatcher, LostReason } from "./span-export.js";
import type { EventLog } from "./traced-log.js";
import type { Tracing } from "./tracing.js";

export interface RequestSummary {
  readonly requestId: string;
  readonly status: number;
  /** The first error's; OK when there was none. */
  readonly code: ErrorCode | "OK";
  readonly milliseconds: number;
  readonly clientName: string | null;
  readonly clientVersion: string | null;
  /** Null until it is known which one is to be run. */
  readonly operationName: string | null;
  readonly operationType: string | null;
}

/** What somebody had done to an identity. */
interface IdentityChange {
  readonly requestId: string;
  readonly identity: Identity;
  readonly reason: string | null;
}

/** A document that is in no manifest of trusted ones. Never its text, which may hold what variables are for. */
export interface UntrustedDocument {
  readonly requestId: string;
  readonly client: ClientInfo;
  readonly operationName: string | null;
  /** Given when the request named the document. */
  readonly documentId?: string;
  /** Of the text, in hexadecimal. */
  readonly sha256?: string;
  readonly refused: boolean;
}

/** What goes on without a request. To look for service work is one thing, and to write down what came of it another. */
type BackgroundWork = "service work" | "outcome of service work" | "erasure" | "retention" | "audit listing";

/** What happens by thousands is told of no more often, and then of all since. */
const TELL_EVERY_MS = 60_000;

class OnceInAWhile {
  #count = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  /** How many there are to tell of; undefined: not now. */
  add(count: number): number | undefined {
    this.#count += count;
    const now = performance.now();
    if (now - this.#toldAt < TELL_EVERY_MS) return undefined;
    this.#toldAt = now;
    const all = this.#count;
    this.#count = 0;
    return all;
  }
}

export class Events implements LoadWatcher, ExportWatcher {
  readonly #lostSpans = new OnceInAWhile();
  readonly #callsTooMany = new OnceInAWhile();
  readonly #failing = new Set<BackgroundWork>();

  constructor(
    private readonly log: EventLog,
    private readonly metrics: Metrics,
    private readonly tracing?: Pick<Tracing, "ended">,
  ) {}

  requestEnded(summary: RequestSummary): void {
    const { requestId, status, code, milliseconds, clientName, clientVersion, operationName } = summary;
    this.metrics.requests.inc({ code });
    this.metrics.requestSeconds.observe(milliseconds / 1000);
    const rounded = Math.round(milliseconds * 10) / 10;
    const who = { clientName, clientVersion, operationName };
    this.log.info({ requestId, status, code, ...who, milliseconds: rounded }, "request");
    this.tracing?.ended(summary);
  }

  /** A collector that is away is so for thousands. */
  onSpansLost(reason: LostReason, count: number, error?: Error): void {
    this.metrics.spansLost.inc({ reason }, count);
    const spans = this.#lostSpans.add(count);
    if (spans !== undefined) this.log.warn({ reason, spans, err: error }, "trace spans lost");
  }

  onSpansSent(count: number): void {
    this.metrics.spansSent.inc(count);
  }

  onSpan(span: EndedSpan): void {
    this.log.info(span, "span");
  }

  onWarning(message: string): void {
    this.log.warn({ about: message }, "trace export");
  }

  /** Counted and not logged: it takes nothing to send a thousand of them. */
  connectionRefused(what: number | "dropped"): void {
    this.metrics.connectionRefusals.inc({ what: String(what) });
  }

  /** A request was not begun. Counted and not logged: when there are too many requests, that would be too many lines. */
  onShed(reason: RequestShedReason): void {
    this.metrics.requestsShed.inc({ reason });
  }

  /** Once for all of them. */
  onShedding(signs: Signs): void {
    this.log.warn(signs, "too many requests: some are refused");
  }

  onSheddingOver(count: number): void {
    this.log.info({ refused: count }, "too many requests: none is refused any more");
  }

  /** Readiness says so from here on. */
  onOverloaded(signs: Signs): void {
    this.log.warn(signs, "overloaded: not ready");
  }

  onOverloadOver(): void {
    this.log.info({}, "overloaded no longer");
  }

  /** The reason stays here; the caller is told nothing but that the token was not accepted. */
  authenticationFailed(requestId: string, { reason, detail }: AuthenticationFailure): void {
    this.metrics.authenticationFailures.inc({ reason });
    this.log.info({ requestId, reason, detail }, "authentication failed");
  }

  /** An answer of an issuer that brought its keys, or none. The last good ones serve on for a while. */
  issuerKeysFetched(issuer: string, outcome: FetchedKeys | Error): void {
    const isFailure = outcome instanceof Error;
    this.metrics.issuerKeyFetches.inc({ issuer, outcome: isFailure ? "failed" : "ok" });
    if (isFailure) this.log.warn({ issuer, err: outcome }, "issuer keys not fetched");
    else this.log.debug({ issuer, usable: outcome.usable.length, unusable: outcome.unusable }, "issuer keys fetched");
  }

  /** A request that a dependency or a bug ended: the answer is masked or short, this has the cause. */
  requestFailed(requestId: string, error: unknown): void {
    this.log.error({ requestId, err: error }, "request failed");
  }

  /** Names are the client's to choose, so they are cut. */
  untrustedDocument({ requestId, client, operationName, documentId, sha256, refused }: UntrustedDocument): void {
    this.metrics.untrustedDocuments.inc({ outcome: refused ? "refused" : "run" });
    const about = { clientName: client.name, clientVersion: client.version, operationName: cut(operationName), sha256 };
    this.log.warn({ requestId, ...about, documentId: cut(documentId), refused }, "untrusted document");
  }

  serviceCalled(operation: ServiceOperation, outcome: "ok" | "failed", milliseconds: number): void {
    this.metrics.serviceCalls.inc({ operation, outcome });
    this.metrics.serviceCallSeconds.observe({ operation }, milliseconds / 1000);
    this.log.debug({ operation, outcome, milliseconds: Math.round(milliseconds) }, "service call");
  }

  /** A call to the service is made once more. */
  serviceCallRepeated(operation: ServiceOperation): void {
    this.metrics.serviceCallsRepeated.inc({ operation });
    this.log.debug({ operation }, "service call repeated");
  }

  /** A call to the service was not begun. */
  serviceCallShed(operation: ServiceOperation, reason: CallShedReason): void {
    this.metrics.serviceCallsShed.inc({ operation, reason });
    this.log.debug({ operation, reason }, "service call shed");
    // Of an outage it is told by itself, and of those who left nobody is to be told.
    if (reason !== "full" && reason !== "tooLate") return;
    const calls = this.#callsTooMany.add(1);
    if (calls !== undefined) this.log.warn({ calls }, "too many service calls: some are not made");
  }

  /** All calls of an operation wait: for the pace that keeps to the resource's limits, or because the service asked for it. */
  serviceHeld(operation: ServiceOperation, reason: HoldReason): void {
    this.metrics.serviceHolds.inc({ operation, reason });
    this.log.debug({ operation, reason }, "service calls held");
  }

  /** Most calls fail, so that none is made but to find out when that is over; or it is. */
  serviceOutage(calls: BreakerName, state: "open" | "closed"): void {
    if (state === "open") this.log.warn({ calls }, "service outage: calls are held back until a probe is answered");
    else this.log.info({ calls }, "service outage over");
  }

  /** The service refused the access key in use, and took the other one. */
  accessKeySwitched(to: AccessKeyName): void {
    this.metrics.accessKeySwitches.inc();
    this.log.warn({ inUse: `acs.${to}` }, "access key refused, the other one is used");
  }

  /** Once a start, which goes on or fails in half a minute. */
  schemaWaits(reason: string): void {
    this.log.warn(
      { reason },
      "the database's schema is to be brought up to date, and somebody else uses its tables: waiting",
    );
  }

  /** As after an update that was taken back, or in the middle of one. */
  schemaIsNewer(): void {
    this.log.warn({}, "the database's schema is of a later version of the gateway; this one works on it as it is");
  }

  /** A database that several instances may share, and nothing that they have in common for what is counted and used up. */
  nothingShared(): void {
    this.log.warn({}, "without redis.url, limits, used DPoP proofs and the token cache are each instance's own");
  }

  /** Expected once where it was changed; else an instance has another one. */
  keyIsAnother(name: KeyName): void {
    this.log.warn({ key: name }, ANOTHER_KEY);
  }

  /** Once an outage. What Redis would have answered is asked of the service or counted here; DPoP proofs are refused. */
  redisLost(error: Error): void {
    this.log.warn({ err: error }, "redis lost");
  }

  redisBack(): void {
    this.log.info({}, "redis back");
  }

  /** Redis could not be asked, so this instance granted from its own part of a budget. */
  limitCountedHere(error: unknown): void {
    this.metrics.limitsCountedHere.inc();
    this.log.debug({ err: error }, "limit counted here");
  }

  /** What the token cache had; one that cannot be asked costs a call to the service. */
  tokenCacheAsked(outcome: CacheOutcome, error?: unknown): void {
    this.metrics.tokenCache.inc({ outcome });
    if (error !== undefined) this.log.debug({ outcome, err: error }, "token cache");
  }

  tokenIssued(requestId: string, identity: Identity): void {
    this.log.debug({ requestId, identityId: identity.id }, "token issued");
  }

  tokensRevoked({ requestId, identity, reason }: IdentityChange): void {
    this.log.info({ requestId, identityId: identity.id, reason }, "revocation of tokens accepted");
  }

  identityProvisioned(requestId: string, identity: Identity): void {
    this.log.info({ requestId, identityId: identity.id }, "identity provisioned");
  }

  identitySuspended({ requestId, identity, reason }: IdentityChange): void {
    this.log.info({ requestId, identityId: identity.id, reason }, "suspension of an identity accepted");
  }

  identityReinstated({ requestId, identity, reason }: IdentityChange): void {
    this.log.info({ requestId, identityId: identity.id, reason }, "identity reinstated");
  }

  identityDeleted({ requestId, identity, reason }: IdentityChange): void {
    this.log.info({ requestId, identityId: identity.id, reason }, "deletion of an identity accepted");
  }

  /** Something is in the trail. What was only about to be done is no event yet. */
  recorded({ action, phase, reason }: AuditEvent): void {
    if (phase === "INTENT") return;
    this.metrics.auditEvents.inc({ action });
    if (action === "TOKEN_REFUSED") this.metrics.tokensRefused.inc({ reason: reason ?? "" });
  }

  /** So many records of the audit trail went into one write. */
  auditWritten(count: number): void {
    this.metrics.auditRecords.inc(count);
    this.metrics.auditWrites.inc({ outcome: "ok" });
  }

  /** So many records could not be written, or nobody knows; whoever waited for one was refused. */
  auditFailed(count: number, error: unknown): void {
    this.metrics.auditWrites.inc({ outcome: "failed" });
    this.log.error({ records: count, err: error }, "audit trail not written");
  }

  /** The service made an identity that came too late for its row; it is being deleted again. */
  surplusIdentity(identityId: string): void {
    this.log.warn({ identityId }, "surplus identity made");
  }

  /** The service made an identity, and the store did not take it; the attempt will be in doubt. Here is what was made. */
  identityNotBound(attemptId: string, communicationUserId: string, error: unknown): void {
    this.log.error({ attemptId, communicationUserId, err: error }, "identity made and not bound");
  }

  /** Nobody knows whether the service made an identity. */
  attemptInDoubt(attemptId: string): void {
    this.log.warn({ attemptId }, "provisioning attempt in doubt");
  }

  /** The service does not know as ours what a row of ours points to. */
  identityLost({ id, communicationUserId, resource }: Identity, configuredResource: string): void {
    const about = { identityId: id, communicationUserId, resource, configuredResource };
    this.log.warn(about, "identity lost at the service");
  }

  /** A checkpoint of the audit trail was written, unless there is an error; then the next one stands for it, too. */
  checkpointWritten(error: unknown): void {
    this.metrics.auditCheckpoints.inc({ outcome: error === undefined ? "ok" : "failed" });
    if (error !== undefined) this.log.error({ err: error }, "audit checkpoint not written");
  }

  /** So many records of the audit trail were dropped for their age. */
  auditDropped(count: number): void {
    this.metrics.auditDropped.inc(count);
    this.log.debug({ records: count }, "audit records dropped");
  }

  /** Records that are old enough stay, for their chain is not whole: `audit verify` says more. */
  auditKept(fault: Fault): void {
    this.metrics.auditKept.inc();
    this.log.error(fault, "audit records kept beyond their age");
  }

  /** A sink does not take records; told once, until it does. */
  auditSinkDown(to: string, error: unknown): void {
    this.log.error({ to, err: error }, "audit sink down");
  }

  auditSinkBack(to: string): void {
    this.log.info({ to }, "audit sink back");
  }

  auditSinkLost(to: string, count: number): void {
    this.metrics.auditSinkLost.inc({ to }, count);
  }

  workDone({ action, identityId, createdAt, tries }: ServiceWork, now: number): void {
    this.log.info({ action, identityId, milliseconds: now - createdAt, tries }, "service work done");
  }

  workPostponed({ action, identityId, tries }: ServiceWork, error: unknown): void {
    this.log.warn({ action, identityId, tries: tries + 1, err: error }, "service work postponed");
  }

  /** Most likely as the store is away; told once, until it works again, which is tried all the time. */
  backgroundFailed(work: BackgroundWork, error: unknown): void {
    if (this.#failing.has(work)) return;
    this.#failing.add(work);
    this.log.error({ work, err: error }, "background work failed");
  }

  backgroundWorks(work: BackgroundWork): void {
    if (this.#failing.delete(work)) this.log.info({ work }, "background work goes on");
  }
}

const MAX_NAME_LENGTH = 100;

function cut<Name extends string | null | undefined>(name: Name): string | Name {
  return typeof name === "string" ? name.slice(0, MAX_NAME_LENGTH) : name;
}
