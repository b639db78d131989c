/**
 * Web pages of other origins (Fetch standard, "CORS protocol"). Closed but for the origins that are listed, compared as
 * exact texts. Credentials are never allowed: a caller's token is sent by the page itself, never by the browser.
 */
import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { GatewayError } from "../errors.js";
import type { Answer } from "./answer.js";
import type { Handler } from "./routes.js";

/** The last three are the trace of an app that takes part in one; `baggage` comes along with it, and is not read. */
const ALLOWED =
  "authorization, content-type, accept, dpop, x-request-id, apollographql-client-name, apollographql-client-version, " +
  "traceparent, tracestate, baggage";
const PREFLIGHT: OutgoingHttpHeaders = {
  "access-control-allow-methods": "POST",
  "access-control-allow-headers": ALLOWED,
  "access-control-max-age": "600",
};
const EXPOSED = "x-request-id, retry-after, ratelimit, ratelimit-policy, dpop-nonce, www-authenticate";
export const ORIGIN_REFUSED = "Pages of this origin may not connect; server.corsOrigins lists those that may.";

/** The handler, open to pages of these origins: whatever it answers, errors too, they can read. */
export function withCors(origins: readonly string[], handler: Handler): Handler {
  if (origins.length === 0) return handler;
  const listed = new Set(origins);
  return async (request, requestId) => {
    const origin = listedOrigin(request, listed);
    if (origin === undefined) return withHeaders(await handler(request, requestId), { vary: "Origin" });
    const allowed = { "access-control-allow-origin": origin, vary: "Origin" };
    if (request.method === "OPTIONS") return { status: 204, headers: { ...allowed, ...PREFLIGHT }, body: "" };
    const answer = await handler(request, requestId);
    return withHeaders(answer, { ...allowed, "access-control-expose-headers": EXPOSED });
  };
}

/** Throws a `GatewayError` for one that came past `withCors`, so of no listed origin. */
export function refusePreflight({ method, headers }: IncomingMessage): void {
  const isPreflight = headers.origin !== undefined && headers["access-control-request-method"] !== undefined;
  if (method === "OPTIONS" && isPreflight) throw new GatewayError("FORBIDDEN", ORIGIN_REFUSED);
}

function listedOrigin({ headers: { origin } }: IncomingMessage, listed: ReadonlySet<string>): string | undefined {
  return origin !== undefined && listed.has(origin) ? origin : undefined;
}

function withHeaders(answer: Answer, headers: OutgoingHttpHeaders): Answer {
  return { ...answer, headers: { ...answer.headers, ...headers } };
}
