/** What happens in the gateway that an operator wants to see: one function per event, which logs and counts it. */
import type { ServiceOperation } from "../acs/service-azure.js";
import type { ErrorCode } from "../errors.js";
import type { Identity } from "../identities/identity.js";
import type { Logger } from "./logger.js";
import type { Metrics } from "./metrics.js";

export interface RequestSummary {
  readonly requestId: string;
  readonly status: number;
  /** The first error's; OK when there was none. */
  readonly code: ErrorCode | "OK";
  readonly milliseconds: number;
  readonly clientName: string | null;
}

export class Events {
  constructor(
    private readonly log: Logger,
    private readonly metrics: Metrics,
  ) {}

  requestEnded({ milliseconds, ...summary }: RequestSummary): void {
    this.metrics.requests.inc({ code: summary.code });
    this.metrics.requestSeconds.observe(milliseconds / 1000);
    this.log.info({ ...summary, milliseconds: Math.round(milliseconds * 10) / 10 }, "request");
  }

  /** The reason stays here; the caller is told nothing but that the token was not accepted. */
  authenticationFailed(requestId: string, reason: string): void {
    this.log.info({ requestId, reason }, "authentication failed");
  }

  /** A request that a dependency or a bug ended: the answer is masked or short, this has the cause. */
  requestFailed(requestId: string, error: unknown): void {
    this.log.error({ requestId, err: error }, "request failed");
  }

  serviceCalled(operation: ServiceOperation, outcome: "ok" | "failed", milliseconds: number): void {
    this.metrics.serviceCalls.inc({ operation, outcome });
    this.log.debug({ operation, outcome, milliseconds: Math.round(milliseconds) }, "service call");
  }

  tokenIssued(identity: Identity): void {
    this.metrics.tokensIssued.inc();
    this.log.debug({ identityId: identity.id }, "token issued");
  }

  tokensRevoked(identity: Identity, reason: string | null): void {
    this.log.info({ identityId: identity.id, reason }, "tokens revoked");
  }

  identityProvisioned(identity: Identity): void {
    this.log.info({ identityId: identity.id }, "identity provisioned");
  }

  identitySuspended(identity: Identity, reason: string | null): void {
    this.log.info({ identityId: identity.id, reason }, "identity suspended");
  }

  identityReinstated(identity: Identity, reason: string | null): void {
    this.log.info({ identityId: identity.id, reason }, "identity reinstated");
  }

  identityDeleted(identity: Identity, reason: string | null): void {
    this.log.info({ identityId: identity.id, reason }, "identity deleted");
  }

  /** An identity at the service that no row points to; somebody has to delete it by hand. */
  surplusIdentityLeft(communicationUserId: string, error: unknown): void {
    this.log.error({ communicationUserId, err: error }, "surplus identity left at the service");
  }
}
