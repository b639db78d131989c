/**
 * How much the gateway has taken on, and when that is too much. Requests under way are bounded: one that comes beyond is
 * refused before anything is done for it, so those under way are answered in time. A request counts until its work is done,
 * even if its client has left meanwhile: clients that give up and ask again are what an overload is made of. What a subscription's
 * event has begun and goes on beyond its time counts, too, and may be beyond the bound, by as many as there are subscriptions.
 *
 * The process may also be behind: what it reads late has waited in the system, where nobody counts it. How long that can
 * have been is how late a timer is. Timers come before sockets in each turn of the event loop, so after a standstill it is
 * known before the first request is read.
 *
 * Readiness turns earlier than requests are refused, after a second of it, and back after a second of half as much.
 */

/** Too many are under way, or the request has waited unseen for half of its time. */
export type RequestShedReason = "full" | "late";

export interface Signs {
  /** Requests. */
  readonly underWay: number;
  /** Connections that are left unread in a crowd, each of which may have one more. */
  readonly unread: number;
  /** By which a timer was late. */
  readonly lateMs: number;
}

export interface LoadWatcher {
  /** For each that is. */
  onShed(reason: RequestShedReason): void;
  onShedding(signs: Signs): void;
  /** So many were refused since it began. */
  onSheddingOver(count: number): void;
  onOverloaded(signs: Signs): void;
  onOverloadOver(): void;
}

interface LoadOptions {
  readonly maxRequests: number;
  readonly requestTimeoutMs: number;
  /** Of `maxRequests`, at which there is too much to be ready for more; 0: load says nothing about readiness. */
  readonly unreadyAtPercent: number;
  /** As in `Signs`. */
  readonly unread: () => number;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
  readonly watcher: LoadWatcher;
}

export const LOOK_EVERY_MS = 100;
/** How late timers are when the process has too much to do. */
const LATE_MS = 500;
const TURN_AFTER_MS = 1000;
/** Without a refusal, until the next one is news. */
const SHEDDING_OVER_AFTER_MS = 5000;

export class Load {
  readonly #options: LoadOptions;
  readonly #mostLateMs: number;
  #underWay = 0;
  #lateMs = 0;
  #lookedAt: number;
  #isOverloaded = false;
  /** Since when the signs say otherwise than `#isOverloaded`. */
  #turningSince: number | undefined;
  /** Since the last look. */
  #shed = 0;
  #shedding: { count: number; last: number } | undefined;

  constructor(options: LoadOptions) {
    this.#options = options;
    // As a call to the service is not begun with less than half of its time left.
    this.#mostLateMs = options.requestTimeoutMs / 2;
    this.#lookedAt = options.elapsed();
  }

  get underWay(): number {
    return this.#underWay;
  }

  /** Whether a load balancer had better send its next requests elsewhere. */
  get isOverloaded(): boolean {
    return this.#isOverloaded;
  }

  /** Why a request is not to be begun; undefined when it is, and counts until `leave`. */
  enter(): RequestShedReason | undefined {
    if (this.#underWay < this.#options.maxRequests && this.#lateMs <= this.#mostLateMs) {
      this.#underWay += 1;
      return undefined;
    }
    const reason = this.#lateMs > this.#mostLateMs ? "late" : "full";
    this.#shed += 1;
    this.#options.watcher.onShed(reason);
    return reason;
  }

  leave(): void {
    this.#underWay -= 1;
  }

  /** Counts what a request has begun, though it is answered, until that has ended, too. */
  stay(work: Promise<unknown>): void {
    this.#underWay += 1;
    const leave = () => this.leave();
    work.then(leave, leave);
  }

  /** Looks again and again, until what it answers is called. */
  watch(): () => void {
    this.#lookedAt = this.#options.elapsed();
    const looking = setInterval(() => this.look(), LOOK_EVERY_MS).unref();
    return () => clearInterval(looking);
  }

  /** To be called each `LOOK_EVERY_MS`: by how much it is not says how late the process is. */
  look(): void {
    const now = this.#options.elapsed();
    this.#lateMs = Math.max(0, now - this.#lookedAt - LOOK_EVERY_MS);
    this.#lookedAt = now;
    this.#noteShedding(now);
    this.#noteOverload(now);
    this.#shed = 0;
  }

  #noteShedding(now: number): void {
    const { watcher } = this.#options;
    if (this.#shed > 0) {
      if (this.#shedding === undefined) watcher.onShedding(this.#signs());
      this.#shedding = { count: (this.#shedding?.count ?? 0) + this.#shed, last: now };
    } else if (this.#shedding !== undefined && now - this.#shedding.last >= SHEDDING_OVER_AFTER_MS) {
      watcher.onSheddingOver(this.#shedding.count);
      this.#shedding = undefined;
    }
  }

  #noteOverload(now: number): void {
    const isTurning = this.#isOverloaded ? !this.#isMuch(0.5) : this.#isMuch(1);
    if (!isTurning) {
      this.#turningSince = undefined;
      return;
    }
    this.#turningSince ??= now;
    if (now - this.#turningSince < TURN_AFTER_MS) return;
    this.#turningSince = undefined;
    this.#isOverloaded = !this.#isOverloaded;
    if (this.#isOverloaded) this.#options.watcher.onOverloaded(this.#signs());
    else this.#options.watcher.onOverloadOver();
  }

  /** Whether any sign has reached this share of its mark. */
  #isMuch(share: number): boolean {
    const { maxRequests, unreadyAtPercent, unread } = this.#options;
    if (unreadyAtPercent === 0) return false;
    const mark = (maxRequests * unreadyAtPercent) / 100;
    return this.#shed > 0 || this.#underWay + unread() >= share * mark || this.#lateMs >= share * LATE_MS;
  }

  #signs(): Signs {
    return { underWay: this.#underWay, unread: this.#options.unread(), lateMs: Math.round(this.#lateMs) };
  }
}
