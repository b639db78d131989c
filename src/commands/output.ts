/** What a command says: its result, and what is under way. */

const PROGRESS_MS = 1000;

export interface Output {
  /** A line of the result; resolves when there is room for more. */
  print(line: string): Promise<void>;
  /** A line about what is under way. */
  report(line: string): void;
  readonly now: () => number;
}

/** Says how far it is, about once a second. */
export class Ticker {
  #next: number;

  constructor(private readonly output: Pick<Output, "report" | "now">) {
    this.#next = output.now() + PROGRESS_MS;
  }

  /** The text is asked for when it is time to say it. */
  tick(describe: () => string): void {
    const now = this.output.now();
    if (now < this.#next) return;
    this.#next = now + PROGRESS_MS;
    this.output.report(describe());
  }
}

export class Progress {
  readonly #ticker: Ticker;

  constructor(
    private readonly output: Pick<Output, "report" | "now">,
    private readonly what = "records",
  ) {
    this.#ticker = new Ticker(output);
  }

  at(count: number): void {
    this.#ticker.tick(() => `${count} ${this.what}`);
  }

  /** `from`: the database, lest it was another that was meant. */
  end(count: number, from?: string): void {
    this.output.report(`${count} ${this.what}${from === undefined ? "" : ` of the database ${from}`}, done`);
  }
}
