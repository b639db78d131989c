import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** What stands between the app and the gateway, or in its place, may answer so. */
export interface ForeignAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Cuts the connection: before the answer, or in the middle of it. */
  readonly cuts?: "at once" | "within";
  /** Never answers, or begins and never ends. */
  readonly hangs?: "at once" | "within";
}

/** A server that is no gateway, and answers what a test says: each answer once, the last one from then on. */
export class ForeignServer {
  #answers: ForeignAnswer[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const answer = this.#answers.length > 1 ? this.#answers.shift() : this.#answers[0];
      const { status = 200, headers = {}, body = "", cuts, hangs } = answer ?? {};
      request.resume();
      if (hangs === "at once") return;
      if (cuts === "at once") return request.socket.destroy();
      response.writeHead(status, headers);
      if (hangs === undefined && cuts === undefined) return response.end(body);
      response.write("{");
      if (cuts === "within") setImmediate(() => request.socket.destroy());
    });
  }

  static async start(): Promise<ForeignServer> {
    const foreign = new ForeignServer();
    await new Promise<void>((resolve) => foreign.#server.listen(0, "127.0.0.1", resolve));
    return foreign;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/graphql`;
  }

  answerWith(...answers: readonly ForeignAnswer[]): void {
    this.#answers = [...answers];
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
