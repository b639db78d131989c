import { generateKeyPairSync } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Checkpoints } from "../../src/audit/checkpoint.js";
import { addressSink } from "../../src/audit/checkpoint-sinks.js";
import { readEnd } from "../../src/audit/signed-end.js";

const { privateKey: key, publicKey } = generateKeyPairSync("ed25519");
const end = (sequence: number, writer = "one") => ({ writer, sequence, hash: `hash-${sequence}`, at: 5 });
const answers =
  (status: number, headers = {}): RequestListener =>
  (_, response) =>
    response.writeHead(status, headers).end("so be it");

/** A real server that keeps what it was sent, and answers as it is told. */
class Collector {
  readonly received: { method?: string | undefined; headers: IncomingHttpHeaders; body: string }[] = [];
  answer = answers(204);
  readonly #server = createServer((request, response) => {
    void text(request).then((body) => {
      this.received.push({ method: request.method, headers: request.headers, body });
      this.answer(request, response);
    });
  });

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/checkpoints?key=k3y`;
  }

  get checkpoints(): unknown[] {
    return this.received.map(({ body }) => readEnd("checkpoint", body, [publicKey]));
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

describe("an address for checkpoints", () => {
  let collector: Collector;
  let observed: unknown[];
  const start = (timeoutMs = 10_000) => {
    const observe = (error: unknown) => observed.push(error);
    return new Checkpoints({ key, sink: addressSink(collector.url, timeoutMs), observe });
  };
  beforeEach(async () => {
    observed = [];
    collector = new Collector();
    await collector.open();
  });
  afterEach(() => collector.close());

  it("is sent each one by POST, as JSON, in their order", async () => {
    const checkpoints = start();
    await Promise.all([1, 2, 3].map((sequence) => checkpoints.checkpoint(end(sequence))));
    expect(collector.checkpoints).toEqual([1, 2, 3].map((sequence) => end(sequence)));
    for (const { method, headers } of collector.received) {
      expect(method).toBe("POST");
      expect(headers["content-type"]).toBe("application/json");
    }
    expect(observed).toEqual([undefined, undefined, undefined]);
  });

  it.each([200, 201, 299])("has taken it when it answers %i", async (status) => {
    collector.answer = answers(status);
    await start().checkpoint(end(1));
    expect(observed).toEqual([undefined]);
  });

  it.each([300, 400, 401, 429, 500, 503])("has not when it answers %i, and is sent it again", async (status) => {
    const checkpoints = start();
    collector.answer = answers(status);
    checkpoints.reached(end(4));
    await checkpoints.flush();
    expect(observed).toEqual([new Error(`the address for checkpoints answered ${status}`)]);
    collector.answer = answers(204);
    await checkpoints.flush();
    await checkpoints.flush();
    expect(observed).toEqual([expect.any(Error), undefined]);
    expect(collector.checkpoints).toMatchObject([end(4), end(4)]);
  });

  it.each([301, 302, 303, 307, 308])("is not followed elsewhere by its %i", async (status) => {
    const other = new Collector();
    await other.open();
    collector.answer = answers(status, { location: other.url });
    await start().checkpoint(end(1));
    other.close();
    expect(observed).toEqual([new Error(`the address for checkpoints answered ${status}`)]);
    expect([collector.received.length, other.received.length]).toEqual([1, 0]);
  });

  it.each<[what: string, answer: RequestListener]>([
    ["answers nothing", () => {}],
    ["breaks off", (request) => request.socket.destroy()],
    ["talks something else", (request) => request.socket.end("220 mail.example.com ESMTP\r\n")],
    [
      "changes the protocol",
      ({ socket }) => socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n"),
    ],
  ])("that %s has taken nothing, within its time, and the next one is sent", async (_, answer) => {
    const checkpoints = start(300);
    collector.answer = answer;
    await checkpoints.checkpoint(end(1));
    expect(observed).toEqual([expect.any(Error)]);
    expect(String(observed[0])).not.toContain("k3y");
    collector.answer = answers(204);
    await checkpoints.checkpoint(end(2));
    expect(collector.checkpoints).toMatchObject([end(1), end(2)]);
    expect(observed).toEqual([expect.any(Error), undefined]);
  });

  it("is not waited for until the end of an answer that never ends", async () => {
    collector.answer = (_, response) => response.writeHead(200).write("and ");
    await start().checkpoint(end(1));
    expect(observed).toEqual([undefined]);
  });

  it("that nobody listens at has taken nothing", async () => {
    const checkpoints = start();
    collector.close();
    await checkpoints.checkpoint(end(1));
    expect(observed).toEqual([expect.objectContaining({ code: "ECONNREFUSED" })]);
  });
});
