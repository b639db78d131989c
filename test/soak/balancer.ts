import { Agent, type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { type Exchange, parseBody } from "./exchange.js";
import { now } from "./journal.js";

export interface Sent {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly signal?: AbortSignal;
}

/** The gateway's own time, what a mutation waits for the service, and a busy machine. */
const PATIENCE_MS = 40_000;
/** Idle connections are ended here long before the gateway ends them (`server.keepAliveSeconds`), so that no request meets that. */
const KEPT_MS = 15_000;

/** Stands before the instances, as a load balancer does: where nothing listens, the next one is asked. */
export class Balancer {
  readonly #agent = new Agent({ keepAlive: true, timeout: KEPT_MS });
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

  async send(sent: Sent): Promise<Exchange> {
    const first = this.next();
    let exchange = await this.sendTo(first, sent);
    for (let step = 1; step < this.size && exchange.outcome === "refused"; step++) {
      exchange = await this.sendTo((first + step) % this.size, sent);
    }
    return exchange;
  }

  async sendTo(instance: number, sent: Sent): Promise<Exchange> {
    const start = now();
    const patience = AbortSignal.timeout(this.patienceMs);
    try {
      const response = await this.#post(this.urlOf(instance), sent, patience);
      const said = await text(response);
      const { statusCode: status = 0, headers } = response;
      return { outcome: "answered", instance, start, end: now(), status, headers, text: said, body: parseBody(said) };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const outcome = sent.signal?.aborted
        ? "aborted"
        : patience.aborted
          ? "unanswered"
          : code === "ECONNREFUSED"
            ? "refused"
            : "cut";
      return { outcome, instance, start, end: now(), why: `${code ?? message}` };
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #post(url: string, { headers, body, signal }: Sent, patience: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const sending = request(url, {
      method: "POST",
      agent: this.#agent,
      headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body), ...headers },
      signal: signal ? AbortSignal.any([patience, signal]) : patience,
    });
    sending.once("response", resolve);
    sending.on("error", reject);
    sending.end(body);
    return promise;
  }
}
