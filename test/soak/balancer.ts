import type { Exchange } from "./exchange.js";
import { parseBody } from "./exchange.js";
import { now } from "./journal.js";

export interface Sent {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly signal?: AbortSignal;
}

/** The gateway's own time, what a mutation waits for the service, and a busy machine. */
const PATIENCE_MS = 40_000;
/** Of connections on which nothing can have been sent. */
const NOT_SENT = new Set(["ECONNREFUSED", "UND_ERR_CONNECT_TIMEOUT"]);

/** Stands before the instances, as a load balancer does: where nothing listens, the next one is asked. */
export class Balancer {
  #turn = 0;

  /** `urlOf`: where an instance is. `patienceMs`: how long an answer may take. */
  constructor(
    private readonly urlOf: (instance: number) => string,
    private readonly size: number,
    private readonly patienceMs = PATIENCE_MS,
  ) {}

  /** Another one each time. */
  next(): number {
    this.#turn = (this.#turn + 1) % this.size;
    return this.#turn;
  }

  async send(sent: Sent, first = this.next()): Promise<Exchange> {
    let exchange = await this.sendTo(first, sent);
    for (let step = 1; step < this.size && exchange.outcome === "refused"; step++) {
      exchange = await this.sendTo((first + step) % this.size, sent);
    }
    return exchange;
  }

  async sendTo(instance: number, { headers, body, signal }: Sent): Promise<Exchange> {
    const start = now();
    const patience = AbortSignal.timeout(this.patienceMs);
    try {
      const response = await fetch(this.urlOf(instance), {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body,
        signal: signal ? AbortSignal.any([patience, signal]) : patience,
      });
      const text = await response.text();
      const { status, headers: answered } = response;
      return {
        outcome: "answered",
        instance,
        start,
        end: now(),
        status,
        headers: answered,
        text,
        body: parseBody(text),
      };
    } catch (error) {
      const why = codeOf(error);
      const outcome = signal?.aborted
        ? "aborted"
        : patience.aborted
          ? "unanswered"
          : NOT_SENT.has(why)
            ? "refused"
            : "cut";
      return { outcome, instance, start, end: now(), why };
    }
  }
}

/** Node's fetch tells what went wrong in its error's cause. */
function codeOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? String(error);
}
