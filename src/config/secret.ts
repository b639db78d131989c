import { inspect } from "node:util";

/** A value that does not print itself: not in a template string, JSON, a log line or the inspector. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself. Call it only where it is handed to whoever needs it, never to keep it. */
  reveal(): string {
    return this.#value;
  }

  /** Of one in base64, what it stands for; as above. */
  bytes(): Buffer {
    return Buffer.from(this.#value, "base64");
  }

  toString(): string {
    return "[hidden]";
  }

  toJSON(): string {
    return "[hidden]";
  }

  [inspect.custom](): string {
    return "[hidden]";
  }
}
