/** Where spans go when they have ended: in batches to a collector, or to the log. Whatever does not take them is waited for by nobody. */
import { DiagLogLevel, diag } from "@opentelemetry/api";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter, type SpanProcessor } from "@opentelemetry/sdk-trace";
import type { OtlpTarget, TraceExport } from "../config/trace-export.js";
import { StartError } from "../errors.js";
import type { Attributes } from "./tracing.js";

/** A span as the log has it. */
export interface EndedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly milliseconds: number;
  readonly attributes: Attributes;
}

export type LostReason = "full" | "refused";

export interface ExportWatcher {
  /** So many spans are in no trace: more ended than could be sent (full), or they were not taken (refused). */
  onSpansLost(reason: LostReason, count: number, error?: Error): void;
  onSpansSent(count: number): void;
  /** One that is written to the log. */
  onSpan(span: EndedSpan): void;
  /** What the exporter has to say of its settings and of who takes the spans. */
  onWarning(message: string): void;
}

export function createProcessor(settings: TraceExport, watcher: ExportWatcher): SpanProcessor {
  const { to, batch } = settings;
  const target = to === "log" ? new LogExporter(watcher) : openOtlp(to, watcher);
  return new Batches(target, batch, watcher);
}

function openOtlp({ url, headers, timeoutMs, compression }: OtlpTarget, watcher: ExportWatcher): SpanExporter {
  const atStart: string[] = [];
  let warn = (message: string): void => {
    atStart.push(message);
  };
  const say = (message: string) => warn(message);
  const silent = () => {};
  // The process has one; the words of whatever it is are redacted as all that is logged.
  diag.setLogger(
    { error: say, warn: say, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const revealed = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.reveal()]));
  const settings = { url, headers: revealed, timeoutMillis: timeoutMs };
  // An enumeration that the library keeps to itself, whose values are these.
  const exporter = new OTLPTraceExporter({ ...settings, compression: compression as Compression });
  if (atStart.length > 0) throw unusable(atStart);
  warn = (message) => watcher.onWarning(message);
  return exporter;
}

/** What is read by the library itself are files. */
function unusable(messages: readonly string[]): StartError {
  const names = ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"].map((name) => `OTEL_EXPORTER_OTLP_${name}`);
  const cure = `correct what ${names.join(", ")}, or those for TRACES alone, name, or unset them`;
  return new StartError(`Traces cannot be sent (${messages.join("; ")}): ${cure}.`);
}

type Settings = NonNullable<ConstructorParameters<typeof OTLPTraceExporter>[0]>;
type Compression = NonNullable<Settings["compression"]>;

/** The library's batches, with a count of what does not fit or is not taken. */
class Batches implements SpanProcessor {
  readonly #watcher: ExportWatcher;
  readonly #most: number;
  readonly #batches: BatchSpanProcessor;
  /** In the library's queue, which takes no more than it has been told, and drops the rest without a word. */
  #waiting = 0;

  constructor(target: SpanExporter, batch: TraceExport["batch"], watcher: ExportWatcher) {
    this.#watcher = watcher;
    this.#most = batch.maxQueueSize;
    this.#batches = new BatchSpanProcessor({ ...batch, exporter: this.#counting(target) });
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#waiting >= this.#most) {
      this.#watcher.onSpansLost("full", 1);
      return;
    }
    this.#waiting += 1;
    this.#batches.onEnd(span);
  }

  forceFlush(): Promise<void> {
    return this.#batches.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#batches.shutdown();
  }

  #counting(target: SpanExporter): SpanExporter {
    return {
      export: (spans, done) => {
        this.#waiting -= spans.length;
        target.export(spans, (result) => {
          this.#tell(spans.length, result);
          // Told already; the library would tell the whole process.
          done({ code: ExportResultCode.SUCCESS });
        });
      },
      shutdown: () => target.shutdown(),
    };
  }

  #tell(count: number, { code, error }: ExportResult): void {
    if (code === ExportResultCode.SUCCESS) this.#watcher.onSpansSent(count);
    else this.#watcher.onSpansLost("refused", count, error);
  }
}

class LogExporter implements SpanExporter {
  constructor(private readonly watcher: ExportWatcher) {}

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    for (const span of spans) this.watcher.onSpan(describe(span));
    done({ code: ExportResultCode.SUCCESS });
  }

  async shutdown(): Promise<void> {}
}

function describe(span: ReadableSpan): EndedSpan {
  const { name, duration, attributes, parentSpanContext } = span;
  const { traceId, spanId } = span.spanContext();
  const [seconds, nanoseconds] = duration;
  return {
    name,
    traceId,
    spanId,
    parentSpanId: parentSpanContext?.spanId ?? null,
    milliseconds: Math.round(seconds * 10_000 + nanoseconds / 100_000) / 10,
    attributes: attributes as Attributes,
  };
}
