import { setTimeout } from "node:timers/promises";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createWsClient } from "graphql-ws";
import { WebSocket } from "ws";
import type { AuditRecord } from "../../src/audit/record.js";
import { now } from "./journal.js";
import { isCalm } from "./rules.js";
import type { Parts, Users } from "./users.js";

const QUERY = "subscription ($after: String) { auditEventAdded(after: $after) { cursor node { at hash } } }";
const FIELD = "auditEventAdded";

interface Edge {
  readonly cursor: string;
  readonly node: { readonly at: string; readonly hash: string };
}
interface Result {
  readonly data?: { readonly auditEventAdded?: Edge } | null;
  readonly errors?: readonly { readonly extensions?: { readonly code?: string } }[];
}
type Results = AsyncIterable<unknown>;

/** What may end a stream: an expired credential, a stop, a database that is away. */
const ENDINGS = new Set(["UNAUTHENTICATED", "UPSTREAM_UNAVAILABLE", "STORE_UNAVAILABLE"]);
const PAUSE_MS = 500;
const CATCH_UP_MS = 60_000;
const LOOK_EVERY_MS = 200;

/** Follows the whole trail from the first event on, over either protocol, from the last cursor again whatever ends a stream. */
export class Follower {
  /** Hashes of the records, in the order in which they came. */
  readonly seen: string[] = [];
  /** The longest that an event took in calm times, in ms. */
  slowest = 0;
  streams = 0;
  #after: string | undefined;
  #isOver = false;
  #end: () => void = () => {};
  #following: Promise<void> | undefined;

  constructor(
    readonly name: string,
    private readonly over: "server-sent events" | "a WebSocket",
    private readonly parts: Parts,
    private readonly users: Users,
  ) {}

  start(): void {
    this.#following = this.#follow();
  }

  /** Waits until it has seen as many records as there are, and ends. */
  async finish(records: number): Promise<void> {
    const last = now() + CATCH_UP_MS;
    while (this.seen.length < records && now() < last) await setTimeout(LOOK_EVERY_MS);
    this.#isOver = true;
    this.#end();
    await this.#following;
  }

  /** Holds what it has seen against the trail: each record once, those of a chain in its order. */
  check(chains: readonly (readonly AuditRecord[])[]): void {
    const { journal } = this.parts;
    const times = new Map<string, number>();
    this.seen.forEach((hash, index) => {
      if (times.has(hash)) journal.wrong(`${this.name} was told of an event twice`);
      times.set(hash, index);
    });
    for (const records of chains) {
      const missed = records.filter(({ hash }) => !times.has(hash));
      const [first] = missed;
      if (first) {
        const { writer, sequence, at } = first;
        journal.wrong(
          `${this.name} missed ${missed.length} of ${records.length} events of ${writer}, first ${sequence} of ${journal.since(at)}`,
        );
      }
      const order = records.map(({ hash }) => times.get(hash)).filter((index) => index !== undefined);
      if (order.some((index, place) => index < (order[place - 1] ?? 0))) {
        journal.wrong(`${this.name} was told of a chain out of order`);
      }
    }
  }

  async #follow(): Promise<void> {
    while (!this.#isOver) {
      const instance = this.parts.balancer.next();
      const start = now();
      try {
        this.streams += 1;
        const { authorization = "" } = await this.users.headers("auditor");
        await this.#take(
          this.over === "a WebSocket"
            ? this.#overSocket(instance, authorization)
            : this.#overEvents(instance, authorization),
        );
      } catch (error) {
        this.#judgeEnd(start, error);
      }
      if (!this.#isOver) await setTimeout(PAUSE_MS);
    }
  }

  async #take(results: Results): Promise<void> {
    for await (const result of results) {
      const { data, errors } = result as Result;
      const edge = data?.[FIELD];
      if (edge === undefined) {
        const code = errors?.[0]?.extensions?.code ?? "no code";
        this.parts.journal.count(`streams ended with ${code}`);
        if (!ENDINGS.has(code)) this.parts.journal.wrong(`${this.name}: a stream ended with ${code}`);
        return;
      }
      this.#after = edge.cursor;
      this.seen.push(edge.node.hash);
      this.#noteAge(Date.parse(edge.node.at));
    }
  }

  #noteAge(recorded: number): void {
    const at = now();
    if (isCalm(this.parts.journal, recorded, at)) this.slowest = Math.max(this.slowest, at - recorded);
  }

  /** A stream that could not be had, or broke. */
  #judgeEnd(start: number, error: unknown): void {
    if (this.#isOver) return;
    const { journal } = this.parts;
    journal.count("streams cut or refused");
    // One that closed a WebSocket with a reason has said so: 4403 an expired credential, 1001 a stop.
    const { code, reason } = error as { code?: number; reason?: string };
    if (code === 4403 || code === 1001) return;
    const since = Math.max(start, now() - PAUSE_MS);
    if (isCalm(journal, since, now()))
      journal.wrong(`${this.name}: a stream was cut: ${code ?? ""} ${reason ?? String(error)}`);
  }

  #overEvents(instance: number, authorization: string): Results {
    const client = createSseClient({
      url: this.parts.stage.url(instance),
      retryAttempts: 0,
      headers: { authorization },
    });
    const results = client.iterate({ query: QUERY, variables: { after: this.#after } });
    this.#end = () => client.dispose();
    return results;
  }

  #overSocket(instance: number, authorization: string): Results {
    const client = createWsClient({
      url: this.parts.stage.url(instance).replace("http", "ws"),
      retryAttempts: 0,
      lazy: true,
      webSocketImpl: WebSocket,
      connectionParams: { authorization },
    });
    const results = client.iterate({ query: QUERY, variables: { after: this.#after } });
    this.#end = () => void client.dispose();
    return results;
  }
}
