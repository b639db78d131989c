import type { IncomingHttpHeaders } from "node:http";
import type { Outcome } from "./answer.js";
import { OPERATION_NAMES, type OperationName } from "./operations.js";

/** How often each operation was called, and how the calls ended: by status, `hang` or `drop`. */
export interface CallCounts {
  readonly calls: Readonly<Record<OperationName, number>>;
  /** Of the calls of `createIdentity`, those let in that asked for a token too. */
  readonly createIdentityWithToken: number;
  readonly outcomes: Readonly<Record<OperationName, Readonly<Record<string, number>>>>;
  /** Those of the last calls that were part of a trace (W3C Trace Context §3.2), oldest first, at most 100. */
  readonly traceparents: readonly string[];
}

const MOST_TRACEPARENTS = 100;

type Outcomes = Record<string, number>;

/** Counts every call that names an operation, refused ones too. A call still under way has no outcome yet. */
export class Calls {
  #received = new Map<OperationName, number>();
  #outcomes = new Map<OperationName, Outcomes>();
  #createIdentityWithToken = 0;
  #traceparents: string[] = [];

  get counts(): CallCounts {
    return {
      calls: byOperation((name) => this.#received.get(name) ?? 0),
      createIdentityWithToken: this.#createIdentityWithToken,
      outcomes: byOperation((name) => this.#outcomes.get(name) ?? {}),
      traceparents: this.#traceparents,
    };
  }

  received(operation: OperationName, { traceparent }: IncomingHttpHeaders): void {
    this.#received.set(operation, (this.#received.get(operation) ?? 0) + 1);
    if (typeof traceparent === "string")
      this.#traceparents = [...this.#traceparents, traceparent].slice(-MOST_TRACEPARENTS);
  }

  askedForToken(): void {
    this.#createIdentityWithToken += 1;
  }

  ended(operation: OperationName, outcome: Outcome): void {
    const key = typeof outcome === "string" ? outcome : String(outcome.status);
    const outcomes = this.#outcomes.get(operation) ?? {};
    this.#outcomes.set(operation, { ...outcomes, [key]: (outcomes[key] ?? 0) + 1 });
  }

  reset(): void {
    this.#received.clear();
    this.#outcomes.clear();
    this.#createIdentityWithToken = 0;
    this.#traceparents = [];
  }
}

function byOperation<T>(value: (name: OperationName) => T): Record<OperationName, T> {
  return Object.fromEntries(OPERATION_NAMES.map((name) => [name, value(name)])) as Record<OperationName, T>;
}
