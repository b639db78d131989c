/**
 * Load in a closed loop: each connection sends its next request when it has the answer to its last, so a latency is from the
 * sending of a request to the end of its answer. Every answer is looked at, and one that is not as expected ends the run.
 */
import { Client } from "undici";

export interface LoadRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface LoadOptions {
  /** Of the endpoint. */
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
  /** Sent in turn. */
  readonly requests: readonly LoadRequest[];
  /** What is wrong with an answer; undefined when nothing is. */
  check(status: number, body: string): string | undefined;
}

export interface Load {
  readonly requests: number;
  readonly seconds: number;
  /** ms */
  readonly latencies: readonly number[];
}

export async function load(options: LoadOptions): Promise<Load> {
  const { origin, pathname } = new URL(options.url);
  const latencies: number[] = [];
  const begin = performance.now();
  const end = begin + options.seconds * 1000;
  let sent = 0;
  const connection = async () => {
    const client = new Client(origin, { pipelining: 1 });
    try {
      do {
        const request = options.requests[sent++ % options.requests.length];
        if (request === undefined) throw new Error("there is nothing to send");
        const start = performance.now();
        const { status, body } = await post(client, pathname, request);
        latencies.push(performance.now() - start);
        const fault = options.check(status, body);
        if (fault !== undefined) throw new Error(`${fault}: ${status} ${body}`);
      } while (performance.now() < end);
    } finally {
      await client.destroy();
    }
  };
  await Promise.all(Array.from({ length: options.connections }, connection));
  return { requests: latencies.length, seconds: (performance.now() - begin) / 1000, latencies };
}

/** By the client's own events, which cost a third less than its promises and streams do. */
function post(client: Client, path: string, request: LoadRequest): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status = 0;
    const { headers, body } = request;
    client.dispatch(
      { path, method: "POST", headers, body },
      {
        // Without it the client takes the handler for one of the older form.
        onRequestStart: () => {},
        onResponseStart: (_, code) => {
          status = code;
        },
        onResponseData: (_, chunk) => {
          chunks.push(chunk);
        },
        onResponseEnd: () => resolve({ status, body: Buffer.concat(chunks).toString() }),
        onResponseError: (_, error) => reject(error),
      },
    );
  });
}
