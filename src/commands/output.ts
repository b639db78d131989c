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
export class Progress {
  #next: number;

  constructor(private readonly output: Output) {
    this.#next = output.now() + PROGRESS_MS;
  }

  at(records: number): void {
    const now = this.output.now();
    if (now < this.#next) return;
    this.#next = now + PROGRESS_MS;
    this.output.report(`${records} records`);
  }

  end(records: number): void {
    this.output.report(`${records} records, done`);
  }
}
