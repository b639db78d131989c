import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { EventStream } from "./event-stream.js";

interface AnswerHead {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
}

/** One that is said at once. */
export interface WholeAnswer extends AnswerHead {
  readonly body: string | Buffer;
}

/** One that goes on. */
interface StreamAnswer extends AnswerHead {
  readonly body: EventStream;
}

export type Answer = WholeAnswer | StreamAnswer;

export function isWhole(answer: Answer): answer is WholeAnswer {
  return typeof answer.body === "string" || answer.body instanceof Buffer;
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
  const { status, headers } = answer;
  const body = isWhole(answer) ? answer.body : undefined;
  response.writeHead(status, {
    ...fixed,
    ...headers,
    // RFC 9110 §8.6
    ...(body !== undefined && status !== 204 && { "content-length": Buffer.byteLength(body) }),
    "cache-control": "no-store",
    "x-request-id": requestId,
  });
  if (body !== undefined) response.end(body);
}

export function json(status: number, value: unknown, headers: OutgoingHttpHeaders = {}): WholeAnswer {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: JSON.stringify(value),
  };
}
