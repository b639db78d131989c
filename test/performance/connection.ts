import { connect, type Socket } from "node:net";

/** A client's kept-alive connection that makes nothing but the request: no timers, signals or cryptography of its own. */
export class Connection {
  readonly #socket: Socket;
  #received = "";
  #answered: ((text: string) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => this.#take(chunk));
  }

  static async open(url: string): Promise<Connection> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new Connection(socket);
  }

  /** The body of the answer. One request at a time. */
  post(token: string, body: unknown): Promise<string> {
    const text = JSON.stringify(body);
    const head = [
      "POST /graphql HTTP/1.1",
      "host: gateway.test",
      `authorization: Bearer ${token}`,
      "content-type: application/json",
      `content-length: ${Buffer.byteLength(text)}`,
    ];
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#answered = resolve;
    this.#socket.write(`${head.join("\r\n")}\r\n\r\n${text}`);
    return promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: string): void {
    this.#received += chunk;
    const headEnd = this.#received.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const length = Number(/^content-length: (\d+)\r$/im.exec(this.#received.slice(0, headEnd + 1))?.[1]);
    const body = this.#received.slice(headEnd + 4);
    // Answers here are ASCII, so a character is a byte.
    if (body.length < length) return;
    this.#received = "";
    this.#answered?.(body);
  }
}
