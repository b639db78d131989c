/**
 * - RUNNING: the service is being asked; only the holder of the lease may do so.
 * - BOUND: the service made an identity, and the row has it.
 * - RELEASED: the service surely made none.
 * - IN_DOUBT: nobody knows whether the service made one.
 * - LOST: the service no longer knows as ours an identity that the row had; the row was given another.
 * - SURPLUS: the service made one that came too late for the row; it is being deleted.
 */
export type AttemptState = "RUNNING" | "BOUND" | "RELEASED" | "IN_DOUBT" | "LOST" | "SURPLUS";

/** One call that asks the service for an identity, written down before it is made. Times are ms since 1970. */
export interface ProvisioningAttempt {
  readonly id: string;
  readonly identityId: string;
  readonly state: AttemptState;
  readonly startedAt: number;
  readonly leaseUntil: number;
  readonly endedAt: number | null;
  /** What the service's failure was; null as long as there is none, where it was not asked, and where the lease ran out. */
  readonly errorCode: string | null;
  readonly retryAfterSeconds: number | null;
}
