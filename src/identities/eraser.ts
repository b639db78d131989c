import { setImmediate } from "node:timers/promises";
import { runLoop } from "../loop.js";
import type { Events } from "../observe/events.js";
import type { AuditStore, TrailPosition } from "../store/audit-store.js";
import type { ErasureStore } from "../store/erasure-store.js";
import type { IdentityStore } from "../store/identity-store.js";
import type { ApplicationUser } from "./identity.js";

/** How often the eraser looks for what is due. */
const LOOK_MS = 1000;
/** After a failure, or the end of a process in the middle. */
const RETRY_MS = 30_000;

interface EraserParts {
  readonly identities: IdentityStore;
  readonly trail: AuditStore;
  readonly erasures: ErasureStore;
  readonly events: Events;
  readonly now: () => number;
  /** Longer than anything that was begun before a deletion takes to be recorded. */
  readonly repeatMs: number;
  readonly hashUser: (user: ApplicationUser) => string;
}

/** Answers whether to go on with the next step. */
type GoOn = () => boolean | Promise<boolean>;

/**
 * Takes deleted users out of the trail: in small steps, between which the process goes on with other things, and once more
 * when nothing that was begun before the deletion can name them any more.
 */
export class Eraser {
  readonly #parts: EraserParts;
  readonly #stopped = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(parts: EraserParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#loop = runLoop({
      next: () => this.#doNext(),
      restMs: LOOK_MS,
      signal: this.#stopped.signal,
      onFailure: (error) => this.#parts.events.backgroundFailed("erasure", error),
      onSuccess: () => this.#parts.events.backgroundWorks("erasure"),
    });
  }

  /** Resolves when the step under way has ended; the rest waits for the next process. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  /** True when nothing is left of the user; false when it was not to go on. */
  async erase(identityId: string, goOn: GoOn): Promise<boolean> {
    const { identities, trail, hashUser } = this.#parts;
    const identity = await identities.findById(identityId);
    const user = identity?.status === "DELETING" ? identity.user : null;
    const userHash = user ? hashUser(user) : await identities.findUserHash(identityId);
    if (userHash === null) return true;
    // A user who is gone may have come back: what names them elsewhere is of their new identity.
    while (user !== null && !(await trail.eraseActor(user, identityId))) if (!(await this.#next(goOn))) return false;
    let position: TrailPosition | undefined;
    for (;;) {
      position = await trail.eraseAbout(identityId, (actor) => hashUser(actor) === userHash, position);
      if (position === undefined) return true;
      if (!(await this.#next(goOn))) return false;
    }
  }

  async #next(goOn: GoOn): Promise<boolean> {
    await setImmediate();
    return !this.#stopped.signal.aborted && (await goOn());
  }

  async #doNext(): Promise<boolean> {
    const { identities, erasures, now, repeatMs, hashUser } = this.#parts;
    const due = await erasures.takeDue(now(), now() + RETRY_MS);
    if (due === undefined) return false;
    const { identityId, isLast } = due;
    const hold = () => erasures.hold(identityId, now() + RETRY_MS).then(() => true);
    if (!(await this.erase(identityId, hold))) return true;
    if (isLast) await erasures.end(identityId);
    else {
      // The service knows nothing of one that had too many records to be erased at once.
      const identity = await identities.findById(identityId);
      if (identity?.status === "DELETING") await identities.erase(identityId, hashUser);
      await erasures.repeat(identityId, now() + repeatMs);
    }
    return true;
  }
}
