import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { json } from "../../src/http/answer.js";
import type { EventStream } from "../../src/http/event-stream.js";
import type { Handler } from "../../src/http/routes.js";
import { type Listener, listen, type Upgrades } from "../../src/http/server.js";
import { RawConnection } from "../fixtures/raw.js";

const CLIENT_TIMEOUT_MS = 500;
const REQUEST = "GET /stream HTTP/1.1\r\nhost: gateway\r\n\r\n";
const WHOLE_REQUEST = REQUEST.replace("/stream", "/whole");
/** Of the end of a stream, and of the last chunk that says so. */
const END = /event: complete\ndata: \n\n\r\n0\r\n\r\n/;

let listener: Listener;
let connection: RawConnection;
let failures: unknown[];
afterEach(async () => {
  connection.close();
  await listener.close();
});

async function start(results: (request: IncomingMessage) => EventStream, upgrades?: Upgrades): Promise<void> {
  failures = [];
  const stream: Handler = async (request) => ({ status: 200, headers: {}, body: results(request) });
  listener = await listen({
    host: "127.0.0.1",
    port: 0,
    portVariable: "PORT",
    routes: new Map([
      ["/stream", stream],
      ["/whole", async () => json(200, "whole")],
    ]),
    clientTimeoutMs: CLIENT_TIMEOUT_MS,
    keepAliveMs: 10_000,
    maxConnections: 10,
    fixedHeaders: {},
    upgrades,
    onRefused: () => {},
    onFailure: (_, error) => failures.push(error),
  });
  connection = await RawConnection.open(listener.url);
}

/** Whether the system takes no more, as its buffers for this connection are full. */
async function isStuck(socket: Socket): Promise<boolean> {
  await nextTurn();
  for (let look = 0; look < 20; look++) {
    if (socket.writableLength === 0) return false;
    await pause(10);
  }
  return true;
}

describe("a stream", () => {
  it("whose end its client does not take is cut, and holds up no stop", async () => {
    let hasEnded = false;
    let isCut = false;
    await start(async function* ({ socket }) {
      socket.once("close", () => {
        isCut = true;
      });
      // So little waits in the end that the stream itself is not held up by it.
      while (!(await isStuck(socket))) yield { data: { text: "a".repeat(8000) } };
      hasEnded = true;
    });
    connection.socket.pause();
    connection.send(REQUEST);
    await expect.poll(() => hasEnded, { timeout: 20_000 }).toBe(true);
    const before = performance.now();
    await listener.close();
    expect(performance.now() - before).toBeLessThan(5000);
    await expect.poll(() => isCut).toBe(true);
  });

  it("that fails ends with its connection, as its client has a part of it, and no other answer follows", async () => {
    const failure = new Error("foreseen by nobody");
    await start(async function* () {
      yield { data: { text: "first" } };
      await connection.until(/first/);
      throw failure;
    });
    connection.send(REQUEST);
    await expect.poll(() => connection.socket.closed).toBe(true);
    expect(connection.received.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200"]);
    expect(connection.received).toContain('{"data":{"text":"first"}}');
    expect(connection.received).not.toMatch(END);
    expect(failures).toEqual([failure]);
  });

  it("that has ended leaves its connection to what is asked next, however late, and at once", async () => {
    await start(async function* () {
      yield { data: { text: "all" } };
    });
    connection.send(REQUEST);
    await connection.until(END);
    await pause(2 * CLIENT_TIMEOUT_MS);
    connection.received = "";
    connection.send(REQUEST + WHOLE_REQUEST + REQUEST);
    await connection.until(new RegExp(`${END.source}[^]+"whole"[^]+${END.source}`));
    await pause(2 * CLIENT_TIMEOUT_MS);
    expect(connection.socket.closed).toBe(false);
    expect(failures).toEqual([]);
  });
});

describe("a WebSocket", () => {
  it("whose client is gone before anybody has looked at it does no harm", async () => {
    const uncaught: unknown[] = [];
    const note = (error: unknown) => uncaught.push(error);
    process.on("uncaughtException", note);
    const taken: Duplex[] = [];
    await start(async function* () {}, {
      isFor: () => true,
      refuse: () => undefined,
      take: (_, socket) => taken.push(socket),
    });
    connection.send("GET /graphql HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    await expect.poll(() => taken.length).toBe(1);
    connection.socket.resetAndDestroy();
    await expect.poll(() => taken[0]?.destroyed).toBe(true);
    await nextTurn();
    process.off("uncaughtException", note);
    expect(uncaught).toEqual([]);
  });
});
