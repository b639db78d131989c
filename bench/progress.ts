import { figure } from "./figures.js";

const EVERY_MS = 5000;

interface Filling {
  readonly what: string;
  readonly total: number;
  readonly say: (line: string) => void;
}

/** Says now and then how far it is. */
export class Progress {
  #said = performance.now();

  constructor(
    private readonly filling: Filling,
    private last: number,
  ) {}

  at(done: number): void {
    const elapsed = performance.now() - this.#said;
    if (elapsed < EVERY_MS) return;
    const { what, total, say } = this.filling;
    const pace = ((done - this.last) / elapsed) * 1000;
    this.#said += elapsed;
    this.last = done;
    say(`filled in ${figure(done)} of ${figure(total)} ${what}, ${figure(pace)}/s`);
  }
}
