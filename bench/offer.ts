/**
 * Load that comes by the clock: a request is sent when it is due, whether or not those before it are answered, on a connection
 * that is free or on a new one. A latency is from when the request was due to the end of its answer, so a server that falls
 * behind does not hide it by being asked less. Of a request that is due when every connection waits for an answer nothing is
 * sent. Answers of any kind are taken, and counted by what they are.
 */
import { setTimeout } from "node:timers/promises";
import { type Answer, Connection, requestBytes } from "./connection.js";
import { whyNotIssued } from "./issuing.js";
import type { LoadRequest } from "./load.js";
import { watchProcessor } from "./machine.js";

interface OfferOptions {
  /** Of the endpoint. */
  readonly url: string;
  /** Infinite: each connection sends its next request at once, which is a closed loop. */
  readonly perSecond: number;
  readonly seconds: number;
  readonly mostConnections: number;
  /** Sent in turn. */
  readonly requests: readonly LoadRequest[];
}

export interface Offered {
  /** What became due. */
  readonly due: number;
  /** Answered with a token while the offer lasted. */
  readonly good: number;
  /** Refused for the time being: 503 or 429. */
  readonly shed: number;
  /** Answered otherwise, or not at all. */
  readonly failed: number;
  readonly unsent: number;
  readonly seconds: number;
  /** Of all that were answered with a token, ms. */
  readonly latencies: readonly number[];
  /** Share of a core that this process took while the offer lasted. */
  readonly busy: number;
}

const TICK_MS = 1;
/** How long what is under way at the end is waited for. */
const LAST_ANSWERS_MS = 10_000;

export async function offer(options: OfferOptions): Promise<Offered> {
  const offering = new Offering(options);
  try {
    await offering.run();
    return offering.result();
  } finally {
    offering.close();
  }
}

interface Lane {
  readonly connection: Connection;
  /** When the request under way was due; undefined when none is. */
  due: number | undefined;
}

class Offering {
  readonly #url: URL;
  readonly #requests: readonly Buffer[];
  readonly #lanes = new Set<Lane>();
  readonly #free: Lane[] = [];
  readonly #counts = { due: 0, good: 0, shed: 0, failed: 0, unsent: 0 };
  readonly #latencies: number[] = [];
  #sent = 0;
  #begin = 0;
  #end = 0;
  #busy = Number.NaN;

  constructor(private readonly options: OfferOptions) {
    this.#url = new URL(options.url);
    this.#requests = options.requests.map(({ headers, body }) => requestBytes(this.#url, headers, body));
  }

  async run(): Promise<void> {
    const busy = watchProcessor();
    this.#begin = performance.now();
    this.#end = this.#begin + this.options.seconds * 1000;
    while (performance.now() < this.#end) {
      this.#sendDue();
      await setTimeout(TICK_MS);
    }
    this.#busy = busy();
    const last = this.#end + LAST_ANSWERS_MS;
    while (this.#underWay() > 0 && performance.now() < last) await setTimeout(TICK_MS);
  }

  result(): Offered {
    const failed = this.#counts.failed + this.#underWay();
    return { ...this.#counts, failed, seconds: this.options.seconds, latencies: this.#latencies, busy: this.#busy };
  }

  close(): void {
    for (const { connection } of this.#lanes) connection.close();
    this.#lanes.clear();
  }

  #underWay(): number {
    return this.#lanes.size - this.#free.length;
  }

  #sendDue(): void {
    const { perSecond, mostConnections } = this.options;
    if (perSecond === Number.POSITIVE_INFINITY) {
      const room = mostConnections - this.#underWay();
      for (let sent = 0; sent < room; sent++) this.#send(performance.now());
      return;
    }
    for (;;) {
      const due = this.#begin + (this.#counts.due / perSecond) * 1000;
      if (due > Math.min(performance.now(), this.#end)) return;
      this.#send(due);
    }
  }

  #send(due: number): void {
    this.#counts.due += 1;
    const lane = this.#free.pop() ?? this.#newLane();
    const request = this.#requests[this.#sent % this.#requests.length];
    if (lane === undefined || request === undefined) {
      this.#counts.unsent += 1;
      return;
    }
    this.#sent += 1;
    lane.due = due;
    lane.connection.send(request);
  }

  #newLane(): Lane | undefined {
    if (this.#lanes.size >= this.options.mostConnections) return undefined;
    const connection = new Connection(this.#url, {
      onAnswer: (answer) => this.#answered(lane, answer),
      onEnd: () => this.#ended(lane),
    });
    const lane: Lane = { connection, due: undefined };
    this.#lanes.add(lane);
    return lane;
  }

  #answered(lane: Lane, answer: Answer): void {
    const { due } = lane;
    if (due === undefined) return;
    const now = performance.now();
    const kind = kindOf(answer);
    if (kind === "good") this.#latencies.push(now - due);
    if (kind !== "good" || now < this.#end) this.#counts[kind] += 1;
    lane.due = undefined;
    this.#free.push(lane);
    if (this.options.perSecond === Number.POSITIVE_INFINITY && now < this.#end) this.#send(now);
  }

  /** A server may end a connection that is free; one that waits for an answer has failed. */
  #ended(lane: Lane): void {
    if (!this.#lanes.delete(lane)) return;
    if (lane.due !== undefined) this.#counts.failed += 1;
    else this.#free.splice(this.#free.indexOf(lane), 1);
    lane.connection.close();
  }
}

function kindOf(answer: Answer): "good" | "shed" | "failed" {
  if (whyNotIssued(answer) === undefined) return "good";
  return answer.status === 503 || answer.status === 429 ? "shed" : "failed";
}
