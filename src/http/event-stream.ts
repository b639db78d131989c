/** Server-sent events, as GraphQL clients read them (graphql-sse protocol, distinct connections mode). */
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { GraphqlResult } from "../graphql/server.js";

/** A body that is written as it comes. */
export type EventStream = AsyncGenerator<GraphqlResult>;

export const EVENT_STREAM = "text/event-stream";

/** A proxy that gathers an answer before it passes it on (nginx) is asked not to. */
export const STREAM_HEADERS: OutgoingHttpHeaders = { "x-accel-buffering": "no" };

/** A comment (HTML standard §9.2.5), shorter than what proxies take for silence. */
const PING_MS = 15_000;
const PING = ":\n\n";

/** Writes until either end has enough. A client that takes nothing for `clientTimeoutMs` is cut off. */
export async function writeEvents(
  response: ServerResponse,
  results: EventStream,
  clientTimeoutMs: number,
): Promise<void> {
  // Its client left before there was anything to write, and nothing more is heard of that.
  if (response.destroyed) {
    await results.return(undefined);
    return;
  }
  const ping = setInterval(() => response.write(PING), PING_MS).unref();
  response.once("close", () => void results.return(undefined));
  try {
    // Whoever waits for the answer to begin does not wait for the first event.
    response.write(PING);
    for await (const result of results) {
      if (!(await taken(response, `event: next\ndata: ${JSON.stringify(result)}\n\n`, clientTimeoutMs))) break;
    }
    response.end("event: complete\ndata: \n\n");
  } finally {
    clearInterval(ping);
  }
}

/** Whether the client has taken what waits for it, so that no more is made than it takes. */
async function taken(response: ServerResponse, text: string, clientTimeoutMs: number): Promise<boolean> {
  if (response.destroyed) return false;
  if (response.write(text)) return true;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const cut = setTimeout(() => response.destroy(), clientTimeoutMs);
  const drained = () => resolve(true);
  const closed = () => resolve(false);
  response.once("drain", drained);
  response.once("close", closed);
  const isTaken = await promise;
  clearTimeout(cut);
  response.off("drain", drained);
  response.off("close", closed);
  return isTaken;
}
