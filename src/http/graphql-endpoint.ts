/**
 * `POST /graphql`: room → turn → method → media type → authenticate → limit → read → execute → answer. Whatever goes wrong before
 * GraphQL is answered in GraphQL's own shape.
 */
import type { IncomingMessage } from "node:http";
import type { Caller } from "../auth/caller.js";
import { AuthenticationFailure } from "../auth/failure.js";
import { errorKind, GatewayError } from "../errors.js";
import { newOutcome, type Outcome } from "../graphql/context.js";
import { errorBody, masked } from "../graphql/errors.js";
import type { GraphqlServer } from "../graphql/server.js";
import type { Limits } from "../limits/limits.js";
import { type Quota, RateLimited } from "../limits/quota.js";
import type { Events } from "../observe/events.js";
import type { Tracing } from "../observe/tracing.js";
import type { Answer } from "./answer.js";
import { BodyTooLarge, BodyTooSlow, giveUp, readJson } from "./body.js";
import type { CallerCheck } from "./caller-check.js";
import { type Contexts, clientOf } from "./contexts.js";
import { refusePreflight } from "./cors.js";
import { EVENT_STREAM, STREAM_HEADERS } from "./event-stream.js";
import type { Load } from "./load.js";
import { chooseMediaType, wholeType } from "./media-type.js";
import { rateLimitHeaders } from "./rate-limit-headers.js";
import { refuseForm } from "./request-form.js";
import { startOf, summarize } from "./request-summary.js";
import type { Streams } from "./streams.js";
import type { Turns } from "./turns.js";

export interface GraphqlEndpointParts {
  readonly server: GraphqlServer;
  readonly callerCheck: CallerCheck;
  readonly contexts: Contexts;
  readonly streams: Streams;
  readonly limits: Limits;
  readonly events: Events;
  readonly load: Load;
  readonly turns: Turns;
  /** For whom there is no room. */
  readonly refusal: (request: IncomingMessage) => Answer;
  readonly tracing?: Tracing | undefined;
}

/** One request, and what has become of it so far. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly requestId: string;
  readonly outcome: Outcome;
  readonly quotas: Quota[];
  /** For its turn, which is part of its time. */
  readonly waitedMs: number;
  caller?: Caller;
}

/** How long a body may take to arrive where there is no room for more requests. */
const SLOW_MS = 1000;

export class GraphqlEndpoint {
  readonly #parts: GraphqlEndpointParts;
  /** Requests of which the body is awaited, and since when (ms); the first for longest. */
  readonly #arriving = new Map<IncomingMessage, number>();

  constructor(parts: GraphqlEndpointParts) {
    this.#parts = parts;
  }

  handle(request: IncomingMessage, requestId: string): Promise<Answer> {
    const { load, refusal, tracing } = this.#parts;
    const shed = load.enter();
    if (shed !== undefined) {
      if (shed === "full") this.#giveUpSlowest();
      return Promise.resolve(refusal(request));
    }
    if (tracing === undefined) return this.#serve(request, requestId);
    return tracing.request(startOf(request, requestId), () => this.#serve(request, requestId));
  }

  async #serve(request: IncomingMessage, requestId: string): Promise<Answer> {
    const { load, turns } = this.#parts;
    const started = performance.now();
    const turn = turns.take(load.underWay);
    if (turn !== undefined) await turn;
    const waitedMs = turn === undefined ? 0 : performance.now() - started;
    const exchange: Exchange = { request, requestId, outcome: newOutcome(), quotas: [], waitedMs };
    let answer: Answer;
    try {
      answer = await this.#answer(exchange);
    } finally {
      load.leave();
    }
    this.#parts.events.requestEnded(
      summarize({
        requestId,
        status: answer.status,
        outcome: exchange.outcome,
        client: clientOf(request.headers),
        started,
      }),
    );
    // All that is answered here is GraphQL, so clients may take its errors for what they are.
    const isStream = answer.status === 200 && wantsStream(request);
    if (!isStream && isKept(request, answer)) turns.answered(request.socket);
    const mediaType = isStream ? EVENT_STREAM : wholeType(request.headers.accept);
    return {
      ...answer,
      headers: {
        ...answer.headers,
        "content-type": `${mediaType}; charset=utf-8`,
        ...rateLimitHeaders(exchange.quotas, exchange.caller),
      },
    };
  }

  async #answer(exchange: Exchange): Promise<Answer> {
    const { callerCheck, limits, contexts, server } = this.#parts;
    const { request, requestId, outcome, quotas, waitedMs } = exchange;
    try {
      refusePreflight(request);
      const refused = refuseForm(request);
      if (refused !== undefined) {
        outcome.code = "BAD_REQUEST";
        return refused;
      }
      const caller = await callerCheck.authenticate(request, requestId);
      exchange.caller = caller;
      quotas.push(await limits.takeRequest(caller));
      const facts = { caller, requestId, client: clientOf(request.headers), outcome, quotas };
      const body = await this.#read(request);
      const answer = wantsStream(request)
        ? await this.#stream(body, facts, waitedMs)
        : await server.execute(body, contexts.now(facts, waitedMs));
      return { ...answer, headers: { ...answer.headers, ...callerCheck.headersFor(caller, request) } };
    } catch (error) {
      return this.#failed(error, exchange);
    }
  }

  async #read(request: IncomingMessage): Promise<unknown> {
    if (request.complete) return await readJson(request);
    this.#arriving.set(request, performance.now());
    try {
      return await readJson(request);
    } finally {
      this.#arriving.delete(request);
    }
  }

  /** It would have a place, for as long as a request may take to arrive, that others need. */
  #giveUpSlowest(): void {
    const [slowest] = this.#arriving;
    if (slowest === undefined || performance.now() - slowest[1] < SLOW_MS) return;
    this.#arriving.delete(slowest[0]);
    giveUp(slowest[0]);
  }

  async #stream(body: unknown, facts: Parameters<Contexts["now"]>[0], waitedMs: number): Promise<Answer> {
    const { streams, contexts, server } = this.#parts;
    const start = (ended: AbortSignal) => server.stream(body, contexts.until(ended, facts, waitedMs));
    return { status: 200, headers: STREAM_HEADERS, body: await streams.begin(facts.caller, start) };
  }

  #failed(error: unknown, { request, requestId, outcome, quotas }: Exchange): Answer {
    const known = error instanceof GatewayError ? error : masked(error, requestId);
    outcome.code = known.code;
    if (known instanceof RateLimited) quotas.push(known.quota);
    if (known.cause !== undefined && known.code !== "UNAUTHENTICATED")
      this.#parts.events.requestFailed(requestId, known);
    return {
      status: known instanceof BodyTooLarge ? 413 : (errorKind(known.code)?.status ?? 500),
      headers: {
        ...(known instanceof AuthenticationFailure && this.#parts.callerCheck.headersFor(known, request)),
        ...(known.retryAfterSeconds !== undefined && { "retry-after": String(known.retryAfterSeconds) }),
        ...((known instanceof BodyTooLarge || known instanceof BodyTooSlow) && { connection: "close" }),
      },
      body: errorBody(known),
    };
  }
}

/** Whether the connection is for further requests: all of this one has arrived, and none of the two says that it ends (RFC 9112 §9.3). */
function isKept(
  { complete, httpVersion, headers: { connection = "" } }: IncomingMessage,
  { headers }: Answer,
): boolean {
  return complete && httpVersion === "1.1" && !/\bclose\b/i.test(connection) && headers.connection !== "close";
}

function wantsStream({ headers }: IncomingMessage): boolean {
  return chooseMediaType(headers.accept) === EVENT_STREAM;
}
