import { waitAtMost } from "../in-time.js";

const PAUSE_MS = 1000;

/** What is to be told to the trail again, after a pause, as it was away; and at once when the process is to end. */
export class Owed {
  readonly #tells = new Map<NodeJS.Timeout, () => Promise<void>>();
  #isClosed = false;

  /** `tell` never rejects. */
  later(tell: () => Promise<void>): void {
    if (this.#isClosed) return;
    const timer = setTimeout(() => {
      this.#tells.delete(timer);
      void tell();
    }, PAUSE_MS).unref();
    this.#tells.set(timer, tell);
  }

  /** Tells all, and waits so long for it. Nothing is told later. */
  async close(milliseconds: number): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#tells.keys()) clearTimeout(timer);
    await waitAtMost(Promise.all([...this.#tells.values()].map((tell) => tell())), milliseconds);
    this.#tells.clear();
  }
}
