/**
 * The gateway that an instance of Azure Functions has: started once, tried again after a failure, closed with the instance.
 * Without one every request is answered 503, and the log says why.
 */
import type { Writable } from "node:stream";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import type { HttpRequest, HttpResponseInit } from "@azure/functions";
import { useProxy } from "../config/proxy.js";
import { secretsIn } from "../config/secrets.js";
import { GatewayError } from "../errors.js";
import type { Gateway } from "../gateway.js";
import { chooseMediaType, wholeType } from "../http/media-type.js";
import { waitAtMost } from "../in-time.js";
import { guardStream } from "../observe/guard-stream.js";
import type { LogOutput } from "../observe/log-output.js";
import { createLogger, type Logger } from "../observe/logger.js";
import { createRedact } from "../observe/redact.js";
import { fetchFrom, forward, hasLostItsBody } from "./forward.js";
import { configOf } from "./functions-config.js";

interface FunctionsGatewayOptions {
  /** The app's settings. */
  readonly env: NodeJS.ProcessEnv;
  readonly logDestination: LogOutput;
  readonly standardOutput: Writable;
  readonly standardError: Writable;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
}

/** For which a failed start is not tried again: each costs its dependencies something. */
const FAILED_FOR_MS = 1000;
/** What a request waits for a start. */
const WAIT_MS = 10_000;
/** How long the timer keeps an instance awake for work, and how often it looks. */
const AWAKE_MS = 25_000;
const LOOK_MS = 250;

export class FunctionsGateway {
  readonly #options: FunctionsGatewayOptions;
  #logger: Logger;
  #redact = createRedact([]);
  #starting: Promise<Gateway | undefined> | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;
  /** Invocations that the worker has no answer to yet. */
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(options: FunctionsGatewayOptions) {
    this.#options = options;
    this.#logger = createLogger({ level: "info", secrets: [], destination: options.logDestination });
    guardStream(options.standardError, () => this.#redact);
  }

  /** Resolves to the gateway, or to nothing when it cannot start; what failed is in the log. */
  begin(): Promise<Gateway | undefined> {
    const hasJustFailed = this.#options.elapsed() - this.#failedAt < FAILED_FOR_MS;
    if (this.#starting === undefined && (this.#isClosed || hasJustFailed)) return Promise.resolve(undefined);
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async #start(): Promise<Gateway | undefined> {
    try {
      // What fails at once would be forgotten before `begin` remembers it, and then be remembered for ever.
      await nextTurn();
      const { env, logDestination: destination, standardOutput } = this.#options;
      const config = configOf(env);
      useProxy(config.proxy, env);
      const secrets = secretsIn(config);
      this.#redact = createRedact(secrets);
      this.#logger = createLogger({ level: config.log.level, secrets, destination });
      const { startGateway } = await import("../gateway.js");
      const gateway = await startGateway(config, { logger: this.#logger, standardOutput });
      this.#logger.info({ publicUrl: config.server.publicUrl }, "started");
      return gateway;
    } catch (error) {
      this.#failedAt = this.#options.elapsed();
      this.#starting = undefined;
      this.#logger.fatal({ err: error }, "start failed");
      return undefined;
    }
  }

  /** A request of a client, under the id of its invocation unless it brings one of its own. */
  async answer(request: HttpRequest, invocationId: string): Promise<HttpResponseInit> {
    const accept = request.headers.get("accept") ?? undefined;
    if (chooseMediaType(accept) === "text/event-stream")
      return await refuse(noStreams(), { status: 406, mediaType: wholeType(accept), invocationId });
    if (hasLostItsBody(request))
      return await refuse(noChunks(), { status: 411, mediaType: wholeType(accept), invocationId });
    const ask = ({ url }: Gateway) => forward(request, { url, requestId: invocationId });
    return await this.#until(this.#ask(invocationId, ask, accept));
  }

  /** As on the admin port, of this instance alone. */
  async metrics(invocationId: string): Promise<HttpResponseInit> {
    return await this.#ask(invocationId, ({ adminUrl }) => fetchFrom(adminUrl, "/metrics"));
  }

  async #ask(
    invocationId: string,
    ask: (gateway: Gateway) => Promise<HttpResponseInit>,
    accept?: string,
  ): Promise<HttpResponseInit> {
    const gateway = await waitAtMost(this.begin(), WAIT_MS);
    try {
      if (gateway !== undefined) return await ask(gateway);
      this.#logger.warn({ requestId: invocationId }, "refused, as the gateway has not started");
    } catch (error) {
      this.#logger.error({ requestId: invocationId, err: error }, "request not passed on");
    }
    return await refuse(notThere(), { status: 503, mediaType: wholeType(accept), invocationId });
  }

  async #until<Result>(answered: Promise<Result>): Promise<Result> {
    this.#underWay.add(answered);
    return await answered.finally(() => this.#underWay.delete(answered));
  }

  /**
   * Keeps the instance awake while its gateway does what has been promised, as long as the platform gladly lets it. Throws when
   * there is no gateway, for the platform to note.
   */
  async finishWork(): Promise<void> {
    const gateway = await waitAtMost(this.begin(), WAIT_MS);
    if (gateway === undefined) throw new Error("The gateway has not started; the log says why.");
    const until = this.#options.elapsed() + AWAKE_MS;
    while (!this.#isClosed && this.#options.elapsed() < until && (await gateway.pendingWork()) > 0)
      await pause(LOOK_MS);
  }

  /** Answers what is under way, then closes everything; further requests are refused. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const gateway = await this.#starting;
    this.#starting = undefined;
    await gateway?.close();
    // The worker ends its process right after.
    await Promise.allSettled(this.#underWay);
    await nextTurn();
  }
}

interface Refusal {
  readonly status: number;
  readonly mediaType: string;
  readonly invocationId: string;
}

function noStreams(): GatewayError {
  return new GatewayError(
    "BAD_REQUEST",
    "Azure Functions passes on no streams: accept application/json. For subscriptions the gateway has to run as a server.",
  );
}

function notThere(): GatewayError {
  return new GatewayError("UPSTREAM_UNAVAILABLE", "The gateway is not there yet, or not any more; try again.");
}

function noChunks(): GatewayError {
  return new GatewayError(
    "BAD_REQUEST",
    "Azure Functions passes on no body that comes in chunks: send it with a Content-Length (in .NET, after LoadIntoBufferAsync).",
  );
}

async function refuse(error: GatewayError, { status, mediaType, invocationId }: Refusal): Promise<HttpResponseInit> {
  // With what speaks GraphQL, which is loaded by then or of no use.
  const { errorBody } = await import("../graphql/errors.js");
  const headers = {
    "content-type": `${mediaType}; charset=utf-8`,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-request-id": invocationId,
    ...(error.retryAfterSeconds !== undefined && { "retry-after": String(error.retryAfterSeconds) }),
  };
  return { status, headers, body: errorBody(error) };
}
