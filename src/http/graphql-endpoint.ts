/**
 * `POST /graphql`: method → media type → authenticate → limit → read → execute → answer. Whatever goes wrong before GraphQL
 * is answered in GraphQL's own shape.
 */
import type { IncomingMessage } from "node:http";
import { type Caller, readAuthorization, Unauthenticated } from "../auth/caller.js";
import type { Verifier } from "../auth/verifier.js";
import type { RuleConfig } from "../config/config.js";
import { type ErrorCode, errorKind, GatewayError } from "../errors.js";
import type { RequestContext } from "../graphql/context.js";
import { errorBody } from "../graphql/errors.js";
import type { GraphqlServer } from "../graphql/server.js";
import { IdentityReader } from "../identities/reader.js";
import type { Limits } from "../limits/limits.js";
import type { Events } from "../observe/events.js";
import { resolveEntitlements } from "../policy/policy.js";
import type { IdentityStore } from "../store/identity-store.js";
import type { Answer } from "./answer.js";
import { BodyTooLarge, readJson } from "./body.js";
import { chooseMediaType } from "./media-type.js";

export interface GraphqlEndpointParts {
  readonly server: GraphqlServer;
  readonly verifier: Verifier;
  readonly rules: readonly RuleConfig[];
  readonly limits: Limits;
  readonly identities: IdentityStore;
  readonly events: Events;
  readonly requestTimeoutMs: number;
}

type Outcome = { code: ErrorCode | "OK" };

export class GraphqlEndpoint {
  readonly #parts: GraphqlEndpointParts;

  constructor(parts: GraphqlEndpointParts) {
    this.#parts = parts;
  }

  async handle(request: IncomingMessage, requestId: string): Promise<Answer> {
    const started = performance.now();
    const outcome: Outcome = { code: "OK" };
    const answer = await this.#answer(request, requestId, outcome);
    this.#parts.events.requestEnded({
      requestId,
      status: answer.status,
      code: outcome.code,
      milliseconds: performance.now() - started,
      clientName: headerText(request, CLIENT_NAME),
    });
    return inMediaType(answer, request);
  }

  async #answer(request: IncomingMessage, requestId: string, outcome: Outcome): Promise<Answer> {
    try {
      const refused = refuseForm(request);
      if (refused !== undefined) {
        outcome.code = "BAD_REQUEST";
        return refused;
      }
      const caller = await this.#authenticate(request, requestId);
      await this.#parts.limits.takeRequest(caller);
      const context = this.#contextFor(caller, request, { requestId, outcome });
      return await this.#parts.server.execute(
        await readJson(request),
        chooseMediaType(request.headers.accept),
        context,
      );
    } catch (error) {
      return this.#failed(error, requestId, outcome);
    }
  }

  async #authenticate(request: IncomingMessage, requestId: string): Promise<Caller> {
    const { limits, verifier, events } = this.#parts;
    try {
      return await verifier.verify(readAuthorization(request.headers.authorization));
    } catch (error) {
      if (error instanceof Unauthenticated) {
        events.authenticationFailed(requestId, error.reason);
        await limits.takeFailedAuth(request.socket.remoteAddress ?? "unknown");
      }
      throw error;
    }
  }

  #contextFor(
    caller: Caller,
    request: IncomingMessage,
    { requestId, outcome }: Pick<RequestContext, "requestId" | "outcome">,
  ): RequestContext {
    const { rules, identities, requestTimeoutMs } = this.#parts;
    const deadline = AbortSignal.timeout(requestTimeoutMs);
    const call = { caller, entitlements: resolveEntitlements(rules, caller), deadline };
    const client = { name: headerText(request, CLIENT_NAME), version: headerText(request, CLIENT_VERSION) };
    return { requestId, client, call, identities: new IdentityReader(identities, call), outcome };
  }

  #failed(error: unknown, requestId: string, outcome: Outcome): Answer {
    const known =
      error instanceof GatewayError
        ? error
        : new GatewayError(
            "INTERNAL_SERVER_ERROR",
            `Something went wrong on our side; the log has it as ${requestId}.`,
            { cause: error },
          );
    outcome.code = known.code;
    if (known.cause !== undefined && known.code !== "UNAUTHENTICATED")
      this.#parts.events.requestFailed(requestId, known);
    return {
      status: known instanceof BodyTooLarge ? 413 : (errorKind(known.code)?.status ?? 500),
      headers: {
        "content-type": "application/json; charset=utf-8",
        ...(known instanceof Unauthenticated && { "www-authenticate": known.challenge }),
        ...(known.retryAfterSeconds !== undefined && { "retry-after": String(known.retryAfterSeconds) }),
        ...(known instanceof BodyTooLarge && { connection: "close" }),
      },
      body: errorBody(known),
    };
  }
}

/** GraphQL over HTTP: POST and JSON only, so that no form or link of another site can send one. */
function refuseForm(request: IncomingMessage): Answer | undefined {
  if (request.method !== "POST") return refusal(405, "GraphQL is served by POST only.", { allow: "POST" });
  const { "content-type": contentType = "", "content-encoding": encoding = "identity", accept } = request.headers;
  if (chooseMediaType(accept) === undefined) {
    return refusal(406, "Accept application/graphql-response+json or application/json.", {});
  }
  if (!JSON_IN_UTF_8.test(contentType) || encoding !== "identity")
    return refusal(415, "Send the request with content-type: application/json.", { "accept-post": "application/json" });
  return undefined;
}

/** All that is answered here is GraphQL, so clients may take its errors for what they are (GraphQL over HTTP, “Response”). */
function inMediaType(answer: Answer, { headers: { accept } }: IncomingMessage): Answer {
  const type = chooseMediaType(accept) ?? "application/json";
  return { ...answer, headers: { ...answer.headers, "content-type": `${type}; charset=utf-8` } };
}

function refusal(status: number, message: string, headers: Record<string, string>): Answer {
  const body = errorBody(new GatewayError("BAD_REQUEST", message));
  return { status, headers: { "content-type": "application/json; charset=utf-8", ...headers }, body };
}

const JSON_IN_UTF_8 = /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i;

const CLIENT_NAME = "apollographql-client-name";
const CLIENT_VERSION = "apollographql-client-version";
const MAX_CLIENT_NAME_LENGTH = 100;

function headerText(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return typeof value === "string" ? value.slice(0, MAX_CLIENT_NAME_LENGTH) : null;
}
