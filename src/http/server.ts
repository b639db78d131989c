/**
 * The HTTP server of a port: bounded in connections, in the size of a head and in the time that a client may take, to send
 * a request or to take its answer. A request that is well-formed goes to the handler of its path.
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Server as NetServer, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { StartError } from "../errors.js";
import { type FixedHeaders, isWhole, json, send, type WholeAnswer } from "./answer.js";
import { ClientErrors } from "./client-errors.js";
import { writeEvents } from "./event-stream.js";
import { IdleConnections } from "./idle-connections.js";
import { MAX_HEAD_BYTES, refuseShape } from "./request-shape.js";
import { type Routes, route } from "./routes.js";

interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** How an operator changes the port, such as `PORT`. */
  readonly portVariable: string;
  readonly routes: Routes;
  /** For a whole request to arrive, and again for its answer to be taken. */
  readonly clientTimeoutMs: number;
  /** For a connection to be kept without a request. */
  readonly keepAliveMs: number;
  readonly maxConnections: number;
  readonly fixedHeaders: FixedHeaders;
  /** Whoever takes connections that are to be WebSockets. */
  readonly upgrades?: Upgrades | undefined;
  /** Told of what is refused before there is a request: the status, or that a connection was dropped for want of room. */
  readonly onRefused: (what: number | "dropped") => void;
  /** For what a handler throws, which none is supposed to. */
  readonly onFailure: (requestId: string, error: unknown) => void;
}

export interface Listener {
  /** Such as http://127.0.0.1:4000, without a slash at the end. */
  readonly url: string;
  /** Takes no new connections; resolves when the requests under way are answered, or cut off after 8 s. */
  close(): Promise<void>;
}

/** Connections that become something else than HTTP. */
export interface Upgrades {
  isFor(request: IncomingMessage): boolean;
  /** The answer to a request that must not. */
  refuse(request: IncomingMessage): WholeAnswer | undefined;
  /** The connection is the taker's from then on. `head`: what the client has sent after the request. */
  take(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** How long a connection that is kept alive may take to bring its last request, whose answer closes it. */
const IDLE_GRACE_MS = 500;
/** Leaves time, of the 10 s in which everything has to be closed, for what closes after. */
const GRACE_MS = 8000;
/** Requests that a client may send ahead of their answers (RFC 9112 §9.3.2); each takes memory until it is answered. */
const MOST_PIPELINED = 16;
/** Connections that wait to be accepted: Node's own number, as those beyond `maxConnections` are to be dropped at once, too. */
const LEAST_BACKLOG = 511;
/** How late a client that is too slow may be found. */
const CHECK_EVERY_MS = 500;

/** Throws a `StartError` when the port cannot be had. */
export async function listen(options: ListenOptions): Promise<Listener> {
  let closing = false;
  let underWay = 0;
  const respond = async (request: IncomingMessage, response: ServerResponse) => {
    const requestId = readRequestId(request);
    underWay += 1;
    try {
      const refused = refuseShape(request);
      if (refused) options.onRefused(refused.status);
      const answer = refused ?? (await route(options.routes, request, requestId));
      if (closing) response.setHeader("connection", "close");
      send(response, requestId, answer, options.fixedHeaders);
      if (!isWhole(answer)) await writeEvents(response, answer.body, options.clientTimeoutMs);
    } catch (error) {
      options.onFailure(requestId, error);
      // Who may have a part of an answer gets no second one, and would wait for the rest.
      if (response.headersSent && !response.writableEnded) response.destroy();
      const answer = json(500, { error: "Something went wrong on our side." });
      send(response, requestId, answer, options.fixedHeaders);
    }
    cutUnlessTaken(response, options.clientTimeoutMs);
  };
  const server = createBoundedServer(options, {
    respond,
    ended: () => {
      underWay -= 1;
    },
  });
  await bind(server, options);
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : options.port;
  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        closing = true;
        const part = setInterval(() => underWay === 0 && server.closeAllConnections(), IDLE_GRACE_MS);
        const cut = setTimeout(() => server.closeAllConnections(), GRACE_MS);
        // The HTTP server's own close would cut idle connections at once, and with them a request just on its way.
        NetServer.prototype.close.call(server, () => {
          clearInterval(part);
          clearTimeout(cut);
          // What it also does is to end the watch for slow clients.
          server.close();
          resolve();
        });
      }),
  };
}

interface Responder {
  respond(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** One that was to be responded to has ended, one way or the other. */
  ended(): void;
}

function createBoundedServer(options: ListenOptions, { respond, ended }: Responder) {
  const { clientTimeoutMs, keepAliveMs, maxConnections, fixedHeaders, upgrades, onRefused } = options;
  const settings = {
    headersTimeout: clientTimeoutMs,
    requestTimeout: clientTimeoutMs,
    connectionsCheckingInterval: CHECK_EVERY_MS,
    keepAliveTimeout: keepAliveMs,
    maxHeaderSize: MAX_HEAD_BYTES,
    // Looked at by `refuseShape`, which has an answer.
    requireHostHeader: false,
    // Any other is a request like all, to which no more is said of it (RFC 9110 §7.8).
    shouldUpgradeCallback: (request: IncomingMessage) => upgrades?.isFor(request) ?? false,
  };
  const clients = new ClientErrors(fixedHeaders, onRefused);
  const idle = new IdleConnections(clientTimeoutMs, () => performance.now());
  const server = createServer(settings, (request, response) => {
    // Node hands over what it had read before the connection was cut.
    if (request.socket.destroyed) return;
    const { socket } = request;
    idle.begin(socket);
    const isResponded = clients.begin(request, response) <= MOST_PIPELINED;
    response.once("close", () => {
      clients.end(socket);
      if (clients.owedTo(socket) === 0) idle.end(socket);
      if (isResponded) ended();
    });
    if (isResponded) void respond(request, response);
    else socket.destroy();
  });
  server.maxConnections = maxConnections;
  server.on("drop", () => {
    onRefused("dropped");
    idle.closeOne();
  });
  // Otherwise Node leaves out what comes after a number of headers, without a word.
  server.maxHeadersCount = 0;
  server.on("clientError", (error, socket) => clients.refuse(error, socket));
  server.on("upgrade", (request, socket, head) => {
    hearErrors(socket);
    // What was asked before it has to be answered first (RFC 9110 §7.8), which this connection cannot do any more.
    if (clients.owedTo(socket) > 0) return socket.destroy();
    if (socket instanceof Socket) idle.begin(socket);
    const refused = refuseShape(request) ?? upgrades?.refuse(request);
    if (refused) clients.answer(socket, refused);
    else upgrades?.take(request, socket, head);
  });
  server.on("connect", (_, socket) => {
    hearErrors(socket);
    clients.answer(socket, json(405, { error: "This is no proxy." }));
  });
  server.on("checkExpectation", (request: IncomingMessage, response: ServerResponse) => {
    const answer = json(417, { error: "The only expectation is 100-continue." }, { connection: "close" });
    send(response, readRequestId(request), answer, fixedHeaders);
  });
  return server;
}

/** Node lets go of a socket that it hands over: that its other end is gone would be an error that nobody hears, and end the process. */
function hearErrors(socket: Duplex): void {
  socket.on("error", () => socket.destroy());
}

/** An answer that its client does not take, or the end of one, ends with the connection. Most go to the system at once, whole. */
function cutUnlessTaken(response: ServerResponse, clientTimeoutMs: number): void {
  if (response.closed || response.socket?.writableLength === 0) return;
  const cut = setTimeout(() => response.destroy(), clientTimeoutMs);
  response.once("close", () => clearTimeout(cut));
}

function whyNotBound({ code, message }: NodeJS.ErrnoException, portVariable: string): string {
  const another = `choose another with ${portVariable}=…`;
  if (code === "EADDRINUSE") return `is in use: end the program that has it, or ${another}`;
  const cure =
    code === "EACCES" ? another : `set ${portVariable.replace("PORT", "HOST")} to an address of this machine`;
  return `cannot be listened on (${code ?? message}): ${cure}`;
}

async function bind(server: Server, { host, port, portVariable, maxConnections }: ListenOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(new StartError(`Port ${port} of ${host} ${whyNotBound(error, portVariable)}.`, { cause: error }));
    });
    // Those that wait to be accepted. The system has a limit of its own; beyond it a client tries again after a second, or three.
    server.listen({ port, host, backlog: Math.max(LEAST_BACKLOG, maxConnections) }, resolve);
  });
}

/** The caller's `x-request-id` where it is harmless to repeat in a log, else a new one. */
function readRequestId(request: IncomingMessage): string {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && /^[A-Za-z0-9._-]{1,128}$/.test(given) ? given : randomUUID();
}
