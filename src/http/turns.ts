/** Some milliseconds of work. */
const MOST_IN_A_TURN = 32;

/**
 * Lets requests begin in the order in which they come, so many in a turn of the event loop. Were thousands that come together
 * begun together, all of them would be half done for long, and what they hold would be copied by the garbage collector again and
 * again. One that waits holds little, and one that has begun is soon done.
 */
export class Turns {
  #begun = 0;
  #isUnderWay = false;
  readonly #waiting: (() => void)[] = [];

  /** Undefined where a request, one of so many under way, may begin at once; else what resolves when it may. */
  take(underWay: number): Promise<void> | undefined {
    if (underWay <= MOST_IN_A_TURN && !this.#isUnderWay) return undefined;
    if (this.#begun >= MOST_IN_A_TURN) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#begun += 1;
    if (!this.#isUnderWay) {
      this.#isUnderWay = true;
      setImmediate(() => this.#next());
    }
    return undefined;
  }

  #next(): void {
    const next = this.#waiting.splice(0, MOST_IN_A_TURN);
    this.#begun = next.length;
    this.#isUnderWay = next.length > 0;
    for (const begin of next) begin();
    if (this.#isUnderWay) setImmediate(() => this.#next());
  }
}
