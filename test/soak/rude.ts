/** Connections that are not used as they should be: each ends by itself, and none disturbs the others. */
import { setTimeout } from "node:timers/promises";
import { WebSocket } from "ws";
import type { Chance } from "../faults/random.js";
import { RawConnection } from "../fixtures/raw.js";
import { judgeRaw } from "./hostile.js";
import { now } from "./journal.js";
import { isCalm } from "./rules.js";
import type { Parts, Users } from "./users.js";

/** Of the gateway: `server.clientTimeoutSeconds`, how late a slow client may be found, and a busy machine. */
const SLOW_CLIENT_LIMIT_MS = 10_000 + 500 + 5_000;
/** A WebSocket has to say who it is within a few seconds, or is closed. */
const SOCKET_LIMIT_MS = 20_000;
const BYTE_EVERY_MS = 400;

export class Rude {
  constructor(
    private readonly parts: Parts,
    private readonly users: Users,
  ) {}

  /** A request that comes byte by byte, and never to its end. */
  async slowClient(): Promise<void> {
    const start = now();
    const connection = await this.#open("a slow client");
    connection.send("POST /graphql HTTP/1.1\r\nhost: tokens.example.com\r\ncontent-type: application/json\r\nx-slow: ");
    while (!connection.socket.closed && now() - start < SLOW_CLIENT_LIMIT_MS) {
      connection.send("x");
      await setTimeout(BYTE_EVERY_MS);
    }
    if (!connection.socket.closed && isCalm(this.parts.journal, start, now())) {
      this.parts.journal.wrong(`a slow client still has its connection after ${SLOW_CLIENT_LIMIT_MS} ms`);
    }
    judgeRaw(this.parts.journal, "a slow client", connection.received);
    connection.close();
  }

  /** Connects, says nothing, and leaves without a word after a while. */
  async halfOpen(chance: Chance): Promise<void> {
    const connection = await this.#open("a silent connection");
    await setTimeout(chance.between(500, 15_000));
    connection.socket.resetAndDestroy();
  }

  async garbage(chance: Chance): Promise<void> {
    const connection = await this.#open("garbage");
    const bytes = Array.from({ length: chance.between(20, 4000) }, () => chance.between(0, 255));
    connection.send(Buffer.from(bytes).toString("latin1"));
    connection.send(
      chance.pick([
        "\r\n\r\n",
        "",
        "POST /graphql HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
      ]),
    );
    await Promise.race([connection.ended(), setTimeout(SLOW_CLIENT_LIMIT_MS, undefined, { ref: false })]);
    judgeRaw(this.parts.journal, "garbage", connection.received);
    connection.close();
  }

  /** Says the wrong thing, nothing, or too much. */
  async webSocket(chance: Chance): Promise<void> {
    const { journal, stage, balancer } = this.parts;
    const start = now();
    const socket = new WebSocket(stage.url(balancer.next()).replace("http", "ws"), "graphql-transport-ws");
    const closed = new Promise<number>((resolve) => socket.once("close", resolve));
    socket.on("error", () => {});
    const messages: string[] = [];
    socket.on("message", (text) => messages.push(String(text)));
    const kind = chance.pick(["silent", "unready", "liar", "noise", "long", "torn"]);
    journal.count(`hostile: a WebSocket, ${kind}`);
    socket.once("open", () => this.#say(socket, kind));
    const code = await Promise.race([closed, setTimeout(SOCKET_LIMIT_MS, undefined, { ref: false })]);
    if (code === undefined && isCalm(journal, start, now()))
      journal.wrong(`a WebSocket (${kind}) is still open after ${SOCKET_LIMIT_MS} ms`);
    if (messages.some((text) => text.includes('"next"'))) journal.wrong(`a WebSocket (${kind}) was given data`);
    socket.terminate();
  }

  #say(socket: WebSocket, kind: string): void {
    const subscribe = '{"id":"1","type":"subscribe","payload":{"query":"subscription { auditEventAdded { cursor } }"}}';
    if (kind === "unready") socket.send(subscribe);
    if (kind === "liar") socket.send('{"type":"connection_init","payload":{"authorization":"Bearer nonsense"}}');
    if (kind === "noise") socket.send("{");
    if (kind === "long") socket.send("x".repeat(100_000));
    if (kind === "torn") socket.terminate();
  }

  /** A user without the permission asks for the trail, with a socket that is in order. */
  async curiousSocket(): Promise<void> {
    const { journal, stage, balancer } = this.parts;
    const socket = new WebSocket(stage.url(balancer.next()).replace("http", "ws"), "graphql-transport-ws");
    const payload = await this.users.headers("mallory");
    socket.on("error", () => {});
    socket.once("open", () => socket.send(JSON.stringify({ type: "connection_init", payload })));
    socket.on("message", (text) => {
      const message = JSON.parse(String(text)) as { type: string; payload?: { data?: unknown } };
      if (message.type === "connection_ack") {
        socket.send('{"id":"1","type":"subscribe","payload":{"query":"subscription { auditEventAdded { cursor } }"}}');
      }
      if (message.payload?.data) journal.wrong("a WebSocket of a user without the permission was given data");
    });
    journal.count("hostile: a WebSocket, curious");
    await setTimeout(2_000);
    socket.close();
  }

  async #open(what: string): Promise<RawConnection> {
    this.parts.journal.count(`hostile: ${what}`);
    return await RawConnection.open(this.parts.stage.url(this.parts.balancer.next()));
  }
}
