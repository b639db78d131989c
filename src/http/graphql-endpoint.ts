/**
 * `POST /graphql`: method → media type → authenticate → limit → read → execute → answer. Whatever goes wrong before GraphQL
 * is answered in GraphQL's own shape.
 */
import type { IncomingMessage } from "node:http";
import type { Authenticator } from "../auth/authenticator.js";
import type { Caller } from "../auth/caller.js";
import { challengesFor } from "../auth/challenge.js";
import { readCredentials } from "../auth/credentials.js";
import { AuthenticationFailure } from "../auth/failure.js";
import type { RuleConfig } from "../config/config.js";
import { type ErrorCode, errorKind, GatewayError } from "../errors.js";
import type { RequestContext } from "../graphql/context.js";
import { errorBody } from "../graphql/errors.js";
import type { GraphqlServer } from "../graphql/server.js";
import { IdentityReader } from "../identities/reader.js";
import type { Limits } from "../limits/limits.js";
import { type Quota, RateLimited } from "../limits/quota.js";
import type { Events } from "../observe/events.js";
import { resolveEntitlements } from "../policy/policy.js";
import type { IdentityStore } from "../store/identity-store.js";
import { networkOf } from "./addresses.js";
import type { Answer } from "./answer.js";
import { BodyTooLarge, readJson } from "./body.js";
import type { Proxies } from "./proxies.js";
import { rateLimitHeaders } from "./rate-limit-headers.js";

export interface GraphqlEndpointParts {
  readonly server: GraphqlServer;
  readonly authenticator: Authenticator;
  readonly rules: readonly RuleConfig[];
  readonly limits: Limits;
  readonly proxies: Proxies;
  readonly identities: IdentityStore;
  readonly events: Events;
  readonly requestTimeoutMs: number;
  /** Where clients believe the gateway to be, without a slash at the end; null: at the address they are connected to. */
  readonly publicUrl: string | null;
}

type Outcome = { code: ErrorCode | "OK"; caller?: Caller; readonly quotas: Quota[] };

export class GraphqlEndpoint {
  readonly #parts: GraphqlEndpointParts;

  constructor(parts: GraphqlEndpointParts) {
    this.#parts = parts;
  }

  async handle(request: IncomingMessage, requestId: string): Promise<Answer> {
    const started = performance.now();
    const outcome: Outcome = { code: "OK", quotas: [] };
    const answer = await this.#answer(request, requestId, outcome);
    this.#parts.events.requestEnded({
      requestId,
      status: answer.status,
      code: outcome.code,
      milliseconds: performance.now() - started,
      clientName: headerText(request, "apollographql-client-name"),
    });
    return { ...answer, headers: { ...answer.headers, ...rateLimitHeaders(outcome.quotas, outcome.caller) } };
  }

  async #answer(request: IncomingMessage, requestId: string, outcome: Outcome): Promise<Answer> {
    try {
      const refused = refuseForm(request);
      if (refused !== undefined) {
        outcome.code = "BAD_REQUEST";
        return refused;
      }
      const caller = await this.#authenticate(request, requestId);
      outcome.caller = caller;
      outcome.quotas.push(await this.#parts.limits.takeRequest(caller));
      const context = this.#contextFor(caller, requestId, outcome);
      const answer = await this.#parts.server.execute(await readJson(request), request.headers.accept, context);
      return { ...answer, headers: { ...answer.headers, ...this.#nonceHeader(caller) } };
    } catch (error) {
      return this.#failed(error, request, requestId, outcome);
    }
  }

  async #authenticate(request: IncomingMessage, requestId: string): Promise<Caller> {
    const { limits, proxies, authenticator, events } = this.#parts;
    try {
      return await authenticator.authenticate({
        ...readCredentials(request.headersDistinct),
        method: request.method ?? "",
        uri: `${this.#parts.publicUrl ?? connectedUrl(request)}/graphql`,
        certificate: proxies.clientCertificate(request),
      });
    } catch (error) {
      if (error instanceof AuthenticationFailure) {
        events.authenticationFailed(requestId, error);
        // Who is asked for a nonce has brought a good token and a good proof.
        if (error.reason !== "nonce_needed") await limits.takeFailedAuth(networkOf(proxies.clientAddress(request)));
      }
      throw error;
    }
  }

  #nonceHeader(outcome: Caller | AuthenticationFailure): Record<string, string> {
    const nonce = this.#parts.authenticator.nonceFor(outcome);
    return nonce === undefined ? {} : { "dpop-nonce": nonce };
  }

  #contextFor(caller: Caller, requestId: string, outcome: Outcome): RequestContext {
    const { rules, identities, requestTimeoutMs } = this.#parts;
    const deadline = AbortSignal.timeout(requestTimeoutMs);
    const call = { caller, entitlements: resolveEntitlements(rules, caller), deadline, quotas: outcome.quotas };
    return { requestId, call, identities: new IdentityReader(identities, call), outcome };
  }

  #failed(error: unknown, request: IncomingMessage, requestId: string, outcome: Outcome): Answer {
    const known =
      error instanceof GatewayError
        ? error
        : new GatewayError(
            "INTERNAL_SERVER_ERROR",
            `Something went wrong on our side; the log has it as ${requestId}.`,
            { cause: error },
          );
    outcome.code = known.code;
    if (known instanceof RateLimited) outcome.quotas.push(known.quota);
    if (known.cause !== undefined && known.code !== "UNAUTHENTICATED")
      this.#parts.events.requestFailed(requestId, known);
    return {
      status: known instanceof BodyTooLarge ? 413 : (errorKind(known.code)?.status ?? 500),
      headers: {
        "content-type": "application/json; charset=utf-8",
        ...(known instanceof AuthenticationFailure && {
          "www-authenticate": challengesFor(known, request.headers.authorization),
          ...this.#nonceHeader(known),
        }),
        ...(known.retryAfterSeconds !== undefined && { "retry-after": String(known.retryAfterSeconds) }),
        ...(known instanceof BodyTooLarge && { connection: "close" }),
      },
      body: errorBody(known),
    };
  }
}

/** Of this end of the connection, which no header can change. */
function connectedUrl({ socket: { localAddress = "", localPort } }: IncomingMessage): string {
  const address = localAddress.replace(/^::ffff:(?=\d+\.)/, "");
  return `http://${address.includes(":") ? `[${address}]` : address}:${localPort}`;
}

/** GraphQL over HTTP: POST and JSON only, so that no form or link of another site can send one. */
function refuseForm(request: IncomingMessage): Answer | undefined {
  if (request.method !== "POST") return refusal(405, "GraphQL is served by POST only.", { allow: "POST" });
  const {
    "content-type": contentType = "",
    "content-encoding": encoding = "identity",
    accept = "*/*",
  } = request.headers;
  if (!ACCEPTABLE.test(accept)) {
    return refusal(406, "Accept application/graphql-response+json or application/json.", {});
  }
  if (!JSON_IN_UTF_8.test(contentType) || encoding !== "identity")
    return refusal(415, "Send the request with content-type: application/json.", { "accept-post": "application/json" });
  return undefined;
}

function refusal(status: number, message: string, headers: Record<string, string>): Answer {
  const body = errorBody(new GatewayError("BAD_REQUEST", message));
  return { status, headers: { "content-type": "application/json; charset=utf-8", ...headers }, body };
}

const JSON_IN_UTF_8 = /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i;

/** Whether an `Accept` header lets one of our two media types through; said before anything is done, not after. */
const ACCEPTABLE = /(^|,)\s*(\*\/\*|application\/(\*|json|graphql-response\+json))\s*(;|,|$)/i;

const MAX_CLIENT_NAME_LENGTH = 100;

function headerText(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return typeof value === "string" ? value.slice(0, MAX_CLIENT_NAME_LENGTH) : null;
}
