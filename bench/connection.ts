/**
 * One connection of the load generator, over a bare socket: a request is written as bytes made beforehand, and of an answer
 * only its end is looked for. Whatever the generator saves it has for more requests, and its core must not be what is measured.
 */
import { connect, type Socket } from "node:net";

const READ_BYTES = 16 * 1024;

export interface Answer {
  readonly status: number;
  /** Bytes as characters: for ASCII it is the text. */
  readonly body: string;
}

interface Listener {
  onAnswer(answer: Answer): void;
  /** The connection is gone, without the answer if one was waited for. */
  onEnd(error: Error): void;
}

export class Connection {
  readonly #socket: Socket;
  #received = "";

  constructor(url: URL, listener: Listener) {
    // One for all that is read, in place of one for each read.
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const onread = {
      buffer,
      callback: (count: number) => {
        this.#received += buffer.toString("latin1", 0, count);
        this.#read(listener);
        return true;
      },
    };
    this.#socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true, onread });
    this.#socket.on("error", (error) => listener.onEnd(error));
    this.#socket.on("end", () => listener.onEnd(new Error("the server ended the connection")));
  }

  #read(listener: Listener): void {
    try {
      const answer = parseAnswer(this.#received);
      if (answer === undefined) return;
      this.#received = "";
      listener.onAnswer(answer);
    } catch (error) {
      listener.onEnd(error as Error);
    }
  }

  send(request: Buffer): void {
    this.#socket.write(request);
  }

  close(): void {
    this.#socket.removeAllListeners("end");
    this.#socket.destroy();
  }
}

/** RFC 9112 §6.3, as far as servers make use of it here; undefined until the answer is whole. Throws when its end cannot be told. */
export function parseAnswer(received: string): Answer | undefined {
  const end = received.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = received.slice(0, end);
  const status = Number(head.slice(9, 12));
  const [, length] = /\r\ncontent-length: (\d+)/i.exec(head) ?? [];
  if (length !== undefined) {
    const body = received.slice(end + 4);
    return body.length < Number(length) ? undefined : { status, body };
  }
  if (!/\r\ntransfer-encoding: chunked/i.test(head)) throw new Error(`an answer without a length: ${head}`);
  return received.endsWith("\r\n0\r\n\r\n") ? { status, body: joinChunks(received.slice(end + 4)) } : undefined;
}

function joinChunks(chunked: string): string {
  let body = "";
  for (let at = 0; ; ) {
    const lineEnd = chunked.indexOf("\r\n", at);
    const size = Number.parseInt(chunked.slice(at, lineEnd), 16);
    if (!(size > 0)) return body;
    body += chunked.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 4 + size;
  }
}

/** As it goes over the wire. */
export function requestBytes(url: URL, headers: Readonly<Record<string, string>>, body: string): Buffer {
  const lines = Object.entries({ host: url.host, ...headers, "content-length": String(Buffer.byteLength(body)) });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return Buffer.from(`POST ${url.pathname} HTTP/1.1\r\n${head}\r\n${body}`);
}
