/**
 * Answers that go on: how many there may be, and when each has to end: with its client, with the caller's token, or with the
 * gateway.
 */
import { setTimeout as startTimer } from "node:timers";
import { setTimeout } from "node:timers/promises";
import type { Caller } from "../auth/caller.js";
import { endingWith } from "../ending.js";
import { GatewayError } from "../errors.js";
import type { CallerCheck } from "./caller-check.js";
import { UserPlaces } from "./user-places.js";

interface StreamsParts {
  readonly most: number;
  readonly mostPerUser: number;
  readonly callerCheck: Pick<CallerCheck, "requireStillGood">;
  /** ms since 1970 */
  readonly now: () => number;
}

/** For one stream, until it is ended. */
interface Place {
  readonly ended: AbortSignal;
  /** The client has gone, or has all that it asked for. */
  end(): void;
}

/** For those who are slow to take the last that they are told. */
const LAST_WORDS_MS = 500;
const LOOK_MS = 10;
/** How often it is looked whether a caller's key is still the issuer's; their keys are asked for no more often. */
const CHECK_CALLER_MS = 10_000;
/** For what is not answered yet, of the 10 s in which everything has to be closed. */
const GRACE_MS = 8000;
/** What a timer can count, 24 days, and a second for last words: a caller whose token lasts longer connects again in between. */
const LONGEST_MS = 2 ** 31 - 1 - 1000;

export class Streams {
  readonly #parts: StreamsParts;
  readonly #open = new Set<(why: GatewayError) => void>();
  readonly #ofUsers: UserPlaces;
  /** Streams whose first answer is being worked on. */
  #starting = 0;
  #isClosed = false;

  constructor(parts: StreamsParts) {
    this.#parts = parts;
    this.#ofUsers = new UserPlaces(parts.mostPerUser);
  }

  get count(): number {
    return this.#open.size;
  }

  /**
   * Begins a stream: what `start` answers, which has to end with the signal. Its reason is a `GatewayError` if the client is to be
   * told. Throws when there is no room.
   */
  async begin<Result>(
    caller: Caller,
    start: (ended: AbortSignal) => Promise<AsyncGenerator<Result>>,
  ): Promise<AsyncGenerator<Result>> {
    const place = this.#take(caller);
    this.#starting += 1;
    try {
      return endingWith(await start(place.ended), place.end);
    } catch (error) {
      place.end();
      throw error;
    } finally {
      this.#starting -= 1;
    }
  }

  #take(caller: Caller): Place {
    if (msLeft(caller, this.#parts.now()) === 0) throw expired();
    this.#requireRoom();
    if (!this.#ofUsers.take(caller))
      throw new GatewayError("RATE_LIMITED", `A user may have ${this.#ofUsers.most} streams; end one first.`);
    const controller = new AbortController();
    const tell = (why: GatewayError) => controller.abort(why);
    const timer = startTimer(tell, msLeft(caller, this.#parts.now()), expired()).unref();
    const check = () => this.#parts.callerCheck.requireStillGood(caller).catch(tell);
    const checking = setInterval(check, CHECK_CALLER_MS).unref();
    this.#open.add(tell);
    const leave = () => {
      clearTimeout(timer);
      clearInterval(checking);
      if (this.#open.delete(tell)) this.#ofUsers.leave(caller);
    };
    return {
      ended: controller.signal,
      end: () => {
        leave();
        controller.abort();
      },
    };
  }

  /**
   * Tells every client to come again, and takes no more. Resolves when what had been begun is answered and they have been told, or
   * will not be soon.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const tell of [...this.#open]) tell(goingAway());
    const until = performance.now() + GRACE_MS;
    while (this.#starting > 0 && performance.now() < until) await setTimeout(LOOK_MS);
    for (let waited = 0; this.#open.size > 0 && waited < LAST_WORDS_MS; waited += LOOK_MS) await setTimeout(LOOK_MS);
  }

  #requireRoom(): void {
    if (this.#isClosed) throw goingAway();
    if (this.#open.size >= this.#parts.most)
      throw new GatewayError("UPSTREAM_UNAVAILABLE", "The gateway has as many streams as it may; try again later.");
  }
}

/** Until the caller's token expires, which is never waited for longer than a timer can. */
export function msLeft({ claims }: Caller, now: number): number {
  const expiresAt = typeof claims.exp === "number" ? claims.exp * 1000 : 0;
  return Math.min(Math.max(0, expiresAt - now), LONGEST_MS);
}

function expired(): GatewayError {
  return new GatewayError("UNAUTHENTICATED", "The caller's token has expired: subscribe again with a new one.");
}

function goingAway(): GatewayError {
  return new GatewayError("UPSTREAM_UNAVAILABLE", "This instance is being stopped: subscribe again.");
}
