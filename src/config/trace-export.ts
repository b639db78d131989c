/**
 * Whether traces are made, and where they go: by the variables that OpenTelemetry defines for every program, so that a
 * gateway is set up as all that runs beside it. They are not of our file; what cannot be meant stops the start as a fault there does.
 */
import { validateHeaderName, validateHeaderValue } from "node:http";
import { ConfigError, type Fault } from "./fault.js";
import type { Environment } from "./read.js";
import { Secret } from "./secret.js";

/** Of the traces that begin here. */
export interface TraceSampler {
  /** Which share of them is recorded, 0 to 1. */
  readonly root: number;
  /** Whether a trace that has come with a request is recorded when its sender says so. */
  readonly isParentBased: boolean;
}

/** A collector, by OTLP over HTTP in protobuf. */
export interface OtlpTarget {
  readonly url: string;
  /** May be keys. */
  readonly headers: Readonly<Record<string, Secret>>;
  readonly timeoutMs: number;
  readonly compression: "none" | "gzip";
}

export interface TraceExport {
  readonly to: OtlpTarget | "log";
  readonly sampler: TraceSampler;
  readonly serviceName: string;
  readonly resourceAttributes: Readonly<Record<string, string>>;
  readonly batch: {
    readonly scheduledDelayMillis: number;
    readonly exportTimeoutMillis: number;
    readonly maxQueueSize: number;
    readonly maxExportBatchSize: number;
  };
}

const SERVICE_NAME = "acs-token-gateway";
const TRACES_PATH = "v1/traces";
/** Whatever runs beside it, by OpenTelemetry's specification. */
const DEFAULT_ENDPOINT = "http://localhost:4318";

/** Null: no traces. Throws a `ConfigError` that has every fault, and no value. */
export function readTraceExport(env: Environment): TraceExport | null {
  if (env.OTEL_SDK_DISABLED?.trim().toLowerCase() === "true") return null;
  const reader = new Reader(env);
  const exporter = reader.choice("OTEL_TRACES_EXPORTER", ["otlp", "console", "none"]);
  const endpoint = reader.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") ?? reader.text("OTEL_EXPORTER_OTLP_ENDPOINT");
  const isOn = exporter === undefined ? endpoint !== undefined : exporter !== "none";
  const settings = isOn ? readSettings(reader, exporter === "console") : null;
  if (reader.faults.length > 0) throw new ConfigError("environment", reader.faults);
  return settings;
}

function readSettings(reader: Reader, toLog: boolean): TraceExport {
  const maxQueueSize = reader.whole("OTEL_BSP_MAX_QUEUE_SIZE", 2048);
  const maxExportBatchSize = reader.whole("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", Math.min(512, maxQueueSize));
  if (maxExportBatchSize > maxQueueSize)
    reader.report("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "must not be above OTEL_BSP_MAX_QUEUE_SIZE");
  const resourceAttributes = reader.pairs("OTEL_RESOURCE_ATTRIBUTES");
  return {
    to: toLog ? "log" : readTarget(reader),
    sampler: readSampler(reader),
    serviceName: reader.text("OTEL_SERVICE_NAME") ?? resourceAttributes["service.name"] ?? SERVICE_NAME,
    resourceAttributes,
    batch: {
      scheduledDelayMillis: reader.whole("OTEL_BSP_SCHEDULE_DELAY", 5000),
      exportTimeoutMillis: reader.whole("OTEL_BSP_EXPORT_TIMEOUT", 30_000),
      maxQueueSize,
      maxExportBatchSize,
    },
  };
}

function readTarget(reader: Reader): OtlpTarget {
  readProtocol(reader);
  const headers = { ...reader.headers(`${OTLP}HEADERS`), ...reader.headers(`${OTLP}TRACES_HEADERS`) };
  const either = <Value>(read: (name: string) => Value | undefined, name: string) =>
    read(`${OTLP}TRACES_${name}`) ?? read(`${OTLP}${name}`);
  return {
    url: readUrl(reader),
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, new Secret(value)])),
    timeoutMs: either((name) => reader.whole(name), "TIMEOUT") ?? 10_000,
    compression: either((name) => reader.choice(name, ["none", "gzip"]), "COMPRESSION") ?? "none",
  };
}

const OTLP = "OTEL_EXPORTER_OTLP_";

function readProtocol(reader: Reader): void {
  for (const name of [`${OTLP}TRACES_PROTOCOL`, `${OTLP}PROTOCOL`]) {
    const protocol = reader.text(name);
    if (protocol === undefined) continue;
    if (protocol !== "http/protobuf")
      reader.report(name, "must be http/protobuf, the one that is spoken here; a collector takes it on port 4318");
    return;
  }
}

/** The one for traces is taken as it is, the one for all has a path put behind it (OpenTelemetry Protocol Exporter, Endpoint URLs). */
function readUrl(reader: Reader): string {
  const own = reader.url(`${OTLP}TRACES_ENDPOINT`);
  if (own !== undefined) return own.href;
  const common = reader.url(`${OTLP}ENDPOINT`) ?? new URL(DEFAULT_ENDPOINT);
  common.pathname = `${common.pathname.replace(/\/$/, "")}/${TRACES_PATH}`;
  return common.href;
}

function readSampler(reader: Reader): TraceSampler {
  const plain = ["always_on", "always_off", "traceidratio"] as const;
  const names = [...plain, ...plain.map((name) => `parentbased_${name}` as const)];
  const name = reader.choice("OTEL_TRACES_SAMPLER", names) ?? "parentbased_always_on";
  const isParentBased = name.startsWith("parentbased_");
  if (name.endsWith("ratio")) return { root: reader.share("OTEL_TRACES_SAMPLER_ARG"), isParentBased };
  return { root: name.endsWith("on") ? 1 : 0, isParentBased };
}

/** Reads variables, and keeps what is wrong with them. One that is empty is as one that is not set. */
class Reader {
  readonly faults: Fault[] = [];

  constructor(private readonly env: Environment) {}

  report(path: string, message: string): void {
    this.faults.push({ path, message });
  }

  text(name: string): string | undefined {
    return this.env[name]?.trim() || undefined;
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const text = this.text(name);
    const chosen = choices.find((choice) => choice === text);
    if (text !== undefined && chosen === undefined) this.report(name, `must be one of ${choices.join(", ")}`);
    return chosen;
  }

  whole(name: string): number | undefined;
  whole(name: string, otherwise: number): number;
  whole(name: string, otherwise?: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return otherwise;
    if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
    this.report(name, "must be a whole number from 1 on");
    return otherwise;
  }

  /** 1 when it is not set. */
  share(name: string): number {
    const text = this.text(name) ?? "1";
    const value = /^\d*\.?\d+(e-\d+)?$/i.test(text) ? Number(text) : Number.NaN;
    if (value >= 0 && value <= 1) return value;
    this.report(name, "must be a number from 0 to 1");
    return 1;
  }

  url(name: string): URL | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const url = URL.parse(text);
    if (url === null || !["https:", "http:"].includes(url.protocol)) {
      this.report(name, "must be an address such as http://localhost:4318");
      return undefined;
    }
    if (url.username === "" && url.password === "") return url;
    this.report(
      name,
      "must not hold a user name or password; put what the collector asks for into OTEL_EXPORTER_OTLP_HEADERS",
    );
    return undefined;
  }

  /** Pairs, of which each can be sent. */
  headers(name: string): Record<string, string> {
    const headers = this.pairs(name);
    if (Object.entries(headers).every(canBeSent)) return headers;
    this.report(name, "must be names and values of HTTP headers, without line breaks or letters that no header has");
    return {};
  }

  /** Such as `key=value,other=value`, percent-encoded (W3C Baggage §3.3.1). */
  pairs(name: string): Record<string, string> {
    const parts = (this.text(name) ?? "").split(",").filter((part) => part.trim() !== "");
    const pairs: Record<string, string> = {};
    for (const part of parts) {
      const [, key, value] = /^\s*([^\s=]+)\s*=\s*(.*?)\s*$/.exec(part) ?? [];
      const decoded = value === undefined ? undefined : decode(value);
      if (key !== undefined && decoded !== undefined) pairs[key] = decoded;
      else {
        this.report(name, "must be pairs such as name=value,other=value, with percent-encoded values");
        return {};
      }
    }
    return pairs;
  }
}

function canBeSent([name, value]: readonly [string, string]): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
