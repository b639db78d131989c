/**
 * The service guard: stands between all who call Communication Services and the client that makes the calls, so that an
 * outage is not made worse, limits are kept, and what can still be done is done first.
 *
 * A call goes: is it worth it (`breaker.ts`) → wait for a slot (`concurrency-limit.ts`) and for the operation's pace
 * (`pace.ts`), the most urgent first (`gate.ts`) → attempt → learn from it → once more, if that is safe (`rules.ts`), is
 * within the budget (`retry-budget.ts`) and still in time. All of it ends within the configured time: an attempt begins only
 * while half of it is left, so none is begun that waiting has left no time for.
 */
import { setTimeout } from "node:timers/promises";
import type { Tracing } from "../../observe/tracing.js";
import {
  type CallTerms,
  type CommunicationService,
  ServiceFailure,
  type ServiceOperation,
  type TeamsTokenRequest,
  type TokenRequest,
} from "../service.js";
import { type Breaker, type BreakerName, breakerOf } from "./breaker.js";
import type { ConcurrencyLimit } from "./concurrency-limit.js";
import type { Entrant, Gate } from "./gate.js";
import type { RetryBudget } from "./retry-budget.js";
import { mayRepeat, priorityOf, showsOverload } from "./rules.js";

/** Of the configured time that has to be left for an attempt. */
const LEAST_SHARE = 0.5;
const MOST_REPEATS = 2;
/** Before a repeat for which the service named no time: doubled, and spread. */
const FIRST_PAUSE_MS = 100;

/** For room, and for the pace. */
const WAIT = { name: "acs wait" };

interface GuardParts {
  /** Makes each call once; any deadline ends it. */
  readonly service: CommunicationService;
  readonly breakers: Readonly<Record<BreakerName, Breaker>>;
  readonly gate: Gate;
  readonly limit: ConcurrencyLimit;
  readonly budget: RetryBudget;
  /** For a call with all its waiting and repeating. */
  readonly timeoutMs: number;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly onRepeat: (operation: ServiceOperation) => void;
  readonly tracing?: Tracing | undefined;
}

interface GuardedCall<Result> extends Entrant {
  readonly endsAt: number;
  /** Ends an attempt that is under way. */
  readonly deadline: AbortSignal | undefined;
  readonly attempt: (terms: CallTerms) => Promise<Result>;
}

export class GuardedService implements CommunicationService {
  readonly #parts: GuardParts;

  constructor(parts: GuardParts) {
    this.#parts = parts;
  }

  get resource(): string {
    return this.#parts.service.resource;
  }

  get credentialId(): string {
    return this.#parts.service.credentialId;
  }

  async createIdentity(terms?: CallTerms) {
    return await this.#call("createIdentity", terms, (attempt) => this.#parts.service.createIdentity(attempt));
  }

  async createIdentityWithToken(request: TokenRequest, terms?: CallTerms) {
    return await this.#call("createIdentityWithToken", terms, (attempt) =>
      this.#parts.service.createIdentityWithToken(request, attempt),
    );
  }

  async issueToken(communicationUserId: string, request: TokenRequest, terms?: CallTerms) {
    return await this.#call("issueToken", terms, (attempt) =>
      this.#parts.service.issueToken(communicationUserId, request, attempt),
    );
  }

  async revokeTokens(communicationUserId: string, terms?: CallTerms) {
    await this.#call("revokeTokens", terms, (attempt) =>
      this.#parts.service.revokeTokens(communicationUserId, attempt),
    );
  }

  async deleteIdentity(communicationUserId: string, terms?: CallTerms) {
    await this.#call("deleteIdentity", terms, (attempt) =>
      this.#parts.service.deleteIdentity(communicationUserId, attempt),
    );
  }

  async exchangeTeamsToken(request: TeamsTokenRequest, terms?: CallTerms) {
    return await this.#call("exchangeTeamsToken", terms, (attempt) =>
      this.#parts.service.exchangeTeamsToken(request, attempt),
    );
  }

  /** Asks the service itself, whatever the guard thinks of it. */
  async check(deadline: AbortSignal): Promise<void> {
    await this.#parts.service.check(deadline);
  }

  async #call<Result>(
    operation: ServiceOperation,
    { beginBy, deadline, urgency = "normal" }: CallTerms = {},
    attempt: (terms: CallTerms) => Promise<Result>,
  ): Promise<Result> {
    const { elapsed, timeoutMs, tracing } = this.#parts;
    const endsAt = elapsed() + timeoutMs;
    const call: GuardedCall<Result> = {
      operation,
      priority: priorityOf(operation, urgency),
      beginUntil: endsAt - timeoutMs * LEAST_SHARE,
      signals: [beginBy, deadline].filter((signal) => signal !== undefined),
      endsAt,
      deadline,
      attempt,
    };
    if (tracing === undefined) return await this.#try(call, 0);
    return await tracing.span({ name: `acs ${operation}` }, () => this.#try(call, 0));
  }

  async #try<Result>(call: GuardedCall<Result>, repeats: number): Promise<Result> {
    try {
      return await this.#attempt(call, repeats);
    } catch (error) {
      if (!(await this.#isWorthRepeating(call, error, repeats))) throw error;
      return await this.#try(call, repeats + 1).catch((later: unknown) => {
        throw moreTelling(error, later);
      });
    }
  }

  async #attempt<Result>(call: GuardedCall<Result>, repeats: number): Promise<Result> {
    const { gate, budget, tracing } = this.#parts;
    this.#refuseWhileOut(call);
    const entering = tracing === undefined ? gate.enter(call) : tracing.span(WAIT, () => gate.enter(call));
    const free = await entering;
    try {
      // It may have opened meanwhile, or be waiting for another call to show that the service is back.
      this.#refuseWhileOut(call);
      if (repeats === 0) budget.countCall();
      return await this.#breakerOf(call).run(() => this.#learnFrom(call));
    } finally {
      free();
    }
  }

  #breakerOf({ operation }: Entrant): Breaker {
    return this.#parts.breakers[breakerOf(operation)];
  }

  #refuseWhileOut(call: Entrant): void {
    const openFor = this.#breakerOf(call).openFor(call.operation);
    if (openFor > 0) throw this.#parts.gate.refusal(call, "breaker", openFor);
  }

  /** The attempt itself, in the time that is left. */
  async #learnFrom<Result>(call: GuardedCall<Result>): Promise<Result> {
    const { elapsed, limit, gate } = this.#parts;
    const begun = elapsed();
    const time = AbortSignal.timeout(Math.max(1, Math.floor(call.endsAt - begun)));
    const deadline = call.deadline === undefined ? time : AbortSignal.any([time, call.deadline]);
    try {
      const result = await call.attempt({ deadline });
      limit.answered(call.operation, elapsed() - begun, gate.underWay);
      return result;
    } catch (error) {
      if (!(error instanceof ServiceFailure)) throw error;
      // How late a caller comes is the caller's choice, and no sign of an outage.
      if (error.reason === "timeout" && call.deadline?.aborted && !time.aborted)
        throw new ServiceFailure("left", error.message, { cause: error.cause });
      if (showsOverload(call.operation, error.reason)) limit.overloaded();
      const { askedToWaitSeconds } = error;
      if (askedToWaitSeconds !== undefined) gate.hold(call.operation, askedToWaitSeconds * 1000);
      throw error;
    }
  }

  /** Waits for when a repeat makes sense, and answers whether it does. */
  async #isWorthRepeating(call: GuardedCall<unknown>, error: unknown, repeats: number): Promise<boolean> {
    const { budget, elapsed, onRepeat } = this.#parts;
    if (!(error instanceof ServiceFailure) || repeats >= MOST_REPEATS) return false;
    if (this.#breakerOf(call).isOpen) return false;
    if (!mayRepeat(call.operation, error.reason, error.askedToWaitSeconds !== undefined)) return false;
    const pause = this.#pause(error, repeats);
    if (elapsed() + pause > call.beginUntil || !budget.take()) return false;
    onRepeat(call.operation);
    // When the caller's time is up, the gate says so.
    await setTimeout(pause, undefined, { signal: AbortSignal.any([...call.signals]) }).catch(() => {});
    return true;
  }

  #pause({ askedToWaitSeconds }: ServiceFailure, repeats: number): number {
    const spread = FIRST_PAUSE_MS * 2 ** repeats * (0.5 + this.#parts.random() / 2);
    return askedToWaitSeconds === undefined ? spread : askedToWaitSeconds * 1000 + spread;
  }
}

/** Of two failures of one call: what may have taken effect before the last attempt still may have. */
function moreTelling(earlier: unknown, later: unknown): unknown {
  if (!(earlier instanceof ServiceFailure && later instanceof ServiceFailure)) return later;
  return later.reason === "notBegun" || earlier.effect === "unknown" ? earlier : later;
}
