/**
 * `POST /graphql`: room → method → media type → authenticate → limit → read → execute → answer. Whatever goes wrong before
 * GraphQL is answered in GraphQL's own shape.
 */
import type { IncomingMessage } from "node:http";
import type { Caller } from "../auth/caller.js";
import { AuthenticationFailure } from "../auth/failure.js";
import { Deadline } from "../deadline.js";
import { type ErrorCode, errorKind, GatewayError } from "../errors.js";
import type { RequestContext } from "../graphql/context.js";
import { errorBody } from "../graphql/errors.js";
import type { GraphqlServer } from "../graphql/server.js";
import { IdentityReader } from "../identities/reader.js";
import type { Limits } from "../limits/limits.js";
import { type Quota, RateLimited } from "../limits/quota.js";
import type { Events } from "../observe/events.js";
import type { Entitlements } from "../policy/policy.js";
import type { IdentityStore } from "../store/identity-store.js";
import type { Answer } from "./answer.js";
import { BodyTooLarge, readJson } from "./body.js";
import type { CallerCheck } from "./caller-check.js";
import type { Load } from "./load.js";
import { chooseMediaType } from "./media-type.js";
import { rateLimitHeaders } from "./rate-limit-headers.js";
import { refuseForm } from "./request-form.js";

export interface GraphqlEndpointParts {
  readonly server: GraphqlServer;
  readonly callerCheck: CallerCheck;
  readonly entitlementsOf: (caller: Caller) => Entitlements;
  readonly limits: Limits;
  readonly identities: IdentityStore;
  readonly events: Events;
  readonly requestTimeoutMs: number;
  readonly load: Load;
  /** For whom there is no room. */
  readonly refusal: (request: IncomingMessage) => Answer;
}

/** One request, and what has become of it so far. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly requestId: string;
  readonly outcome: { code: ErrorCode | "OK" };
  readonly quotas: Quota[];
  caller?: Caller;
}

export class GraphqlEndpoint {
  readonly #parts: GraphqlEndpointParts;

  constructor(parts: GraphqlEndpointParts) {
    this.#parts = parts;
  }

  async handle(request: IncomingMessage, requestId: string): Promise<Answer> {
    const { load, refusal } = this.#parts;
    if (load.enter() !== undefined) return refusal(request);
    const started = performance.now();
    const exchange: Exchange = { request, requestId, outcome: { code: "OK" }, quotas: [] };
    let answer: Answer;
    try {
      answer = await this.#answer(exchange);
    } finally {
      load.leave();
    }
    this.#parts.events.requestEnded({
      requestId,
      status: answer.status,
      code: exchange.outcome.code,
      milliseconds: performance.now() - started,
      clientName: headerText(request, CLIENT_NAME),
    });
    // All that is answered here is GraphQL, so clients may take its errors for what they are.
    const mediaType = chooseMediaType(request.headers.accept) ?? "application/json";
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
    const { callerCheck, limits, server } = this.#parts;
    const { request, requestId, outcome, quotas } = exchange;
    try {
      const refused = refuseForm(request);
      if (refused !== undefined) {
        outcome.code = "BAD_REQUEST";
        return refused;
      }
      const caller = await callerCheck.authenticate(request, requestId);
      exchange.caller = caller;
      quotas.push(await limits.takeRequest(caller));
      const context = this.#contextFor(caller, exchange);
      const answer = await server.execute(await readJson(request), context);
      return { ...answer, headers: { ...answer.headers, ...callerCheck.headersFor(caller, request) } };
    } catch (error) {
      return this.#failed(error, exchange);
    }
  }

  #contextFor(caller: Caller, { request, requestId, outcome, quotas }: Exchange): RequestContext {
    const { entitlementsOf, identities, requestTimeoutMs } = this.#parts;
    const deadline = new Deadline(requestTimeoutMs);
    const client = { name: headerText(request, CLIENT_NAME), version: headerText(request, CLIENT_VERSION) };
    const entitlements = entitlementsOf(caller);
    const call = { requestId, client, caller, entitlements, deadline, quotas };
    return { call, identities: new IdentityReader(identities, call), outcome };
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
        ...(known instanceof BodyTooLarge && { connection: "close" }),
      },
      body: errorBody(known),
    };
  }
}

function masked(cause: unknown, requestId: string): GatewayError {
  const message = `Something went wrong on our side; the log has it as ${requestId}.`;
  return new GatewayError("INTERNAL_SERVER_ERROR", message, { cause });
}

const CLIENT_NAME = "apollographql-client-name";
const CLIENT_VERSION = "apollographql-client-version";
const MAX_CLIENT_NAME_LENGTH = 100;

function headerText(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return typeof value === "string" ? value.slice(0, MAX_CLIENT_NAME_LENGTH) : null;
}
