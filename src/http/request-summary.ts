/** What the log, the metrics and the trace are told of a request. */
import { type IncomingMessage, METHODS } from "node:http";
import type { Outcome } from "../graphql/context.js";
import type { RequestSummary } from "../observe/events.js";
import type { RequestStart } from "../observe/tracing.js";
import type { ClientInfo } from "../policy/call.js";

const PATH = "/graphql";
const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS);

/** By the semantic conventions of OpenTelemetry for HTTP servers. */
export function startOf(request: IncomingMessage, requestId: string): RequestStart {
  const { method = "", headers } = request;
  const known = KNOWN_METHODS.has(method) ? method : "_OTHER";
  const attributes = { "http.request.method": known, "http.route": PATH, "url.path": PATH, "url.scheme": "http" };
  return { requestId, name: `${known === "_OTHER" ? "HTTP" : known} ${PATH}`, attributes, headers };
}

interface Ended {
  readonly requestId: string;
  readonly status: number;
  readonly outcome: Outcome;
  readonly client: ClientInfo;
  /** By the clock of `performance`. */
  readonly started: number;
}

export function summarize({ requestId, status, outcome, client, started }: Ended): RequestSummary {
  const { code, operationName, operationType } = outcome;
  const milliseconds = performance.now() - started;
  const { name: clientName, version: clientVersion } = client;
  return { requestId, status, code, milliseconds, clientName, clientVersion, operationName, operationType };
}
