/**
 * Traces, as the rest of the gateway knows them. One trace has a span for the request and one for each thing that was waited
 * for on the way. Off, there is no `Tracing` at all: whoever would make a span looks whether there is one, and that is all
 * that it costs. `tracing-otel.ts` makes it by OpenTelemetry, and is loaded when it is on.
 *
 * What is told of a span is ours to say: names, codes and counts out of closed sets, never a text that a client sent (but for
 * those of `RequestSummary`, and the state that came with its trace), a value of a statement, a key or a token, or the words of an error.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { RequestSummary } from "./events.js";

export type Attributes = Readonly<Record<string, string | number>>;

export interface SpanAbout {
  /** One of few: what it is about in particular is not told, or an attribute. */
  readonly name: string;
  /** `client`: something outside of this process is asked. */
  readonly kind?: "client";
  readonly attributes?: Attributes;
}

export interface RequestStart {
  readonly requestId: string;
  readonly name: string;
  readonly attributes: Attributes;
  /** Where the caller's trace is looked for; left out: it begins here. */
  readonly headers?: IncomingHttpHeaders;
}

/** What a log line says of the trace that it belongs to. */
export interface TraceIds {
  readonly requestId?: string;
  /** 32 hexadecimal digits */
  readonly traceId: string;
  /** 16 hexadecimal digits */
  readonly spanId: string;
}

/** Adds to a span what is known later. */
export type Describe = (attributes: Attributes) => void;

/** Somewhere in a trace. */
export interface Place {
  readonly ids: TraceIds;
}

/** None of these throws by itself, nor waits for whoever takes the traces. */
export interface Tracing {
  /** A request: of the caller's trace, or of one of its own. All that `run` begins belongs to it, until it has ended. */
  request<Result>(start: RequestStart, run: () => Promise<Result>): Promise<Result>;
  /** Adds to the request that is under way what is known at its end. */
  ended(summary: RequestSummary): void;
  /** What the gateway does by itself: part of what is under way, else a trace of its own. */
  work<Result>(about: SpanAbout, run: () => Promise<Result>): Promise<Result>;
  /** Part of what is under way; without that, `run` alone. A span ends with what `run` answers, or when the promise is kept. */
  span<Result>(about: SpanAbout, run: (describe: Describe) => Result): Result;
  /** What is done for several: part of the first of these places, and linked to the others. Of none, it is no part of anything. */
  joined<Result>(about: SpanAbout, places: readonly (Place | undefined)[], run: () => Promise<Result>): Promise<Result>;
  /** Where this is. */
  place(): Place | undefined;
  /** By which whoever is asked joins the trace (W3C Trace Context): none, when there is none. */
  headers(): Readonly<Record<string, string>>;
  /** Sends what is left, for a second at most. */
  close(): Promise<void>;
}
