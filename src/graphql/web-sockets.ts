/**
 * GraphQL over WebSockets, as its clients speak it (graphql-transport-ws): the protocol and the frames. Who connects, and what an
 * operation comes to, is asked of whoever serves them.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type ExecutionResult, GraphQLError, GraphQLSchema, parse } from "graphql";
import { CloseCode, handleProtocols, makeServer, type Server } from "graphql-ws";
import { type WebSocket, WebSocketServer } from "ws";
import { endingWith } from "../ending.js";
import type { GatewayError } from "../errors.js";
import { parseStrictJson } from "../json.js";
import { formatGatewayError } from "./errors.js";
import type { GraphqlResult } from "./server.js";

export interface SocketHost<Session> {
  /** By what the client said first; why not, for who may not connect, or not now. */
  connect(request: IncomingMessage, params: Readonly<Record<string, unknown>>): Promise<Session | GatewayError>;
  /** The connection of a session is closed. */
  left(session: Session): void;
  /** How long a session may last, in ms. */
  msLeft(session: Session): number;
  /** The operation in a body as for POST, or why it is not begun. */
  run(session: Session, body: unknown): Promise<AsyncGenerator<GraphqlResult> | GatewayError>;
  /** Told of what nobody foresaw. */
  failed(error: unknown): void;
}

interface SocketLimits {
  /** For the client to say who it is, and to take what it is sent. */
  readonly clientTimeoutMs: number;
  /** For a connection to be kept without an operation. */
  readonly keepAliveMs: number;
  readonly maxMessageBytes: number;
}

/** The first that a client may say. */
const GREETING = /"type"\s*:\s*"connection_init"/;

interface Opened<Session> {
  readonly socket: WebSocket;
  /** Messages that the client has yet to take. */
  untaken: number;
  readonly request: IncomingMessage;
  /** End with the socket. */
  readonly timers: NodeJS.Timeout[];
  readonly begun: Set<AsyncGenerator<GraphqlResult>>;
  /** Ids of operations of which it is not known yet what they come to. */
  readonly beginning: Set<string>;
  /** Once the client has said who it is. */
  session?: Session;
}

/** For a client and the proxies between to know that the other end is there, and for a dead one to be found. */
const PING_MS = 15_000;
/** For the streams to tell that the session is over, before the socket does. */
const LAST_WORDS_MS = 500;
const CLOSE_MS = 1000;
/** RFC 6455 §7.4.1, and what is registered with IANA since. */
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;
/** Parts of a message, and pieces in which it may arrive: each takes a hundred times the memory of its one byte. */
const MOST_FRAGMENTS = 64;
const MOST_PIECES = 256;
/** Answers that wait for a client to take them, until it is not listened to: a question costs it nothing. */
const MOST_UNTAKEN = 32;
/** RFC 6455 §5.5, in bytes, with two for the code. */
const MOST_REASON = 123;

/** Whatever is wrong with a token, the same (as a 401 of HTTP). */
const NO_TOKEN =
  'UNAUTHENTICATED: connectionParams needs authorization "Bearer …", or "DPoP …" and dpop, with a valid token.';
const TOO_EARLY = "The first message has to be connection_init, and connection_ack be there before the next.";

/** The library runs what it is given; what is run here has been begun already. */
const BEGUN = { schema: new GraphQLSchema({}), document: parse("subscription { begun }") };

export class WebSockets<Session> {
  readonly #host: SocketHost<Session>;
  readonly #limits: SocketLimits;
  readonly #frames: WebSocketServer;
  readonly #protocol: Server<Opened<Session>>;

  constructor(host: SocketHost<Session>, limits: SocketLimits) {
    const { maxMessageBytes: maxPayload, clientTimeoutMs: connectionInitWaitTimeout } = limits;
    this.#host = host;
    this.#limits = limits;
    // Compression takes 300 KB for each connection, and would tell a listener what texts have in common.
    const frames = {
      noServer: true,
      maxPayload,
      perMessageDeflate: false,
      maxFragments: MOST_FRAGMENTS,
      maxBufferedChunks: MOST_PIECES,
      handleProtocols,
      // A client that does not answer a good-bye is cut off.
      closeTimeout: CLOSE_MS,
    };
    this.#frames = new WebSocketServer(frames);
    this.#protocol = makeServer({
      connectionInitWaitTimeout,
      onConnect: ({ extra, connectionParams = {} }) => this.#connect(extra, connectionParams),
      onSubscribe: ({ extra }, id, payload) => this.#beginOnce(extra, id, payload),
      subscribe: ({ contextValue }) => contextValue as AsyncGenerator<ExecutionResult>,
      // Errors are translated already.
      onNext: (_context, _id, _payload, _args, result) => result as GraphqlResult,
    });
  }

  take(request: IncomingMessage, connection: Duplex, head: Buffer): void {
    this.#frames.handleUpgrade(request, connection, head, (socket) => this.#open(socket, request));
  }

  /** Says good-bye to all. */
  close(): void {
    for (const socket of this.#frames.clients) socket.close(GOING_AWAY, "This instance is being stopped.");
  }

  #open(socket: WebSocket, request: IncomingMessage): void {
    const opened: Opened<Session> = {
      socket,
      request,
      timers: [pinging(socket)],
      begun: new Set(),
      beginning: new Set(),
      untaken: 0,
    };
    opened.timers.push(leavingIdle(opened, this.#limits.keepAliveMs));
    let isPonging = false;
    const closed = this.#protocol.opened(
      {
        protocol: socket.protocol,
        send: (text) => sent(opened, text, this.#limits.clientTimeoutMs),
        close: (code, reason) => socket.close(code, reason),
        // One at a time, and without what came along: who sends many gets fewer.
        onPing: async () => {
          if (isPonging) return;
          isPonging = true;
          await sent(opened, '{"type":"pong"}', this.#limits.clientTimeoutMs);
          isPonging = false;
        },
        onMessage: (take) =>
          socket.on("message", (data, isBinary) => {
            this.#take(opened, isBinary ? "" : String(data), take).catch((error: unknown) => {
              this.#host.failed(error);
              socket.close(CloseCode.InternalServerError, "Something went wrong on our side.");
            });
          }),
      },
      opened,
    );
    // What is wrong with a frame ends the connection, with a code that says so.
    socket.on("error", () => {});
    socket.once("close", (code, reason) => {
      opened.timers.forEach(clearInterval);
      if (opened.session !== undefined) this.#host.left(opened.session);
      for (const results of opened.begun) void results.return(undefined);
      closed(code, String(reason)).catch((error: unknown) => this.#host.failed(error));
    });
  }

  async #take(
    { socket, session }: Opened<Session>,
    text: string,
    take: (message: string) => Promise<void>,
  ): Promise<void> {
    // What comes after a good-bye, such as that the token has expired, is not done.
    if (socket.readyState !== socket.OPEN) return;
    if (session === undefined && !GREETING.test(text)) return socket.close(CloseCode.Unauthorized, TOO_EARLY);
    const message = inOneWay(text);
    if (message instanceof SyntaxError) return socket.close(CloseCode.BadRequest, `Not a message: ${message.message}.`);
    await take(message);
  }

  async #connect(opened: Opened<Session>, params: Readonly<Record<string, unknown>>): Promise<boolean> {
    const { socket, request, timers } = opened;
    const session = await this.#host.connect(request, params);
    if (session instanceof Error) {
      if (socket.readyState !== socket.OPEN) return false;
      // Clients come again after either; what passes has a code that says so.
      if (session.code === "UNAUTHENTICATED") socket.close(CloseCode.Forbidden, NO_TOKEN);
      else socket.close(TRY_AGAIN_LATER, reasonOf(session));
      return false;
    }
    if (socket.readyState !== socket.OPEN) {
      this.#host.left(session);
      return false;
    }
    opened.session = session;
    const end = () => socket.close(CloseCode.Forbidden, "The caller's token has expired.");
    timers.push(setTimeout(end, this.#host.msLeft(session) + LAST_WORDS_MS).unref());
    return true;
  }

  /** The library takes what comes of the first one for the second's, if that is begun with the same id before. */
  async #beginOnce(opened: Opened<Session>, id: string, body: unknown) {
    const { socket, beginning } = opened;
    if (beginning.has(id)) {
      const message = "The operation before it with this id is yet to end.";
      socket.close(CloseCode.SubscriberAlreadyExists, message);
      return [new GraphQLError(message)];
    }
    beginning.add(id);
    try {
      return await this.#begin(opened, body);
    } finally {
      beginning.delete(id);
    }
  }

  async #begin({ socket, session, begun: all }: Opened<Session>, body: unknown) {
    if (session === undefined) throw new Error("an operation came before its session");
    const begun = await this.#host.run(session, body);
    if (!(begun instanceof Error)) {
      // The library ends those that it knows of as the connection is closed, and this one is none of them yet.
      if (socket.readyState !== socket.OPEN) void begun.return(undefined);
      // An id that is used again hides the one before from the library.
      const results = endingWith(begun, () => all.delete(results));
      all.add(results);
      return { ...BEGUN, contextValue: results };
    }
    const { message, extensions } = formatGatewayError(begun);
    if (begun.code === "UNAUTHENTICATED") socket.close(CloseCode.Forbidden, "The caller's token is no longer good.");
    return [new GraphQLError(message, { extensions })];
  }
}

/** The library reads a message by itself, so it is given one that says the same to every reader; or what is wrong with it. */
function inOneWay(text: string): string | SyntaxError {
  try {
    return JSON.stringify(parseStrictJson(Buffer.from(text)));
  } catch (error) {
    if (error instanceof SyntaxError) return error;
    // To write it takes a call for each level, as reading it does not.
    if (error instanceof RangeError) return new SyntaxError("it is nested too deep");
    throw error;
  }
}

function reasonOf({ code, message, retryAfterSeconds }: GatewayError): string {
  const reason = `${code}: ${message}`;
  const wait = retryAfterSeconds === undefined ? "" : ` Try again in ${retryAfterSeconds} s.`;
  return Buffer.byteLength(reason + wait) <= MOST_REASON ? reason + wait : code + wait;
}

/** Says good-bye to a client that asks for nothing. Who has yet to say who it is has a time of its own. */
function leavingIdle({ socket, begun }: Opened<unknown>, keepAliveMs: number): NodeJS.Timeout {
  let since = performance.now();
  const look = () => {
    if (begun.size > 0) since = performance.now();
    else if (performance.now() - since >= keepAliveMs)
      socket.close(GOING_AWAY, "Nothing was asked for; connect again when it is.");
  };
  return setInterval(look, Math.min(keepAliveMs, PING_MS)).unref();
}

/** Until the client no longer answers. */
function pinging(socket: WebSocket): NodeJS.Timeout {
  let isThere = true;
  socket.on("pong", () => {
    isThere = true;
  });
  const ping = () => {
    if (!isThere) return socket.terminate();
    isThere = false;
    socket.ping();
  };
  return setInterval(ping, PING_MS).unref();
}

/** Resolves when the client has room for more; one that has not for too long is cut off, and not listened to meanwhile. */
async function sent(opened: Opened<unknown>, text: string, clientTimeoutMs: number): Promise<void> {
  const { socket } = opened;
  if (socket.readyState !== socket.OPEN) return;
  const cut = setTimeout(() => socket.terminate(), clientTimeoutMs);
  opened.untaken += 1;
  if (opened.untaken >= MOST_UNTAKEN) socket.pause();
  await new Promise<void>((resolve) => socket.send(text, () => resolve()));
  opened.untaken -= 1;
  if (socket.isPaused && opened.untaken < MOST_UNTAKEN) socket.resume();
  clearTimeout(cut);
}
