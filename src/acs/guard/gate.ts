import { SERVICE_OPERATIONS, ServiceFailure, type ServiceOperation } from "../service.js";
import type { ConcurrencyLimit } from "./concurrency-limit.js";
import type { Pace } from "./pace.js";
import { LONGEST_MS, VirtualQueue } from "./virtual-queue.js";
import { type Waiting, WaitingLine } from "./waiting-line.js";

/** Why a call was not begun. `tooLate`: it would not have had enough of its time left. `left`: its caller's time was up. */
export const CALL_SHED_REASONS = ["breaker", "full", "tooLate", "left"] as const;
export type CallShedReason = (typeof CALL_SHED_REASONS)[number];

export interface Entrant extends Waiting {
  /** When a call must be begun at the latest, by the clock that is never set. */
  readonly beginUntil: number;
  /** Its caller waits no longer once one of them is aborted. */
  readonly signals: readonly AbortSignal[];
}

/** To be called when the call has ended. */
type Free = () => void;

interface Waiter extends Entrant {
  readonly slot: PromiseWithResolvers<Free>;
}

interface GateParts {
  readonly limit: ConcurrencyLimit;
  readonly pace: Pace;
  /** Who may wait, all operations together. */
  readonly queueSize: number;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  readonly observe: (operation: ServiceOperation, reason: CallShedReason) => void;
}

/** Who is sent away comes back within so many seconds after its turn: what is known of that is rough. */
const SPREAD_SECONDS = 3;

/**
 * Where calls wait: for room among those under way, and for their operation's pace. The one to go in is chosen when there
 * is room and the pace has granted a call, so that it is the most urgent of those who wait by then; nobody holds a slot for
 * the sake of the pace, and an operation that is held does not hold up another.
 */
export class Gate {
  readonly #parts: GateParts;
  readonly #line: WaitingLine<Waiter>;
  readonly #sentAway = new VirtualQueue();
  /** Calls that the pace is being asked for, by operation. */
  readonly #asking = new Map<ServiceOperation, number>();
  /** For them. */
  #slotsKept = 0;
  #underWay = 0;
  #wake: NodeJS.Timeout | undefined;

  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#line = new WaitingLine(parts.queueSize);
  }

  get underWay(): number {
    return this.#underWay;
  }

  get waiting(): number {
    return this.#line.length;
  }

  /** Resolves when the call may be made. Rejects with a `ServiceFailure` that has had no effect. */
  async enter(entrant: Entrant): Promise<Free> {
    if (entrant.signals.some(({ aborted }) => aborted)) throw this.refusal(entrant, "left");
    const waiter: Waiter = { ...entrant, slot: Promise.withResolvers<Free>() };
    const surplus = this.#line.add(waiter);
    if (surplus) surplus.slot.reject(this.refusal(surplus, "full"));
    const stop = this.#watch(waiter);
    this.#shedLate(entrant.operation);
    this.#letIn();
    return await waiter.slot.promise.finally(stop);
  }

  /** The service wants no calls of this operation for so long. */
  hold(operation: ServiceOperation, milliseconds: number): void {
    this.#parts.pace.hold(operation, milliseconds, "retryAfter");
    this.#shedLate(operation);
  }

  /** Calls that wait and are not worth trying any more. */
  giveUp(isHopeless: (operation: ServiceOperation) => boolean, outMs: number): void {
    const hopeless = this.#line.all(({ operation }) => isHopeless(operation));
    for (const waiter of hopeless) this.#shed(waiter, "breaker", outMs);
  }

  /** For a call that is not let as far as the line, or has to leave it. `outMs`: the service is not to be asked for so long. */
  refusal(waiting: Waiting, reason: CallShedReason, outMs = 0): ServiceFailure {
    this.#parts.observe(waiting.operation, reason);
    // Who has left does not come back for a place.
    const queue = reason === "left" ? undefined : this.#sentAway;
    const retryAfterSeconds = this.#retryAfter(waiting, outMs, queue);
    return new ServiceFailure("notBegun", MESSAGES[reason], { retryAfterSeconds });
  }

  /** In seconds: behind those who are ahead in line, and those who were sent away before. */
  #retryAfter(waiting: Waiting, outMs: number, queue: VirtualQueue | undefined): number {
    const { pace, limit, elapsed, random } = this.#parts;
    const { operation } = waiting;
    // The pace or the slots keep them waiting, whichever is slower.
    const msPerCall = Math.max(pace.msPerCall(operation), limit.msPerCall(operation));
    const ahead = Math.min(LONGEST_MS, this.#line.ahead(waiting) * msPerCall);
    const soonest = Math.max(outMs, pace.heldFor(operation)) + ahead;
    const place = queue?.join(waiting, elapsed() + soonest, msPerCall) ?? 0;
    return Math.max(1, Math.ceil((soonest + place) / 1000)) + Math.floor(random() * SPREAD_SECONDS);
  }

  #watch(waiter: Waiter): () => void {
    const { beginUntil, signals } = waiter;
    const leave = () => this.#shed(waiter, "left");
    const late = setTimeout(() => this.#shed(waiter, "tooLate"), Math.max(0, beginUntil - this.#parts.elapsed()));
    for (const signal of signals) signal.addEventListener("abort", leave, { once: true });
    return () => {
      clearTimeout(late);
      for (const signal of signals) signal.removeEventListener("abort", leave);
    };
  }

  #shed(waiter: Waiter, reason: CallShedReason, outMs?: number): void {
    if (!this.#line.has(waiter)) return;
    // It is told by its place in the line, which it has yet.
    waiter.slot.reject(this.refusal(waiter, reason, outMs));
    this.#line.remove(waiter);
  }

  /** Those go at once whose operation is held for longer than they can wait. */
  #shedLate(operation: ServiceOperation): void {
    const { pace, elapsed } = this.#parts;
    const held = pace.heldFor(operation);
    if (held === 0) return;
    const free = elapsed() + held;
    const late = this.#line.all((waiter) => waiter.operation === operation && waiter.beginUntil < free);
    for (const waiter of late) this.#shed(waiter, "tooLate");
  }

  /**
   * As many as there is room for and the pace lets through. By one look at the clock: an operation that is held at the first, and
   * free at a second, would have nobody to wake it.
   */
  #letIn(): void {
    const { limit, elapsed } = this.#parts;
    const now = elapsed();
    while (this.#underWay + this.#slotsKept < limit.current) {
      const next = this.#nextToAskFor(now);
      if (next === undefined) break;
      void this.#askFor(next);
    }
    this.#wakeWhenFree(now);
  }

  /** The operation of the first who waits without a call being asked for on their behalf. */
  #nextToAskFor(now: number): ServiceOperation | undefined {
    const asking = new Map(this.#asking);
    return this.#line.first(({ operation }) => {
      if (this.#parts.pace.heldFor(operation, now) > 0) return false;
      const others = asking.get(operation) ?? 0;
      asking.set(operation, others - 1);
      return others <= 0;
    })?.operation;
  }

  async #askFor(operation: ServiceOperation): Promise<void> {
    this.#countAsking(operation, 1);
    const take = await this.#parts.pace.take(operation);
    this.#countAsking(operation, -1);
    const waiter = take.granted ? this.#firstOf(operation) : undefined;
    if (waiter !== undefined) this.#grant(waiter);
    else if (take.granted) void take.giveBack();
    else this.#shedLate(operation);
    this.#letIn();
  }

  #grant(waiter: Waiter): void {
    this.#line.remove(waiter);
    this.#underWay += 1;
    waiter.slot.resolve(() => {
      this.#underWay -= 1;
      this.#letIn();
    });
  }

  /** When the first of the held operations that somebody waits for is free. */
  #wakeWhenFree(now: number): void {
    clearTimeout(this.#wake);
    const { pace } = this.#parts;
    const waits = SERVICE_OPERATIONS.filter((operation) => this.#firstOf(operation) !== undefined)
      .map((operation) => pace.heldFor(operation, now))
      .filter((milliseconds) => milliseconds > 0);
    if (waits.length === 0) return;
    this.#wake = setTimeout(() => this.#letIn(), Math.ceil(Math.min(...waits))).unref();
  }

  #firstOf(operation: ServiceOperation): Waiter | undefined {
    return this.#line.first((waiter) => waiter.operation === operation);
  }

  #countAsking(operation: ServiceOperation, change: 1 | -1): void {
    this.#slotsKept += change;
    this.#asking.set(operation, (this.#asking.get(operation) ?? 0) + change);
  }
}

const MESSAGES: Readonly<Record<CallShedReason, string>> = {
  breaker: "Communication Services is out of order; it is tried again shortly.",
  full: "Too many calls wait for Communication Services.",
  tooLate: "Communication Services cannot be asked in time: it asked to wait, or too many calls come first.",
  left: "The request's time was up before Communication Services could be asked.",
};
