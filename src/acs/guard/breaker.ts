import { CircuitState, CountBreaker, circuitBreaker, handleWhenResult, type IBackoff } from "cockatiel";
import { type FailureReason, ServiceFailure, type ServiceOperation } from "../service.js";

/** More than half of the last 40 calls, of 20 at least: a few failures in a quiet time are no outage. */
const SAMPLES = 40;
const LEAST_SAMPLES = 20;
const THRESHOLD = 0.5;
/** Between probes: doubled from the first to the last, and spread. */
const FIRST_PAUSE_MS = 1000;
const LAST_PAUSE_MS = 30_000;
/** A create that fails may leave an identity that nobody knows, so other calls are let first. */
const CREATE_WAITS_TIMES = 1.5;

/**
 * One breaker for each. An exchange carries what its user chose, so that a user might find out how to make it fail; that
 * must not take the others along.
 */
export type BreakerName = "identities" | "teamsExchange";

export function breakerOf(operation: ServiceOperation): BreakerName {
  return operation === "exchangeTeamsToken" ? "teamsExchange" : "identities";
}

/** What tells of an outage. An answer that refuses tells that the service is there, and so does one that asks to wait. */
const OUTAGE: readonly FailureReason[] = ["unreachable", "broken", "timeout", "outOfOrder"];

interface BreakerParts {
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** Told when an outage begins and when it is over; not of each probe. */
  readonly observe: (state: "open" | "closed", pauseMs: number) => void;
}

/**
 * Once most calls fail, none is made but one at a time to find out whether the service is back, at growing intervals; the
 * first that it answers closes the breaker. It has no timer: the probe is a call that somebody makes.
 */
export class Breaker {
  readonly #parts: BreakerParts;
  readonly #policy;
  #probeAt = 0;
  #pauseMs = 0;
  #isOut = false;
  #openings = 0;

  constructor(parts: BreakerParts) {
    this.#parts = parts;
    this.#policy = circuitBreaker(handleWhenResult(showsOutage), {
      breaker: new CountBreaker({ threshold: THRESHOLD, size: SAMPLES, minimumNumberOfCalls: LEAST_SAMPLES }),
      halfOpenAfter: { next: () => this.#pause(FIRST_PAUSE_MS) },
    });
    this.#policy.onBreak(() => this.#turned("open"));
    this.#policy.onReset(() => this.#turned("closed"));
  }

  get isOpen(): boolean {
    return this.#isOut;
  }

  /** ms until a call of this operation is worth it; 0: it is now. */
  openFor(operation: ServiceOperation): number {
    const { state } = this.#policy;
    if (state === CircuitState.Closed) return 0;
    // A probe is under way, and nobody knows for how long.
    if (state === CircuitState.HalfOpen) return this.#pauseMs;
    const isCreate = operation === "createIdentity" || operation === "createIdentityWithToken";
    const patience = isCreate ? this.#pauseMs * (CREATE_WAITS_TIMES - 1) : 0;
    return Math.max(0, this.#probeAt + patience - this.#parts.elapsed());
  }

  /** Makes the call and learns from it. To be asked only when `openFor` has just answered 0. */
  async run<Result>(call: () => Promise<Result>): Promise<Result> {
    const openings = this.#openings;
    const isProbe = this.#policy.state !== CircuitState.Closed;
    const { settled } = await this.#policy.execute(async (): Promise<Outcome<Result>> => {
      const [result] = await Promise.allSettled([call()]);
      // A probe whose caller has left has not found out that the service is back.
      const isBad = isOutage(result) || (isProbe && isLeft(result));
      // What was under way when the breaker opened says nothing that is new, least of all about a probe.
      return { settled: result, isOutage: isBad && openings === this.#openings };
    });
    if (settled.status === "rejected") throw settled.reason;
    return settled.value;
  }

  /** The library asks whether its own clock is past `duration`; that one can be set back, so the answer is by ours. */
  #pause(milliseconds: number): IBackoff<unknown> {
    this.#openings += 1;
    const { elapsed, random } = this.#parts;
    this.#pauseMs = milliseconds * (0.5 + random() / 2);
    this.#probeAt = elapsed() + this.#pauseMs;
    const isOver = () => elapsed() >= this.#probeAt;
    return {
      get duration() {
        return isOver() ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
      },
      next: () => this.#pause(Math.min(LAST_PAUSE_MS, milliseconds * 2)),
    };
  }

  #turned(state: "open" | "closed"): void {
    const isOut = state === "open";
    if (isOut === this.#isOut) return;
    this.#isOut = isOut;
    this.#parts.observe(state, this.#pauseMs);
  }
}

interface Outcome<Result> {
  readonly settled: PromiseSettledResult<Result>;
  readonly isOutage: boolean;
}

function showsOutage(outcome: unknown): boolean {
  return (outcome as Outcome<unknown>).isOutage;
}

function isLeft(settled: PromiseSettledResult<unknown>): boolean {
  return settled.status === "rejected" && settled.reason instanceof ServiceFailure && settled.reason.reason === "left";
}

function isOutage(settled: PromiseSettledResult<unknown>): boolean {
  if (settled.status === "fulfilled") return false;
  return settled.reason instanceof ServiceFailure && OUTAGE.includes(settled.reason.reason);
}
