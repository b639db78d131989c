import { setTimeout } from "node:timers/promises";
import { type CommunicationService, ServiceFailure, type ServiceToken, type TokenRequest } from "../acs/service.js";
import type { AuditLog, CallAudit, Recorded } from "../audit/log.js";
import { type ErrorCode, errorKind, GatewayError } from "../errors.js";
import type { Events } from "../observe/events.js";
import type { Call } from "../policy/call.js";
import type { AttemptStore } from "../store/attempt-store.js";
import type { Binding, IdentityStore } from "../store/identity-store.js";
import { type ApplicationUser, type Identity, userKey } from "./identity.js";
import { newAttemptId, newIdentityId } from "./ids.js";
import type { ProvisioningAttempt } from "./provisioning-attempt.js";
import { requestIsOver, waitFor } from "./waiting.js";

/** How often those who wait for another process's attempt look whether it has ended: ever more rarely. */
const FIRST_LOOK_MS = 25;
const LAST_LOOK_MS = 400;
/** How often a store that is away is told again what the service has made. */
const TELL_AGAIN_MS = 200;

interface ProvisioningParts {
  readonly identities: IdentityStore;
  readonly attempts: AttemptStore;
  readonly service: CommunicationService;
  readonly audit: AuditLog;
  readonly events: Events;
  readonly now: () => number;
  /** Longer than a call to the service may take. */
  readonly leaseMs: number;
  /** Users whose identity is being made, in this process; a further one is refused as UPSTREAM_UNAVAILABLE. */
  readonly mostAtOnce: number;
}

/** What else is wanted of the identity. */
interface Wanted {
  readonly first?: FirstToken | undefined;
  /** It is to be this one, in whatever state it is, and no other is made for its user. */
  readonly id?: string | undefined;
}

/** What the call that makes the identity wants along with it. */
interface FirstToken {
  readonly request: TokenRequest;
  /** Asked by that call alone, before the service is; what it throws ends the attempt. */
  readonly admit: () => Promise<void>;
  /** Told what it failed with once it was admitted, whether the call still waits for that or not. Never rejects. */
  readonly failed: (error: unknown) => Promise<void>;
}

interface OwnAttempt {
  readonly id: string;
  readonly identityId: string;
  /** ms since 1970 */
  readonly leaseUntil: number;
}

interface Provisioned {
  readonly identity: Identity;
  /** The first token, for the one call that made the identity, unless it was revoked meanwhile. */
  readonly token?: Recorded<ServiceToken> | undefined;
}

interface Made extends Provisioned {
  /** Of the record of what was made, for the call that began it: whoever waited has no part in it. */
  readonly failure?: unknown;
}

/** What the call that began it is about. */
interface ProvisionRequest {
  readonly requestId: string;
  readonly deadline: AbortSignal;
  readonly audit: CallAudit;
  readonly first: FirstToken | undefined;
  readonly id: string | undefined;
}

const OUTAGES: ReadonlySet<ErrorCode> = new Set(["AUDIT_UNAVAILABLE", "STORE_UNAVAILABLE"]);

/** Nothing came of an attempt before the service was asked; the cause says why, and is what the call that began it is told. */
class NeverAsked extends Error {
  override readonly name = "NeverAsked";

  constructor(override readonly cause: unknown) {
    super("The service was not asked.", { cause });
  }

  /** Whether another call of the user would fare no better: their budgets are the same, and the process has one trail and one store. */
  isForAll(first: FirstToken | undefined): boolean {
    if (!(this.cause instanceof GatewayError)) return false;
    const { code } = this.cause;
    return OUTAGES.has(code) || (code === "RATE_LIMITED" && first !== undefined);
  }
}

/**
 * Gives a user an identity, once, whoever else tries at the same time and whatever dies meanwhile.
 *
 * The user's row and an attempt with a lease are written before the service is asked. Concurrent calls for one user, in
 * this process or in another, wait for that attempt and share what the service answered, and what holds for them all; where it
 * was not asked for another reason, or whoever asked has died, one of them makes the next attempt. Only the call that made the
 * identity gets the token that came along. When nobody knows whether the service made an identity, the attempt stays written
 * down as IN_DOUBT.
 */
export class Provisioning {
  readonly #parts: ProvisioningParts;
  readonly #underWay = new Map<string, Promise<Made>>();
  #isFinishing = false;

  constructor(parts: ProvisioningParts) {
    this.#parts = parts;
  }

  /** The user's live identity, made if there is none; with a first token in the same service call if one is asked for. */
  async ensure(user: ApplicationUser, call: Call, wanted: Wanted = {}): Promise<Provisioned> {
    const { identities } = this.#parts;
    const { first, id } = wanted;
    const key = userKey(user);
    for (;;) {
      const existing = await (id === undefined ? identities.findByUser(user) : identities.findById(id));
      if (existing !== undefined && existing.status !== "PROVISIONING") return { identity: existing };
      const running = this.#underWay.get(key);
      if (running === undefined) return await this.#begin(key, user, call, wanted);
      const identity = await waitFor(sharedBy(running, first), call.deadline.signal);
      if (identity !== undefined && (id === undefined || identity.id === id)) return { identity };
    }
  }

  async #begin(key: string, user: ApplicationUser, call: Call, { first, id }: Wanted): Promise<Provisioned> {
    if (this.#isFinishing) throw new GatewayError("UPSTREAM_UNAVAILABLE", "The gateway is being stopped; try again.");
    if (this.#underWay.size >= this.#parts.mostAtOnce) {
      throw new GatewayError("UPSTREAM_UNAVAILABLE", "Too many identities are being made at once; try again shortly.");
    }
    const { requestId, deadline } = call;
    const asked = { requestId, deadline: deadline.signal, audit: this.#parts.audit.beyond(call), first, id };
    const started = this.#provision(user, asked).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, started);
    const { identity, token, failure } = await waitFor(started, deadline.signal).catch((error: unknown) => {
      throw error instanceof NeverAsked ? error.cause : error;
    });
    if (failure !== undefined) throw failure;
    return { identity, token };
  }

  /** Begins no more; resolves when nothing is under way, whether anybody still waits for it or not. */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    await Promise.allSettled(this.#underWay.values());
  }

  async #provision(user: ApplicationUser, asked: ProvisionRequest): Promise<Made> {
    const { attempts, now, leaseMs } = this.#parts;
    for (;;) {
      const claimed = await this.#claim(user, asked.id);
      if (claimed.status !== "PROVISIONING") return { identity: claimed };
      const attempt = { id: newAttemptId(), identityId: claimed.id, leaseUntil: now() + leaseMs };
      // Whether it has begun may be what is not known.
      const hasBegun = await this.#unlessInVain(attempt, () => attempts.begin({ ...attempt, now: now() }));
      if (hasBegun) return await this.#make(attempt, claimed, asked);
      const identity = await this.#follow(claimed, asked.deadline);
      if (identity !== undefined) return { identity };
      if (asked.deadline.aborted) throw new NeverAsked(requestIsOver());
    }
  }

  async #claim(user: ApplicationUser, id: string | undefined): Promise<Identity> {
    const { identities, now } = this.#parts;
    if (id === undefined) return await identities.claim(user, newIdentityId(), now());
    const named = await identities.findById(id);
    if (named === undefined) throw new Error(`the row of ${id} is gone, which is never taken away`);
    return named;
  }

  async #make(attempt: OwnAttempt, claimed: Identity, asked: ProvisionRequest): Promise<Made> {
    const current = await this.#unlessInVain(attempt, () => this.#reread(claimed));
    if (current.status === "PROVISIONING") {
      await this.#unlessInVain(attempt, () => this.#admit(attempt, asked));
      return await this.#carryOut(attempt, current, asked);
    }
    // Another attempt ended between the two writes.
    await this.#release(attempt);
    return { identity: current };
  }

  /** Nobody else need wait for an attempt that ends before the service was asked. */
  async #unlessInVain<Result>(attempt: OwnAttempt, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      // Where that fails, too, the lease does it.
      await this.#release(attempt).catch(() => {});
      throw new NeverAsked(error);
    }
  }

  async #admit({ identityId }: OwnAttempt, { audit, first, deadline }: ProvisionRequest): Promise<void> {
    if (deadline.aborted) throw requestIsOver();
    await first?.admit();
    try {
      if (first === undefined) await audit.intent("IDENTITY_PROVISIONED", { identityId });
      else await audit.intent("TOKEN_ISSUED", { identityId, scopes: first.request.scopes });
    } catch (error) {
      await first?.failed(error);
      throw error;
    }
  }

  async #release({ id }: OwnAttempt): Promise<void> {
    const { attempts, now } = this.#parts;
    await attempts.fail(id, "RELEASED", undefined, now());
  }

  async #carryOut(attempt: OwnAttempt, claimed: Identity, asked: ProvisionRequest): Promise<Made> {
    const { events, service, now } = this.#parts;
    const made = await this.#create(attempt.id, asked);
    const binding = {
      communicationUserId: made.communicationUserId,
      resource: service.resource,
      revocations: claimed.revocations,
      tokenIssuedAt: made.token === undefined ? null : now(),
    };
    const bound = await this.#tellStore(attempt, binding);
    if (bound === undefined) {
      events.surplusIdentity(attempt.identityId);
      return { identity: requireMade(await this.#reread(claimed)) };
    }
    events.identityProvisioned(asked.requestId, bound);
    const usable = bound.status === "ACTIVE" && bound.revocations === claimed.revocations;
    try {
      return { identity: bound, token: await this.#recordMade(bound, usable ? made.token : undefined, asked) };
    } catch (failure) {
      await asked.first?.failed(failure);
      return { identity: bound, failure };
    }
  }

  async #recordMade(
    { id: identityId }: Identity,
    token: ServiceToken | undefined,
    { audit, first }: ProvisionRequest,
  ): Promise<Recorded<ServiceToken> | undefined> {
    const scopes = first?.request.scopes ?? null;
    const [, recorded] = await Promise.all([
      audit.done("IDENTITY_PROVISIONED", { identityId }),
      token && audit.token("TOKEN_ISSUED", { identityId, scopes }, token),
    ]);
    return recorded;
  }

  /** What the service has made is known here alone, so a store that is away is told again while the lease lasts. */
  async #tellStore(attempt: OwnAttempt, binding: Binding): Promise<Identity | undefined> {
    const { attempts, events, now } = this.#parts;
    for (;;) {
      try {
        return await attempts.succeed(attempt, binding, now());
      } catch (error) {
        const isAway = error instanceof GatewayError && error.code === "STORE_UNAVAILABLE";
        if (!isAway || now() + TELL_AGAIN_MS >= attempt.leaseUntil) {
          events.identityNotBound(attempt.id, binding.communicationUserId, error);
          throw error;
        }
        await setTimeout(TELL_AGAIN_MS);
      }
    }
  }

  async #create(
    attemptId: string,
    { first, deadline: beginBy }: ProvisionRequest,
  ): Promise<{ communicationUserId: string; token?: ServiceToken }> {
    const { attempts, service, events, now } = this.#parts;
    try {
      return first === undefined
        ? await service.createIdentity({ beginBy })
        : await service.createIdentityWithToken(first.request, { beginBy });
    } catch (error) {
      await first?.failed(error);
      if (error instanceof ServiceFailure && error.reason === "notBegun" && beginBy.aborted) {
        await attempts.fail(attemptId, "RELEASED", undefined, now());
        throw new NeverAsked(error);
      }
      const state = error instanceof ServiceFailure && error.effect === "none" ? "RELEASED" : "IN_DOUBT";
      const known = error instanceof GatewayError ? error : undefined;
      const failure = {
        errorCode: known?.code ?? "INTERNAL_SERVER_ERROR",
        retryAfterSeconds: known?.retryAfterSeconds ?? null,
      };
      await attempts.fail(attemptId, state, failure, now());
      if (state === "IN_DOUBT") events.attemptInDoubt(attemptId);
      throw error;
    }
  }

  /**
   * Waits for the attempt that another process has under way, no longer than its lease, and shares its outcome; undefined when
   * that has none to share, and another attempt may be begun by whoever has the time.
   */
  async #follow(claimed: Identity, deadline: AbortSignal): Promise<Identity | undefined> {
    const { attempts, now } = this.#parts;
    let attempt = await attempts.findRunning(claimed.id, now());
    const mayEnd = () => attempt?.state === "RUNNING" && attempt.leaseUntil > now() && !deadline.aborted;
    for (let pause = FIRST_LOOK_MS; attempt && mayEnd(); pause *= 2) {
      await setTimeout(Math.min(pause, LAST_LOOK_MS));
      attempt = await attempts.find(attempt.id);
    }
    const current = await this.#reread(claimed);
    if (current.status !== "PROVISIONING") return current;
    if (attempt?.errorCode != null) throw failureOf(attempt.errorCode, attempt);
    return undefined;
  }

  async #reread(identity: Identity): Promise<Identity> {
    return (await this.#parts.identities.findById(identity.id)) ?? identity;
  }
}

/** A row that is still being provisioned after all is one that somebody has to try again. */
function requireMade(identity: Identity): Identity {
  if (identity.status !== "PROVISIONING") return identity;
  throw new GatewayError("UPSTREAM_UNAVAILABLE", "The identity could not be made in time; try again.");
}

/** What came of another call's attempt; undefined when that is no matter of this one, which may make its own. */
async function sharedBy(running: Promise<Made>, first: FirstToken | undefined): Promise<Identity | undefined> {
  try {
    return (await running).identity;
  } catch (error) {
    if (!(error instanceof NeverAsked)) throw error;
    if (error.isForAll(first)) throw error.cause;
    return undefined;
  }
}

/** What the service's failure was, as the call that asked it was told. */
function failureOf(errorCode: string, { retryAfterSeconds }: ProvisioningAttempt): GatewayError {
  const code = errorKind(errorCode) === undefined ? "UPSTREAM_UNAVAILABLE" : (errorCode as ErrorCode);
  return new GatewayError(code, "The identity that was being made could not be made.", {
    retryAfterSeconds: retryAfterSeconds ?? undefined,
  });
}
