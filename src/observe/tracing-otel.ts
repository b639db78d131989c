/**
 * Tracing by OpenTelemetry's SDK. Nothing of it is made known to the whole process (no global tracer, no instrumentation of
 * modules), so that several gateways can live in one.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import {
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { TracerProvider } from "@opentelemetry/sdk-trace";
import type { TracingConfig } from "../config/config.js";
import type { TraceExport } from "../config/trace-export.js";
import { errorKind, GatewayError } from "../errors.js";
import { waitAtMost } from "../in-time.js";
import type { RequestSummary } from "./events.js";
import type { Redact } from "./redact.js";
import { createProcessor, type ExportWatcher } from "./span-export.js";
import { createSampler } from "./span-sampler.js";
import type { Describe, Place, RequestStart, SpanAbout, TraceIds, Tracing } from "./tracing.js";

interface OpenTracingParts {
  readonly config: TracingConfig;
  readonly settings: TraceExport;
  /** Takes out of a client's words what looks like a secret. */
  readonly redact: Redact;
  readonly watcher: ExportWatcher;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
}

/** More than go into one write of the audit trail: beyond it, links would be dropped, and each time a warning written. */
const MOST_LINKS = 1000;
/** How long a stop may wait for the last spans to be taken. */
const CLOSE_MS = 1000;

export function openTracing({ config, settings, redact, watcher, elapsed }: OpenTracingParts): Tracing {
  const { serviceName, resourceAttributes } = settings;
  const resource = resourceFromAttributes({
    "service.instance.id": randomUUID(),
    ...resourceAttributes,
    "service.name": serviceName,
  });
  const provider = new TracerProvider({
    resource: defaultResource().merge(resource),
    sampler: createSampler({ ...settings.sampler, callerTracesPerSecond: config.callerTracesPerSecond, elapsed }),
    spanProcessors: [createProcessor(settings, watcher)],
    spanLimits: { linkCountLimit: MOST_LINKS },
  });
  return new OtelTracing(provider, redact);
}

/** A request, or a piece of work. */
interface Root {
  readonly span: Span;
  readonly requestId?: string;
  /** What goes on longer belongs to it no more: a timer that it has started may run for hours. */
  isOver: boolean;
}

class SpanPlace implements Place {
  constructor(
    readonly span: Span,
    readonly root: Root,
  ) {}

  get ids(): TraceIds {
    const { traceId, spanId } = this.span.spanContext();
    const { requestId } = this.root;
    return { ...(requestId !== undefined && { requestId }), traceId, spanId };
  }

  /** Whether there is anything to add to. */
  get isRecording(): boolean {
    return !this.root.isOver && this.root.span.isRecording();
  }
}

class OtelTracing implements Tracing {
  readonly #tracer: Tracer;
  readonly #places = new AsyncLocalStorage<SpanPlace | undefined>();
  readonly #propagator = new W3CTraceContextPropagator();
  /** The state of a caller's trace is its own words, and goes on to whoever takes the spans and to the service. */
  readonly #fromHeaders: TextMapGetter<IncomingHttpHeaders> = {
    keys: (headers) => Object.keys(headers),
    get: (headers, name) => {
      const words = headers[name];
      return typeof words === "string" ? this.redact(words) : undefined;
    },
  };

  constructor(
    private readonly provider: TracerProvider,
    private readonly redact: Redact,
  ) {
    this.#tracer = provider.getTracer("acs-token-gateway");
  }

  request<Result>(
    { requestId, name, attributes, headers = {} }: RequestStart,
    run: () => Promise<Result>,
  ): Promise<Result> {
    const caller = this.#propagator.extract(ROOT_CONTEXT, headers, this.#fromHeaders);
    const span = this.#tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, caller);
    return this.#asRoot({ span, requestId: this.redact(requestId), isOver: false }, run);
  }

  work<Result>(about: SpanAbout, run: () => Promise<Result>): Promise<Result> {
    const place = this.#places.getStore();
    if (place !== undefined && !place.root.isOver) return this.span(about, run);
    return this.#asRoot(
      { span: this.#tracer.startSpan(about.name, optionsOf(about), ROOT_CONTEXT), isOver: false },
      run,
    );
  }

  #asRoot<Result>(root: Root, run: () => Promise<Result>): Promise<Result> {
    return this.#ending(new SpanPlace(root.span, root), run).finally(() => {
      root.isOver = true;
    });
  }

  ended({ requestId, status, code, clientName, clientVersion, operationName, operationType }: RequestSummary): void {
    const span = this.#places.getStore()?.root.span;
    if (span?.isRecording() !== true) return;
    const said = { "gateway.request.id": requestId, "graphql.operation.name": operationName };
    const client = { "gateway.client.name": clientName, "gateway.client.version": clientVersion };
    for (const [name, words] of Object.entries({ ...said, ...client }))
      if (words !== null) span.setAttribute(name, this.redact(words));
    if (operationType !== null) span.setAttribute("graphql.operation.type", operationType);
    span.setAttributes({ "http.response.status_code": status, "gateway.code": code });
    // Over a WebSocket, or where other fields have an answer, the status does not tell.
    if (Math.max(status, errorKind(code)?.status ?? 0) >= FAILED) {
      span.setAttribute("error.type", code);
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
  }

  span<Result>(about: SpanAbout, run: (describe: Describe) => Result): Result {
    const place = this.#places.getStore();
    if (place === undefined || !place.isRecording) return run(() => {});
    const below = this.#below(place, about);
    return this.#ending(below, () => run((attributes) => below.span.setAttributes(attributes)));
  }

  joined<Result>(
    about: SpanAbout,
    places: readonly (Place | undefined)[],
    run: () => Promise<Result>,
  ): Promise<Result> {
    const [first, ...others] = places.filter((place) => place instanceof SpanPlace && place.isRecording) as SpanPlace[];
    // It belongs to none of those who are not recorded, so to nobody.
    if (first === undefined) return this.#places.run(undefined, run);
    const links = others.map(({ span }) => ({ context: span.spanContext() }));
    return this.#ending(this.#below(first, about, links), run);
  }

  place(): Place | undefined {
    return this.#places.getStore();
  }

  headers(): Readonly<Record<string, string>> {
    const place = this.#places.getStore();
    const headers: Record<string, string> = {};
    if (place !== undefined) this.#propagator.inject(trace.setSpan(ROOT_CONTEXT, place.span), headers, INTO_HEADERS);
    return headers;
  }

  async close(): Promise<void> {
    // What could not be sent has been told by then.
    await waitAtMost(
      this.provider.shutdown().catch(() => {}),
      CLOSE_MS,
    );
  }

  #below({ span, root }: SpanPlace, about: SpanAbout, links: readonly Link[] = []): SpanPlace {
    const options = { ...optionsOf(about), links: [...links] };
    return new SpanPlace(this.#tracer.startSpan(about.name, options, trace.setSpan(ROOT_CONTEXT, span)), root);
  }

  /** Runs it there, and ends the span with it. */
  #ending<Result>(place: SpanPlace, run: () => Result): Result {
    const { span } = place;
    try {
      const result = this.#places.run(place, run);
      if (!isPromise(result)) {
        span.end();
        return result;
      }
      const succeed = (value: unknown) => {
        span.end();
        return value;
      };
      return result.then(succeed, (error: unknown) => failed(span, error)) as Result;
    } catch (error) {
      return failed(span, error);
    }
  }
}

/** HTTP statuses from here on are the server's fault (RFC 9110 §15.6). */
const FAILED = 500;

/** By its code or class. Its words may quote a request or a row; the log has them, under the same trace id. */
function failed(span: Span, error: unknown): never {
  span.setAttribute("error.type", typeOf(error));
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
  throw error;
}

function typeOf(error: unknown): string {
  if (error instanceof GatewayError) return error.code;
  return error instanceof Error ? error.constructor.name : typeof error;
}

function optionsOf({ kind, attributes = {} }: SpanAbout) {
  return { kind: kind === "client" ? SpanKind.CLIENT : SpanKind.INTERNAL, attributes };
}

const INTO_HEADERS = {
  set: (headers: Record<string, string>, name: string, value: string) => {
    headers[name] = value;
  },
};

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}
