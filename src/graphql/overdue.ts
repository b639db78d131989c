import type { Deadline } from "../deadline.js";
import { requestIsOver } from "../identities/waiting.js";

const LOOK_MS = 250;

interface Waiting {
  readonly deadline: Pick<Deadline, "aborted">;
  /** Taken away at the end: who has come to the old generation meanwhile would keep all of the request there. */
  giveUp: (() => void) | undefined;
  /** By the last look. Whatever is waited for mostly has a better word for it, and has said it by the next one. */
  isLate: boolean;
}

/** Answers those whose time is up while something goes on that takes no notice of it. One timer for all: most requests end in time. */
export class Overdue {
  readonly #onGivenUp: (work: Promise<unknown>) => void;
  readonly #waiting = new Set<Waiting>();
  #looks: NodeJS.Timeout | undefined;

  /** `onGivenUp`: told of work that goes on though nobody waits for it any more. */
  constructor(onGivenUp: (work: Promise<unknown>) => void) {
    this.#onGivenUp = onGivenUp;
  }

  /** What the work comes to, or DEADLINE_EXCEEDED a quarter to half a second after the deadline; the work itself goes on. */
  inTime<Result>(work: Promise<Result>, deadline: Pick<Deadline, "aborted">): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const giveUp = () => {
      this.#onGivenUp(work);
      reject(requestIsOver());
    };
    const waiting: Waiting = { deadline, giveUp, isLate: false };
    this.#waiting.add(waiting);
    this.#looks ??= setInterval(() => this.#look(), LOOK_MS).unref();
    const end = () => {
      waiting.giveUp = undefined;
      this.#waiting.delete(waiting);
    };
    work.then(
      (result) => {
        end();
        resolve(result);
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
    return promise;
  }

  #look(): void {
    for (const waiting of this.#waiting) {
      if (!waiting.deadline.aborted) continue;
      if (waiting.isLate) this.#giveUp(waiting);
      waiting.isLate = true;
    }
    if (this.#waiting.size > 0) return;
    clearInterval(this.#looks);
    this.#looks = undefined;
  }

  #giveUp(waiting: Waiting): void {
    this.#waiting.delete(waiting);
    waiting.giveUp?.();
  }
}
