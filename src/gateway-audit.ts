/** The audit trail, put together: where records go, what is signed of them, and how long they stay. */
import { AsyncResource } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { type CheckpointSink, Checkpoints } from "./audit/checkpoint.js";
import { addressSink, fileSink, streamSink, tryFile } from "./audit/checkpoint-sinks.js";
import type { AuditFeed } from "./audit/feed.js";
import { createFingerprint } from "./audit/fingerprint.js";
import { Lister } from "./audit/lister.js";
import { AuditLog } from "./audit/log.js";
import { BUCKET_MS } from "./audit/query.js";
import { pooled } from "./audit/random-pool.js";
import { Retention } from "./audit/retention.js";
import { FileOutput, type SinkOutput, StreamOutput } from "./audit/sink-outputs.js";
import { Sink, Sinks } from "./audit/sinks.js";
import { Trail } from "./audit/trail.js";
import type { Config } from "./config/config.js";
import { secretsIn } from "./config/secrets.js";
import { StartError } from "./errors.js";
import { waitAtMost } from "./in-time.js";
import type { Keys } from "./keys.js";
import type { Events } from "./observe/events.js";
import type { Metrics } from "./observe/metrics.js";
import { createRedact } from "./observe/redact.js";
import type { Tracing } from "./observe/tracing.js";
import type { Store } from "./store/store.js";

/**
 * How long a write of audit records is waited for, if a request has twice as much: more than a database takes that is well,
 * less than a lease's margin, as an attempt holds its lease meanwhile.
 */
const AUDIT_WRITE_MS = 3000;
/** How long an address may take for a checkpoint, and a stop for the last one, with any that is under way. */
const CHECKPOINT_POST_MS = 3000;
/** Of the seconds that a stop may take. */
const AUDIT_CLOSE_MS = 2000;
const SINK_CLOSE_MS = 1000;

/** In the order of their opening; closed in the opposite one. */
export type Closers = (() => Promise<void>)[];

interface AuditBase {
  readonly config: Config;
  readonly now: () => number;
  readonly elapsed: () => number;
  readonly events: Events;
  readonly metrics: Metrics;
  readonly store: Store;
  readonly keys: Keys;
  readonly feed: AuditFeed;
  readonly tracing: Tracing | undefined;
}

export interface AuditOptions {
  /** Instead of the trail in the database: for a benchmark of what the trail costs, and for nothing else. */
  readonly trail?: Pick<Trail, "record">;
  /** Where checkpoints and records of the audit trail go that are to be printed. */
  readonly standardOutput?: NodeJS.WritableStream;
  /** How long nothing is dropped for its age after a start, ms; a minute unless a test is in a hurry. */
  readonly retentionDelayMs?: number | undefined;
}

interface Audit {
  readonly audit: AuditLog;
  readonly sinks: Sinks;
}

export async function openAudit(base: AuditBase, options: AuditOptions, closers: Closers): Promise<Audit> {
  const { config, keys } = base;
  const checkpoints = openCheckpoints(base, options.standardOutput, closers);
  const sinks = await openSinks(base, options.standardOutput, closers);
  startLister(base, closers);
  const trail = openTrail(base, { checkpoints, sinks }, closers);
  base.metrics.observe("gateway_audit_lag_seconds", async () => trail.lagMs / 1000);
  const audit = new AuditLog({
    trail: options.trail ?? (base.tracing === undefined ? trail : traced(trail, base.tracing)),
    fingerprint: createFingerprint(keys.auditKey),
    redact: createRedact(secretsIn(config)),
    timeoutMs: writeMs(config),
    elapsed: base.elapsed,
    observe: (event) => base.events.recorded(event),
  });
  closers.push(() => audit.close(AUDIT_CLOSE_MS));
  return { audit, sinks };
}

/** With a span for how long each event waits to be durable. */
function traced(trail: Trail, tracing: Tracing): Pick<Trail, "record"> {
  return {
    record: (event, deadline, { behind, ...others } = {}) => {
      const attributes = { "gateway.audit.action": event.action, "gateway.audit.phase": event.phase };
      // What it asks is asked for this call, though the trail says when.
      const behindIt = behind && AsyncResource.bind(behind);
      const options = { behind: behindIt, ...others };
      return tracing.span({ name: "audit append", attributes }, () => trail.record(event, deadline, options));
    },
  };
}

/** Signed at intervals, and once more when the trail has written its last record, so this is opened before it. */
function openCheckpoints(
  { config, events, keys }: AuditBase,
  standardOutput: NodeJS.WritableStream | undefined,
  closers: Closers,
): Checkpoints | undefined {
  const { checkpoints: place, checkpointSeconds } = config.audit;
  if (place === null) return undefined;
  const sink = openCheckpointSink(place, standardOutput);
  const observe = (error: unknown) => events.checkpointWritten(error);
  if (place.kind === "file") void tryFile(place.file).catch(observe);
  const checkpoints = new Checkpoints({ key: keys.checkpointKey, sink, observe });
  const interval = setInterval(() => void checkpoints.flush(), checkpointSeconds * 1000);
  closers.push(async () => {
    clearInterval(interval);
    // A standard output that nobody reads never takes its line, and what is closed after must not wait for that.
    await waitAtMost(checkpoints.flush(), CHECKPOINT_POST_MS);
  });
  return checkpoints;
}

function openCheckpointSink(
  place: NonNullable<Config["audit"]["checkpoints"]>,
  standardOutput: NodeJS.WritableStream | undefined,
): CheckpointSink {
  if (place.kind === "file") return fileSink(place.file);
  if (place.kind === "address") return addressSink(place.address.reveal(), CHECKPOINT_POST_MS);
  if (standardOutput === undefined) throw new Error("there is no standard output to sign to");
  return streamSink(standardOutput);
}

/** Closed when the trail has written its last record, so they are opened before it. */
async function openSinks(
  { config, events }: AuditBase,
  standardOutput: NodeJS.WritableStream | undefined,
  closers: Closers,
): Promise<Sinks> {
  const { sinks: configured, queueSize } = config.audit;
  const opening = configured.map(async (sink) => {
    const { to, required: isRequired } = sink;
    const observe = {
      down: (error: unknown) => events.auditSinkDown(to, error),
      back: () => events.auditSinkBack(to),
      lost: (count: number) => events.auditSinkLost(to, count),
    };
    observe.lost(0);
    return new Sink({ name: to, output: await openOutput(sink, standardOutput), isRequired, queueSize, observe });
  });
  const sinks = new Sinks(await Promise.all(opening));
  closers.push(() => sinks.close(SINK_CLOSE_MS));
  return sinks;
}

async function openOutput(
  { to, required }: Config["audit"]["sinks"][number],
  standardOutput: NodeJS.WritableStream | undefined,
): Promise<SinkOutput> {
  if (to === "stdout" && standardOutput === undefined) throw new Error("there is no standard output for audit records");
  if (to === "stdout" && standardOutput) return new StreamOutput(standardOutput);
  const output = new FileOutput(to);
  await output.open().catch((error: NodeJS.ErrnoException) => {
    // A pipe whose reader is yet to come.
    if (error.code === "ENXIO" && !required) return;
    const cure = "correct audit.sinks, make its folder, or let the gateway write there; a pipe needs its reader first";
    throw new StartError(`The audit sink ${to} cannot be opened (${error.code}): ${cure}.`, { cause: error });
  });
  return output;
}

/** Stopped when the trail has written its last record, so it is started before it. */
function startLister({ events, store }: AuditBase, closers: Closers): void {
  if (!store.listing.isLater) return;
  let last = performance.eventLoopUtilization();
  const utilization = () => {
    const now = performance.eventLoopUtilization();
    const since = performance.eventLoopUtilization(now, last);
    last = now;
    return since.utilization;
  };
  const lister = new Lister({
    listing: store.listing,
    utilization,
    observe: {
      failed: (error) => events.backgroundFailed("audit listing", error),
      works: () => events.backgroundWorks("audit listing"),
    },
  });
  lister.start();
  closers.push(() => lister.stop());
}

function openTrail(
  { config, now, elapsed, events, store, feed, tracing }: AuditBase,
  { checkpoints, sinks }: { checkpoints: Checkpoints | undefined; sinks: Sinks },
  closers: Closers,
): Trail {
  const trail = new Trail({
    store: store.audit,
    sinks,
    now,
    elapsed,
    randomBytes: pooled(randomBytes),
    queueSize: config.audit.queueSize,
    writeTimeoutMs: writeMs(config),
    tracing,
    observe: {
      written: (count, end) => {
        events.auditWritten(count);
        checkpoints?.reached(end);
        feed.nudge();
      },
      failed: (count, error) => events.auditFailed(count, error),
    },
  });
  closers.push(() => trail.close(AUDIT_CLOSE_MS));
  return trail;
}

/** Drops what is old; for a gateway alone, and not for a command that has come for something else. */
export function startRetention(
  {
    config,
    now,
    elapsed,
    events,
    store,
    keys,
  }: Pick<AuditBase, "config" | "now" | "elapsed" | "events" | "store" | "keys">,
  { retentionDelayMs }: Pick<AuditOptions, "retentionDelayMs">,
  closers: Closers,
): void {
  const maxAgeMs = auditAgeMs(config);
  if (maxAgeMs === null) return;
  const retention = new Retention({
    reader: store.auditReader,
    store: store.audit,
    maxAgeMs,
    key: keys.checkpointKey,
    earlierKeys: keys.earlierCheckpointKeys,
    now,
    elapsed,
    observe: {
      dropped: (count) => events.auditDropped(count),
      kept: (fault) => events.auditKept(fault),
      failed: (error) => events.backgroundFailed("retention", error),
      works: () => events.backgroundWorks("retention"),
    },
  });
  retention.start(retentionDelayMs);
  closers.push(() => retention.stop());
}

/** How long records are kept; null: for ever. */
export function auditAgeMs({ audit: { retentionDays } }: Config): number | null {
  return retentionDays === null ? null : retentionDays * BUCKET_MS.DAY;
}

function writeMs({ server }: Config): number {
  return Math.min(AUDIT_WRITE_MS, server.requestTimeoutSeconds * 500);
}
