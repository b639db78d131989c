import type { IncomingHttpHeaders } from "node:http";

/** As much of an answer's body as is looked at. A hostile caller's may be anything. */
export interface Body {
  readonly data?: Readonly<Record<string, unknown>> | null;
  readonly errors?: readonly {
    readonly message?: string;
    readonly extensions?: {
      readonly code?: string;
      readonly retryable?: boolean;
      readonly retryAfterSeconds?: number;
      readonly requestId?: string;
    };
  }[];
}

/**
 * One try of a request.
 *
 * - answered: by the gateway, whatever it said
 * - refused: nothing listened, on any instance; nothing was sent
 * - cut: the connection broke after something was sent; nobody knows what came of it
 * - unanswered: no answer in all the time that the gateway may take
 * - aborted: by the caller
 */
export interface Exchange {
  readonly outcome: "answered" | "refused" | "cut" | "unanswered" | "aborted";
  readonly instance: number;
  readonly start: number;
  readonly end: number;
  readonly status?: number;
  readonly headers?: IncomingHttpHeaders;
  readonly text?: string;
  readonly body?: Body | undefined;
  /** Of a connection that broke. */
  readonly why?: string;
}

/** Undefined for what is no JSON object. */
export function parseBody(text: string): Body | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Body) : undefined;
  } catch {
    return undefined;
  }
}
