import { GatewayError } from "../errors.js";

/**
 * Work that concurrent callers of one key share, in this process: the first starts it, all get its result or its error, and
 * nothing is remembered once it is over, with what comes after it.
 *
 * The work belongs to nobody: it must not stop at one caller's deadline, and has to end by a time-out of its own. A caller
 * who cannot wait leaves (`waitFor` in identities/waiting.ts) without a trace on the others.
 */
export class SingleFlight<Result> {
  readonly #shared = new Map<string, Promise<Result>>();
  #underWay = 0;
  readonly #most: number;

  /** Most that is under way at a time; what is more is refused as UPSTREAM_UNAVAILABLE. */
  constructor(most: number) {
    this.#most = most;
  }

  /** `after` is waited for by nobody, but who comes while it lasts is given the result. */
  async run(key: string, work: () => Promise<Result>, after: (result: Result) => Promise<void>): Promise<Result> {
    const running = this.#shared.get(key);
    if (running !== undefined) return await running;
    const started = this.alone(work);
    const forget = () => this.#shared.delete(key);
    this.#shared.set(key, started);
    void started.then(after).then(forget, forget);
    return await started;
  }

  /** What nobody shares, which takes as much room. */
  async alone(work: () => Promise<Result>): Promise<Result> {
    if (this.#underWay >= this.#most) {
      throw new GatewayError("UPSTREAM_UNAVAILABLE", "Too many tokens are being minted at once; try again shortly.");
    }
    this.#underWay += 1;
    try {
      return await work();
    } finally {
      this.#underWay -= 1;
    }
  }
}
