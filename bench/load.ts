/**
 * Load in a closed loop: each connection sends its next request when it has the answer to its last, so a latency is from the
 * sending of a request to the end of its answer. Every answer is looked at, and one that is not as expected ends the run.
 */
import { type Answer, Connection, requestBytes } from "./connection.js";
import { watchProcessor } from "./machine.js";

export interface LoadRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface LoadOptions {
  /** Of the endpoint. */
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
  /** Ends the load before its time. */
  readonly mostAnswers?: number;
  /** Sent in turn. */
  readonly requests: readonly LoadRequest[];
  /** What is wrong with an answer; undefined when nothing is. */
  readonly check: (answer: Answer) => string | undefined;
}

export interface Load {
  readonly requests: number;
  readonly seconds: number;
  /** ms */
  readonly latencies: readonly number[];
  /** Share of a core that this process took: near 1 it is the generator that is measured. */
  readonly busy: number;
}

export async function load({ check, mostAnswers = Number.POSITIVE_INFINITY, ...options }: LoadOptions): Promise<Load> {
  const url = new URL(options.url);
  const requests = options.requests.map(({ headers, body }) => requestBytes(url, headers, body));
  const latencies: number[] = [];
  const busy = watchProcessor();
  const begin = performance.now();
  const end = begin + options.seconds * 1000;
  let sent = 0;

  const connections = new Set<Connection>();
  const run = () =>
    new Promise<void>((resolve, reject) => {
      let start = 0;
      const connection = new Connection(url, {
        onAnswer: (answer) => {
          const now = performance.now();
          latencies.push(now - start);
          const fault = check(answer);
          if (fault !== undefined) return reject(new Error(`${fault}: ${answer.status} ${answer.body}`));
          if (now >= end || sent >= mostAnswers) return resolve();
          next();
        },
        onEnd: reject,
      });
      connections.add(connection);
      const next = () => {
        const request = requests[sent++ % requests.length];
        if (request === undefined) return reject(new Error("there is nothing to send"));
        start = performance.now();
        connection.send(request);
      };
      next();
    });
  try {
    await Promise.all(Array.from({ length: options.connections }, run));
  } finally {
    for (const connection of connections) connection.close();
  }
  return { requests: latencies.length, seconds: (performance.now() - begin) / 1000, latencies, busy: busy() };
}
