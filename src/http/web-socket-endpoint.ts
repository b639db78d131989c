/**
 * `/graphql` over WebSockets: shape → origin → protocol → (the connection is one) → authenticate by the first message → for each
 * operation limit → run. Loaded with the first connection that wants it.
 */
import { randomUUID } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Caller } from "../auth/caller.js";
import type { AuthenticationHeaders } from "../auth/credentials.js";
import { GatewayError } from "../errors.js";
import { newOutcome } from "../graphql/context.js";
import { masked } from "../graphql/errors.js";
import type { GraphqlResult, GraphqlServer } from "../graphql/server.js";
import type { SocketHost, WebSockets } from "../graphql/web-sockets.js";
import type { Limits } from "../limits/limits.js";
import type { Events } from "../observe/events.js";
import type { Tracing } from "../observe/tracing.js";
import type { ClientInfo } from "../policy/call.js";
import { json, type WholeAnswer } from "./answer.js";
import { MAX_BODY_BYTES } from "./body.js";
import type { CallerCheck } from "./caller-check.js";
import { type Contexts, clientOf } from "./contexts.js";
import { ORIGIN_REFUSED } from "./cors.js";
import type { Load } from "./load.js";
import { summarize } from "./request-summary.js";
import { pathOf } from "./routes.js";
import type { Upgrades } from "./server.js";
import { msLeft, type Streams } from "./streams.js";
import { TOO_MUCH } from "./too-much.js";
import { UserPlaces } from "./user-places.js";

interface WebSocketParts {
  readonly server: GraphqlServer;
  readonly callerCheck: CallerCheck;
  readonly limits: Limits;
  readonly contexts: Contexts;
  readonly streams: Streams;
  readonly load: Load;
  readonly events: Events;
  /** Of whose pages connections are taken, beside the gateway's own. */
  readonly origins: readonly string[];
  readonly clientTimeoutMs: number;
  readonly keepAliveMs: number;
  /** Connections that one user may have. */
  readonly mostPerUser: number;
  readonly now: () => number;
  readonly tracing?: Tracing | undefined;
}

interface Session {
  readonly caller: Caller;
  readonly client: ClientInfo;
}

export class WebSocketEndpoint implements Upgrades, SocketHost<Session> {
  readonly #parts: WebSocketParts;
  readonly #ofUsers: UserPlaces;
  #sockets: Promise<WebSockets<Session>> | undefined;
  #isClosed = false;

  constructor(parts: WebSocketParts) {
    this.#parts = parts;
    this.#ofUsers = new UserPlaces(parts.mostPerUser);
  }

  isFor(request: IncomingMessage): boolean {
    const { method, httpVersion, headers, url } = request;
    // RFC 6455 §4.1; with a body it is a request like all.
    const isBare = headers["content-length"] === undefined && headers["transfer-encoding"] === undefined;
    const isOpening = method === "GET" && httpVersion === "1.1" && isBare;
    return isOpening && headers.upgrade?.toLowerCase() === "websocket" && pathOf(url) === "/graphql";
  }

  refuse({ headers }: IncomingMessage): WholeAnswer | undefined {
    if (this.#isClosed) return json(503, { error: "This instance is being stopped; connect again." });
    const { origin } = headers;
    // RFC 6455 §10.2; a page can only do here what its user's token can, which it would have to have.
    const isOwn = origin === undefined || origin.replace(/^https?:\/\//, "") === headers.host;
    if (!isOwn && !this.#parts.origins.includes(origin)) return json(403, { error: ORIGIN_REFUSED });
    const offered = headers["sec-websocket-protocol"]?.split(",").map((name) => name.trim()) ?? [];
    if (offered.includes(PROTOCOL)) return undefined;
    return json(400, { error: `The protocol is ${PROTOCOL}; offer it in Sec-WebSocket-Protocol.` });
  }

  take(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#open().then(
      (sockets) => sockets.take(request, socket, head),
      (error: unknown) => {
        this.failed(error);
        socket.destroy();
      },
    );
  }

  refuseMore(): void {
    this.#isClosed = true;
  }

  /** Has those that there are come again. */
  async close(): Promise<void> {
    const sockets = await this.#sockets;
    sockets?.close();
  }

  /** By the parameters that the client gave, as browsers can send no headers; else by the request's own. */
  async connect(request: IncomingMessage, params: Readonly<Record<string, unknown>>): Promise<Session | GatewayError> {
    const { callerCheck, limits } = this.#parts;
    const given = headersIn(params);
    const requestId = randomUUID();
    try {
      const caller = await callerCheck.authenticate(request, requestId, credentialsIn(given));
      await limits.takeRequest(caller);
      if (!this.#ofUsers.take(caller))
        throw new GatewayError("RATE_LIMITED", `A user may have ${this.#ofUsers.most} connections; close one first.`);
      return { caller, client: clientOf({ ...request.headers, ...given }) };
    } catch (error) {
      return this.#known(error, requestId);
    }
  }

  left({ caller }: Session): void {
    this.#ofUsers.leave(caller);
  }

  msLeft({ caller }: Session): number {
    return msLeft(caller, this.#parts.now());
  }

  async run(session: Session, body: unknown): Promise<AsyncGenerator<GraphqlResult> | GatewayError> {
    const { load, tracing } = this.#parts;
    if (load.enter() !== undefined) return new GatewayError("UPSTREAM_UNAVAILABLE", TOO_MUCH);
    const requestId = randomUUID();
    if (tracing === undefined) return await this.#begin(session, body, requestId);
    return await tracing.request({ requestId, ...OPERATION }, () => this.#begin(session, body, requestId));
  }

  async #begin(
    { caller, client }: Session,
    body: unknown,
    requestId: string,
  ): Promise<AsyncGenerator<GraphqlResult> | GatewayError> {
    const { server, callerCheck, limits, contexts, streams, events, load } = this.#parts;
    const outcome = newOutcome();
    const facts = { caller, client, requestId, outcome, quotas: [] };
    const started = performance.now();
    try {
      await callerCheck.requireStillGood(caller);
      await limits.takeRequest(caller);
      return await streams.begin(caller, (ended) => server.stream(body, contexts.until(ended, facts)));
    } catch (error) {
      const known = this.#known(error, requestId);
      outcome.code = known.code;
      return known;
    } finally {
      load.leave();
      events.requestEnded(summarize({ requestId, status: 101, outcome, client, started }));
    }
  }

  /** As the client may hear of it; the log has what it does not. Who cannot be authenticated is in the log already. */
  #known(error: unknown, requestId: string): GatewayError {
    const known = error instanceof GatewayError ? error : masked(error, requestId);
    if (known.cause !== undefined && known.code !== "UNAUTHENTICATED")
      this.#parts.events.requestFailed(requestId, known);
    return known;
  }

  failed(error: unknown): void {
    this.#parts.events.requestFailed(randomUUID(), error);
  }

  #open(): Promise<WebSockets<Session>> {
    this.#sockets ??= import("../graphql/web-sockets.js").then(({ WebSockets }) => {
      const { clientTimeoutMs, keepAliveMs } = this.#parts;
      return new WebSockets(this, { clientTimeoutMs, keepAliveMs, maxMessageBytes: MAX_BODY_BYTES });
    });
    return this.#sockets;
  }
}

const PROTOCOL = "graphql-transport-ws";

/** A trace of its own: the socket's one request may be hours ago. */
const OPERATION = { name: "WebSocket /graphql", attributes: { "http.route": "/graphql", "url.path": "/graphql" } };

/** Names in whatever case, as a client would write headers. */
function headersIn(params: Readonly<Record<string, unknown>>): IncomingHttpHeaders {
  const texts = Object.entries(params).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return Object.fromEntries(texts.map(([name, value]) => [name.toLowerCase(), value]));
}

/** Undefined when there are none. */
function credentialsIn({ authorization, dpop }: IncomingHttpHeaders): AuthenticationHeaders | undefined {
  if (authorization === undefined) return undefined;
  return { authorization: [authorization], dpop: typeof dpop === "string" ? [dpop] : [] };
}
