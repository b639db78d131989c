/**
 * Clients that send what is no request, or send too slowly. There is no request to answer then, so the answer is written
 * to the connection itself, which is closed.
 */
import { randomUUID } from "node:crypto";
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { type FixedHeaders, json, type WholeAnswer } from "./answer.js";
import { MAX_HEAD_BYTES } from "./request-shape.js";

interface Connection {
  /** Requests that have no whole answer yet. */
  unanswered: number;
  /** The last one that began to arrive, unless all of it had arrived when it was answered. */
  last: { readonly request: IncomingMessage; readonly response: ServerResponse } | undefined;
}

const REFUSALS: Readonly<Record<string, readonly [status: number, error: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, "The request took too long to arrive."],
  HPE_HEADER_OVERFLOW: [431, `The headers must have at most ${MAX_HEAD_BYTES} bytes.`],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "The chunk extensions are too long."],
};
const MALFORMED = [400, "This is not a well-formed HTTP/1.1 request."] as const;

export class ClientErrors {
  readonly #fixed: FixedHeaders;
  readonly #onRefused: (status: number) => void;
  readonly #connections = new WeakMap<Duplex, Connection>();

  constructor(fixed: FixedHeaders, onRefused: (status: number) => void) {
    this.#fixed = fixed;
    this.#onRefused = onRefused;
  }

  /** Remembers what a connection is owed until it has it. How many answers that are, with this one. */
  begin(request: IncomingMessage, response: ServerResponse): number {
    const connection = this.#connections.get(request.socket) ?? { unanswered: 0, last: undefined };
    connection.unanswered += 1;
    connection.last = { request, response };
    this.#connections.set(request.socket, connection);
    return connection.unanswered;
  }

  /** The connection has one of its answers, or will never. */
  end(socket: Duplex): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    connection.unanswered -= 1;
    // An idle connection would keep all that its last request took.
    if (connection.unanswered === 0 && connection.last?.request.complete) connection.last = undefined;
  }

  /** Answers that are not whole yet. */
  owedTo(socket: Duplex): number {
    return this.#connections.get(socket)?.unanswered ?? 0;
  }

  /** For the `clientError` event. */
  refuse(error: NodeJS.ErrnoException, socket: Duplex & { readonly bytesRead?: number }): void {
    const [status, message] = REFUSALS[error.code ?? ""] ?? MALFORMED;
    // Whoever has said nothing has asked nothing, such as a browser or proxy that connects ahead.
    const isSilent = socket.bytesRead === 0;
    if (isSilent || error.code === "ECONNRESET" || !this.#canAnswer(socket)) socket.destroy();
    else this.answer(socket, json(status, { error: message }));
  }

  /** Writes an answer to the connection and closes it. */
  answer(socket: Duplex, { status, headers, body }: WholeAnswer): void {
    this.#onRefused(status);
    const lines = Object.entries({
      ...this.#fixed,
      ...headers,
      "content-length": Buffer.byteLength(body),
      "cache-control": "no-store",
      "x-request-id": randomUUID(),
      connection: "close",
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join("")}\r\n${body}`, () => socket.destroy());
  }

  /** Not into an answer, nor after the request's own, nor as the answer to an earlier request. */
  #canAnswer(socket: Duplex): boolean {
    if (!socket.writable) return false;
    const { unanswered = 0, last } = this.#connections.get(socket) ?? {};
    if (last === undefined) return true;
    const { request, response } = last;
    return request.complete ? unanswered === 0 : unanswered === 1 && !response.headersSent;
  }
}
