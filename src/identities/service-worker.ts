import { setTimeout } from "node:timers/promises";
import { type CommunicationService, IdentityNotOwned, ServiceFailure } from "../acs/service.js";
import { runLoop } from "../loop.js";
import type { Events } from "../observe/events.js";
import type { Tracing } from "../observe/tracing.js";
import type { WorkStore } from "../store/work-store.js";
import type { Eraser } from "./eraser.js";
import type { ApplicationUser } from "./identity.js";
import { newLeaseHolder } from "./ids.js";
import type { ServiceWork } from "./service-work.js";
import { waitBriefly } from "./waiting.js";

/** How often the worker looks for work that is due. */
const LOOK_MS = 500;
/** How many pieces of work one process has under way, besides those that a mutation waits for. */
const CONCURRENCY = 4;
/** How long a mutation waits for the service before it answers that the work is pending. */
const BRIEF_MS = 3000;
const POLL_MS = 50;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 60_000;
/** However long the service asks for: what has been promised is not put off any further. The guard holds calls back for as long as it asked. */
const LONGEST_ASKED_MS = 120_000;

interface ServiceWorkerParts {
  readonly work: WorkStore;
  readonly service: CommunicationService;
  readonly eraser: Eraser;
  readonly events: Events;
  readonly now: () => number;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** Longer than a call to the service may take. */
  readonly leaseMs: number;
  readonly hashUser: (user: ApplicationUser) => string;
  readonly tracing?: Tracing | undefined;
}

/**
 * Carries out at the service what has been promised: revocations and deletions. Each piece of work is done by one process
 * at a time, which holds its lease, and tried until it succeeds, across failures and restarts.
 */
export class ServiceWorker {
  readonly #parts: ServiceWorkerParts;
  readonly #stopped = new AbortController();
  #loop: Promise<void> | undefined;
  readonly #underWay = new Set<Promise<void>>();
  /** For the next piece, once one of those under way has ended. */
  #room: PromiseWithResolvers<void> | undefined;
  readonly #settling = new Set<Promise<void>>();

  constructor(parts: ServiceWorkerParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#loop = runLoop({
      next: () => this.#beginNext(),
      restMs: LOOK_MS,
      signal: this.#stopped.signal,
      onFailure: (error) => this.#parts.events.backgroundFailed("service work", error),
      onSuccess: () => this.#parts.events.backgroundWorks("service work"),
    });
  }

  /** Resolves when what is under way has ended; the rest waits for the next process. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
    await Promise.all([...this.#underWay, ...this.#settling]);
  }

  /** Tries at once, and resolves when the work is done or after a short wait; it goes on either way. */
  async settle(communicationUserId: string | null, deadline: AbortSignal): Promise<void> {
    if (communicationUserId === null) return;
    const settled = this.#watch(this.#settle(communicationUserId)).then(() => {});
    await waitBriefly(this.#keep(this.#settling, settled), BRIEF_MS, deadline);
  }

  /** Among those that a stop waits for, until it has ended. */
  #keep(those: Set<Promise<void>>, doing: Promise<void>): Promise<void> {
    those.add(doing);
    void doing.finally(() => those.delete(doing));
    return doing;
  }

  /** Never rejects: whether what came of it could be written down. */
  async #watch(doing: Promise<void>): Promise<boolean> {
    const { events } = this.#parts;
    try {
      await doing;
      events.backgroundWorks("outcome of service work");
      return true;
    } catch (error) {
      events.backgroundFailed("outcome of service work", error);
      return false;
    }
  }

  async #settle(communicationUserId: string): Promise<void> {
    const { work, now, leaseMs } = this.#parts;
    const holder = newLeaseHolder();
    const leased = await work.lease(communicationUserId, { now: now(), until: now() + leaseMs, holder });
    if (leased !== undefined) return await this.#carryOut(leased, holder);
    const end = performance.now() + BRIEF_MS;
    while (performance.now() < end && (await work.find(communicationUserId)) !== undefined) await setTimeout(POLL_MS);
  }

  /** One looks for all of them: the database is asked no more often for there being several. */
  async #beginNext(): Promise<boolean> {
    const { work, now, leaseMs } = this.#parts;
    if (this.#underWay.size >= CONCURRENCY) {
      this.#room = Promise.withResolvers();
      await this.#room.promise;
    }
    if (this.#stopped.signal.aborted) return false;
    const holder = newLeaseHolder();
    const leased = await work.leaseDue({ now: now(), until: now() + leaseMs, holder });
    if (leased === undefined) return false;
    void this.#keep(this.#underWay, this.#carryOutOrRest(leased, holder)).then(() => this.#room?.resolve());
    return true;
  }

  /** Where what came of it cannot be written down, that of the next piece cannot be either, so its place is free after a rest. */
  async #carryOutOrRest(leased: ServiceWork, holder: string): Promise<void> {
    if (await this.#watch(this.#carryOut(leased, holder))) return;
    await setTimeout(LOOK_MS, undefined, { signal: this.#stopped.signal, ref: false }).catch(() => {});
  }

  async #carryOut(leased: ServiceWork, holder: string): Promise<void> {
    const { tracing } = this.#parts;
    if (tracing === undefined) return await this.#do(leased, holder);
    const { action, tries } = leased;
    const attributes = { "gateway.work.action": action, "gateway.work.tries": tries };
    await tracing.work({ name: `work ${action}`, attributes }, () => this.#do(leased, holder));
  }

  async #do(leased: ServiceWork, holder: string): Promise<void> {
    const { work, events, hashUser, now } = this.#parts;
    let done: boolean;
    try {
      await this.#ask(leased);
      done = (await this.#erase(leased, holder)) && (await work.complete(leased, { holder, now: now() }, hashUser));
    } catch (error) {
      events.workPostponed(leased, error);
      await work.giveBack(leased, holder, now() + this.#pause(leased, error), messageOf(error));
      return;
    }
    if (done) events.workDone(leased, now());
    else await work.giveBack(leased, holder, now(), null);
  }

  /** A deleted user's names in the trail, before the row says that they are gone. False when the lease is lost meanwhile. */
  async #erase({ action, communicationUserId, identityId }: ServiceWork, holder: string): Promise<boolean> {
    const { work, eraser, now, leaseMs } = this.#parts;
    if (action !== "DELETE" || identityId === null) return true;
    const renew = () => work.renew(communicationUserId, { holder, until: now() + leaseMs });
    return await eraser.erase(identityId, async () => !this.#stopped.signal.aborted && (await renew()));
  }

  async #ask({ action, communicationUserId, resource }: ServiceWork): Promise<void> {
    const { service } = this.#parts;
    try {
      if (action === "DELETE") await service.deleteIdentity(communicationUserId);
      else await service.revokeTokens(communicationUserId);
    } catch (error) {
      if (!(error instanceof IdentityNotOwned)) throw error;
      // What its own resource no longer has needs neither. Another resource cannot know.
      if (resource === null || resource === service.resource) return;
      throw new Error(`the identity is of ${resource}, and this gateway is connected to ${service.resource}`, {
        cause: error,
      });
    }
  }

  /** Twice as long after each failure, up to a minute, spread, and never sooner than the service asked for, up to two. */
  #pause({ tries }: ServiceWork, error: unknown): number {
    const doubled = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries, 16));
    const spread = doubled * (0.5 + this.#parts.random() / 2);
    const asked = error instanceof ServiceFailure ? (error.askedToWaitSeconds ?? 0) * 1000 : 0;
    return Math.round(Math.max(spread, Math.min(asked, LONGEST_ASKED_MS)));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "unknown";
}
