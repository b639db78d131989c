import { GatewayError } from "../errors.js";

/**
 * Work that concurrent callers of one key share, in this process: the first starts it, all get its result or its error, and
 * nothing is remembered once it is over.
 *
 * The work belongs to nobody: it must not stop at one caller's deadline, and has to end by a time-out of its own. A caller
 * who cannot wait leaves (`waitFor` in identities/deadline.ts) without a trace on the others.
 */
export class SingleFlight<Result> {
  readonly #underWay = new Map<string, Promise<Result>>();
  readonly #most: number;

  /** `most` keys at a time; a further one is refused as UPSTREAM_UNAVAILABLE. */
  constructor(most: number) {
    this.#most = most;
  }

  async run(key: string, work: () => Promise<Result>): Promise<Result> {
    const running = this.#underWay.get(key);
    if (running !== undefined) return await running;
    if (this.#underWay.size >= this.#most) {
      const message = "Too many tokens are being minted at once; try again shortly.";
      throw new GatewayError("UPSTREAM_UNAVAILABLE", message);
    }
    const started = work().finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, started);
    return await started;
  }
}
