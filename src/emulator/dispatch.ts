import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Answer, Outcome } from "./answer.js";
import { answerControl, type ControlParts, isControlPath } from "./control.js";
import { errorAnswer } from "./errors.js";
import { underFault } from "./faults.js";
import { authenticate } from "./hmac.js";
import { type Received, readJson, receive, respond } from "./http.js";
import type { Call, Operation, Service } from "./operations.js";
import { checkApiVersion, type Match, matchOperation } from "./routing.js";

export interface DispatcherParts extends ControlParts, Service {
  readonly latency: "none" | "realistic";
  /** Rejects when the emulator closes meanwhile. */
  readonly wait: (ms: number) => Promise<void>;
}

/** Takes every request through the same steps; an operation only does its own work at the end of them. */
export class Dispatcher {
  readonly #parts: DispatcherParts;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = performance.now();
    const outcome = await this.#outcome(request).catch(errorAnswer);
    for (const [name, value] of Object.entries(commonHeaders(request, startedAt))) response.setHeader(name, value);
    respond(request, response, outcome);
  }

  async #outcome(request: IncomingMessage): Promise<Outcome> {
    const received = await receive(request);
    if (received === undefined) return "drop";
    if (isControlPath(received.path)) return answerControl(received, this.#parts);
    return this.#call(matchOperation(received.method, received.path), received);
  }

  async #call(match: Match, received: Received): Promise<Outcome> {
    const { name, apiVersions } = match.operation;
    this.#parts.calls.received(name, received.headers);
    const outcome = await this.#steps(match, received).catch(errorAnswer);
    this.#parts.calls.ended(name, outcome);
    if (typeof outcome === "string") return outcome;
    return { ...outcome, headers: { ...outcome.headers, "api-supported-versions": apiVersions.join(", ") } };
  }

  /**
   * A fault comes after authentication and the rate limit: only calls that the service would let in use it up. What
   * the call asks for is judged after it, in the work: a service that is down does not look at scopes.
   */
  async #steps({ operation, identity }: Match, received: Received): Promise<Outcome> {
    const { resource, calls, rateLimits, faults, now, wait } = this.#parts;
    checkApiVersion(operation, received.query, received.path);
    const accessKey = authenticate(received, resource.accessKeys(), now());
    const body = readJson(received.body);
    const limit = operation.limit(body);
    if (limit === "createIdentityWithToken") calls.askedForToken();
    rateLimits.take(limit);
    const fault = faults.take(operation.name);
    return underFault(fault, wait, () => this.#work(operation, { identity, body, accessKey }));
  }

  /** Goes on when the caller has hung up, as the service does. */
  async #work(operation: Operation, call: Call): Promise<Answer> {
    const { latency, wait } = this.#parts;
    const [least, most] = operation.latency;
    if (latency === "realistic") await wait(least + Math.random() * (most - least));
    return operation.perform(call, this.#parts);
  }
}

function commonHeaders({ headers }: IncomingMessage, startedAt: number): Record<string, string> {
  const correlation = headers["x-ms-client-request-id"];
  return {
    "Request-Context": "appId=",
    "MS-CV": `${randomBytes(16).toString("base64").slice(0, 22)}.0`,
    "X-Processing-Time": `${Math.round(performance.now() - startedAt)}ms`,
    ...(typeof correlation === "string" ? { "x-ms-client-request-id": correlation } : {}),
  };
}
