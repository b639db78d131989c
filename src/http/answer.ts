import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { EventStream } from "./event-stream.js";

export interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: string | Buffer | EventStream;
}

/** One that is said at once. */
export interface WholeAnswer extends Answer {
  readonly body: string | Buffer;
}

/** What every answer of a port says to browsers and caches. */
export type FixedHeaders = Readonly<Record<string, string>>;

/** RFC 6797 §6.1.1; a year, of this host alone: what else is under its domain is not ours to decide. */
const HTTPS_ONLY = "max-age=31536000";

/** Nothing here is a page, so a browser that is led here loads, frames and passes on nothing. */
export function fixedHeaders(publicUrl: string | null): FixedHeaders {
  return {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    ...(publicUrl?.startsWith("https:") && { "strict-transport-security": HTTPS_ONLY }),
  };
}

/**
 * Head and body in one write; of a stream the head. Nothing that this gateway says may be kept by a cache; what else is fixed, an
 * answer may change.
 */
export function send(response: ServerResponse, requestId: string, answer: Answer, fixed: FixedHeaders): void {
  if (response.destroyed || response.headersSent) return;
  const { status, headers, body } = answer;
  const isWhole = typeof body === "string" || body instanceof Buffer;
  response.writeHead(status, {
    ...fixed,
    ...headers,
    // RFC 9110 §8.6
    ...(isWhole && status !== 204 && { "content-length": Buffer.byteLength(body) }),
    "cache-control": "no-store",
    "x-request-id": requestId,
  });
  if (isWhole) response.end(body);
}

export function json(status: number, value: unknown, headers: OutgoingHttpHeaders = {}): WholeAnswer {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: JSON.stringify(value),
  };
}
