/** What the gateway and the operator's commands that change something are both made of: all but the ways to the API. */
import { AuditFeed } from "./audit/feed.js";
import { TOLD_AGAIN_MS } from "./audit/log.js";
import type { Config } from "./config/config.js";
import { secretsIn } from "./config/secrets.js";
import { type AuditOptions, type Closers, openAudit } from "./gateway-audit.js";
import { openService } from "./gateway-service.js";
import { Eraser } from "./identities/eraser.js";
import type { ApplicationUser } from "./identities/identity.js";
import { ServiceWorker } from "./identities/service-worker.js";
import { hashUser as keyedUserHash } from "./identities/user-hash.js";
import { openKeys } from "./keys.js";
import { Events } from "./observe/events.js";
import type { Logger } from "./observe/logger.js";
import { Metrics } from "./observe/metrics.js";
import { createRedact } from "./observe/redact.js";
import { tracedLog } from "./observe/traced-log.js";
import type { Tracing } from "./observe/tracing.js";
import type { RedisConnection } from "./shared/redis.js";
import { openStore } from "./store/store.js";
import { VERSION } from "./version.js";

export interface BaseOptions extends AuditOptions {
  readonly logger: Logger;
  /** ms since 1970; the system's clock unless a test brings its own. */
  readonly now?: () => number;
  /** ms by a clock that is never set, for ages; the process's own unless a test brings one. */
  readonly elapsed?: () => number;
  /** 0 ≤ x < 1 */
  readonly random?: () => number;
  /** Before every key in Redis; the gateway's own unless a test shares the server with others. */
  readonly redisPrefix?: string | undefined;
}

/** How much longer than a call to the service a lease on it lasts. */
const LEASE_MARGIN_MS = 5000;

/** What is kept, and the trail of it. */
export type Records = Awaited<ReturnType<typeof openRecords>>;

/** Throws a `StartError` when the database or the keys cannot be used. */
export async function openRecords(config: Config, options: BaseOptions, closers: Closers) {
  const { logger, now = Date.now, elapsed = () => performance.now(), random = Math.random } = options;
  const metrics = new Metrics();
  metrics.buildInfo.set({ version: VERSION }, 1);
  const { events, tracing } = await watch({ config, logger, metrics, elapsed }, closers);
  const store = await openStore(config.store, { tracing, onHeld: (reason) => events.schemaWaits(reason) });
  closers.push(() => store.close());
  const keys = openKeys(config);
  const hashUser = (user: ApplicationUser) => keyedUserHash(user, keys.auditKey);
  const feed = new AuditFeed({ trail: store.auditTail, now });
  const { audit, sinks } = await openAudit(
    { config, now, elapsed, events, metrics, store, keys, feed, tracing },
    options,
    closers,
  );
  return { config, now, elapsed, random, metrics, events, tracing, store, keys, hashUser, feed, audit, sinks };
}

/** What is recorded, and with it what the network leads to: Redis, if there is one, and the service. */
export type Connected = Awaited<ReturnType<typeof connect>>;

export async function connect(records: Records, redisPrefix: string | undefined, closers: Closers) {
  const { config, events, metrics, elapsed, random, tracing } = records;
  const redis = await openRedis(config, { events, tracing, prefix: redisPrefix });
  if (redis) closers.push(() => redis.close());
  else if (config.store.kind === "postgres") events.nothingShared();
  const service = await openService({ config, redis, events, metrics, elapsed, random, tracing });
  return { ...records, redis, service, leaseMs: config.acs.timeoutSeconds * 1000 + LEASE_MARGIN_MS };
}

/** What carries out, without any request, what has been promised: at the service and in the trail. */
export function startWorkers(connected: Connected, closers: Closers) {
  const { config, now, random, events, store, service, leaseMs, hashUser, tracing } = connected;
  const { identities, work, erasures, audit: trail } = store;
  // What a call begins may outlast it by a create and an issue at the service, with a record after each, which may be told again.
  const repeatMs = config.server.requestTimeoutSeconds * 1000 + 2 * leaseMs + TOLD_AGAIN_MS;
  const eraser = new Eraser({ identities, trail, erasures, events, now, repeatMs, hashUser });
  eraser.start();
  closers.push(() => eraser.stop());
  const worker = new ServiceWorker({ work, service, eraser, events, now, random, leaseMs, hashUser, tracing });
  worker.start();
  closers.push(() => worker.stop());
  return { eraser, worker };
}

/** In the opposite order of their opening, all of them, whatever one fails with. */
export async function closeAll(closers: Closers): Promise<void> {
  const failures: unknown[] = [];
  for (const closer of closers.splice(0).reverse()) await closer().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

interface Watching extends Required<Pick<BaseOptions, "logger" | "elapsed">> {
  readonly config: Config;
  readonly metrics: Metrics;
}

interface Watch {
  readonly events: Events;
  readonly tracing: Tracing | undefined;
}

/** What tells of the rest. OpenTelemetry is loaded only when traces are made. */
async function watch({ config, logger, metrics, elapsed }: Watching, closers: Closers): Promise<Watch> {
  const { tracing: settings } = config;
  if (settings.export === null) return { events: new Events(logger, metrics), tracing: undefined };
  const { openTracing } = await import("./observe/tracing-otel.js");
  const redact = createRedact(secretsIn(config));
  // Whoever takes the spans is told of where no trace is.
  const watcher = new Events(logger, metrics);
  const tracing = openTracing({ config: settings, settings: settings.export, redact, watcher, elapsed });
  closers.push(() => tracing.close());
  return { events: new Events(tracedLog(logger, tracing), metrics, tracing), tracing };
}

/** Loads the client only when there is a Redis. */
async function openRedis(
  { redis: { url } }: Config,
  { events, ...options }: Watch & { readonly prefix: string | undefined },
): Promise<RedisConnection | undefined> {
  if (url === null) return undefined;
  const { connectRedis } = await import("./shared/redis.js");
  const watcher = { onLost: (error: Error) => events.redisLost(error), onBack: () => events.redisBack() };
  return connectRedis({ url, ...watcher, ...options });
}
