/**
 * Checkpoints: at intervals, and as the gateway stops, the end that each chain has reached is signed and written to a second
 * place, out of reach of whoever could change the database. A chain that was cut off, or made anew as a whole, no longer has
 * what was signed.
 */
import type { KeyObject } from "node:crypto";
import type { ChainEnd } from "./chain.js";
import { signEnd } from "./signed-end.js";

/** Resolves once the line is where it is to be kept. */
export type CheckpointSink = (line: string) => Promise<void>;

interface CheckpointsParts {
  readonly key: KeyObject;
  readonly sink: CheckpointSink;
  /** Undefined when it was written. */
  readonly observe: (error: unknown) => void;
}

export class Checkpoints {
  readonly #parts: CheckpointsParts;
  /** By writer: reached, and not signed yet. */
  readonly #reached = new Map<string, ChainEnd>();
  #writing = Promise.resolve();

  constructor(parts: CheckpointsParts) {
    this.#parts = parts;
  }

  /** So much is durable; the next `flush` signs it. */
  reached(end: ChainEnd): void {
    this.#reached.set(end.writer, end);
  }

  /** Signs what was reached since the last time, once what is being written is. Never rejects. */
  async flush(): Promise<void> {
    await this.#writing;
    const ends = [...this.#reached.values()];
    this.#reached.clear();
    for (const end of ends) void this.checkpoint(end);
    await this.#writing;
  }

  /** Signs this end, and resolves once it is written or has failed, which is observed; one after the other. Never rejects. */
  async checkpoint(end: ChainEnd): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(end));
    await this.#writing;
  }

  async #write(end: ChainEnd): Promise<void> {
    const { key, sink, observe } = this.#parts;
    try {
      await sink(signEnd("checkpoint", end, key));
      observe(undefined);
    } catch (error) {
      // The next one stands for everything before it, too; a newer end must not give way to this one.
      if (!this.#reached.has(end.writer)) this.#reached.set(end.writer, end);
      observe(error);
    }
  }
}
