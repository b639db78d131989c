/**
 * The gateway, put together: makes every part, wires it and closes it again. The only place that knows which concrete
 * part stands behind an interface.
 */
import { Authenticator } from "./auth/authenticator.js";
import { Dpop } from "./auth/dpop.js";
import { DpopNonces } from "./auth/dpop-nonces.js";
import { FAILURE_REASONS } from "./auth/failure.js";
import type { Config } from "./config/config.js";
import { auditAgeMs, type Closers, startRetention } from "./gateway-audit.js";
import { type BaseOptions, closeAll, connect, openRecords, startWorkers } from "./gateway-base.js";
import { readManifestFile } from "./graphql/manifest.js";
import { createSchema, type Services } from "./graphql/schema.js";
import { createGraphqlServer } from "./graphql/server.js";
import { traceRootFields } from "./graphql/trace-fields.js";
import { uniteManifests } from "./graphql/trusted-documents.js";
import { fixedHeaders } from "./http/answer.js";
import { CallerCheck } from "./http/caller-check.js";
import { Contexts } from "./http/contexts.js";
import { withCors } from "./http/cors.js";
import { GraphqlEndpoint } from "./http/graphql-endpoint.js";
import { Load } from "./http/load.js";
import { Proxies } from "./http/proxies.js";
import { type Dependency, Readiness } from "./http/readiness.js";
import { getOnly, type Handler, type Routes } from "./http/routes.js";
import { type Listener, listen } from "./http/server.js";
import { Streams } from "./http/streams.js";
import { createRefusal } from "./http/too-much.js";
import { Turns } from "./http/turns.js";
import { WebSocketEndpoint } from "./http/web-socket-endpoint.js";
import { AuditAccess } from "./identities/audit-access.js";
import { IdentityLifecycle } from "./identities/lifecycle.js";
import { Operations } from "./identities/operations.js";
import { Provisioning } from "./identities/provisioning.js";
import { Revocation } from "./identities/revocation.js";
import { noteKeys } from "./key-checks.js";
import { Limits } from "./limits/limits.js";
import type { Metrics } from "./observe/metrics.js";
import { rememberingEntitlements } from "./policy/policy.js";
import { memoryByteCache } from "./shared/byte-cache-memory.js";
import { redisByteCache } from "./shared/byte-cache-redis.js";
import { memorySingleUse } from "./shared/single-use-memory.js";
import { redisSingleUse } from "./shared/single-use-redis.js";
import { CACHE_OUTCOMES, TokenCache } from "./tokens/cache.js";
import { TeamsExchange } from "./tokens/exchange.js";
import { TokenIssuance } from "./tokens/issue.js";
import { RowMemory } from "./tokens/row-memory.js";
import { createSeal, noSeal } from "./tokens/seal.js";

export interface Gateway {
  /** Public address, such as http://127.0.0.1:4000. */
  readonly url: string;
  /** Address of health and metrics. */
  readonly adminUrl: string;
  /** What has been promised and is still to be done at the service, by any instance: for a host that may sleep meanwhile. */
  pendingWork(): Promise<number>;
  /** Answers what is under way, then closes everything. */
  close(): Promise<void>;
}

export interface GatewayOptions extends BaseOptions {
  /** More public paths, such as the explorer that `dev` adds. */
  readonly routes?: Routes;
}

/** Resolves when the gateway listens. Throws a `StartError` when it cannot start. */
export async function startGateway(config: Config, options: GatewayOptions): Promise<Gateway> {
  const closers: Closers = [];
  const close = () => closeAll(closers);
  try {
    const parts = await openParts(config, options, closers);
    const authenticator = createAuthenticator(parts);
    const turns = new Turns(ofThisProcess);
    const load = watchLoad(parts, turns, closers);
    const frontDoor = { authenticator, load, turns };
    const endpoints = await createEndpoints(parts, frontDoor, closers);
    const readiness = createReadiness(parts, frontDoor);
    const [publicListener, adminListener] = await listenOnBoth(parts, endpoints, readiness, options.routes);
    // Health stays reachable, and says that the gateway is draining, until the last request is answered.
    closers.push(
      () => adminListener.close(),
      async () => {
        // Which takes nothing new from the first moment on, and waits for those that the other ends.
        await Promise.all([publicListener.close(), endStreams(endpoints)]);
      },
    );
    return {
      url: publicListener.url,
      adminUrl: adminListener.url,
      pendingWork: () => parts.store.work.count(),
      close: () => {
        readiness.drain();
        return close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** For who asks before a start: how many trusted documents these manifests have. Throws a `StartError` as the start would. */
export async function countDocuments(files: readonly string[], settings: Config["graphql"]): Promise<number> {
  return uniteManifests(files.map(readManifestFile), await createSchema(), settings).size;
}

/** What the rest is made of. */
type Parts = Awaited<ReturnType<typeof openParts>>;

async function openParts(config: Config, options: GatewayOptions, closers: Closers) {
  const records = await openRecords(config, options, closers);
  const { now, metrics, events, store, keys } = records;
  if (store.schema === "newer") events.schemaIsNewer();
  await noteKeys(store.keyChecks, keys, (name) => events.keyIsAnother(name));
  const { attempts, work, listing } = store;
  metrics.observe("gateway_provisioning_attempts_in_doubt", () => attempts.countInDoubt(now()));
  metrics.observe("gateway_service_work_pending", () => work.count());
  metrics.observe("gateway_service_work_oldest_seconds", async () => secondsSince(await work.oldest(), now()));
  metrics.observe("gateway_audit_unlisted", () => listing.count());
  startRetention(records, options, closers);
  const connected = await connect(records, options.redisPrefix, closers);
  const observe = (error: unknown) => events.limitCountedHere(error);
  const limits = new Limits({ config: config.limits, key: keys.auditKey, redis: connected.redis, now, observe });
  return { ...connected, limits };
}

/** 0 for what has not begun. */
function secondsSince(began: number | undefined, now: number): number {
  return began === undefined ? 0 : Math.max(0, now - began) / 1000;
}

/** Requests that may wait for a key that issuers may have made since; a quarter of `maxRequests` if that is fewer. */
const MOST_WAITING_FOR_KEYS = 500;

/** Where none of an issuer's keys serve, all of its callers wait; with other issuers there are places left for theirs. */
function mostWaiting({ issuers, server: { maxRequests } }: Config) {
  const forOne = Math.min(MOST_WAITING_FOR_KEYS, Math.ceil(maxRequests / 4));
  return { forOne, forAny: issuers.length > 1 ? Math.ceil(maxRequests / 2) : maxRequests };
}

function createAuthenticator({ config, now, elapsed, events, metrics, keys, redis, tracing }: Parts): Authenticator {
  const { issuers, auth } = config;
  const nonces = new DpopNonces(keys.cacheKeys, now);
  const used = redis ? redisSingleUse(redis, "proofs") : memorySingleUse({ maxEntries: auth.rememberedProofs, now });
  const authenticator = new Authenticator({
    issuers,
    settings: auth,
    mostWaiting: mostWaiting(config),
    dpop: new Dpop({ used, nonces, now }),
    nonces,
    now,
    elapsed,
    observeFetch: (...fetched) => events.issuerKeysFetched(...fetched),
    tracing,
  });
  metrics.begin(metrics.authenticationFailures, "reason", FAILURE_REASONS);
  metrics.beginIssuers(issuers.map(({ issuer }) => issuer));
  metrics.observeIssuers("gateway_issuer_keys_age_seconds", () =>
    authenticator.keyAges().map(({ issuer, milliseconds }) => ({ issuer, value: milliseconds / 1000 })),
  );
  return authenticator;
}

/** A monotonic clock in ms, never a test's: load is judged by real time. */
const ofThisProcess = () => performance.now();

function watchLoad({ config: { server }, events, metrics }: Parts, turns: Turns, closers: Closers): Load {
  const { maxRequests, unreadyAtPercent } = server;
  const load = new Load({
    maxRequests,
    unreadyAtPercent,
    requestTimeoutMs: server.requestTimeoutSeconds * 1000,
    unread: () => turns.unread,
    elapsed: ofThisProcess,
    watcher: events,
  });
  const stop = load.watch();
  closers.push(async () => stop());
  metrics.observe("gateway_requests_under_way", async () => load.underWay);
  metrics.observe("gateway_connections_unread", async () => turns.unread);
  return load;
}

/** What the two ends of a request have in common. */
interface FrontDoor {
  readonly authenticator: Authenticator;
  readonly load: Load;
  readonly turns: Turns;
}

async function createEndpoints(
  parts: Parts,
  { authenticator, load, turns }: FrontDoor,
  closers: Closers,
): Promise<Endpoints> {
  const { config, now, random, events, metrics, store, limits, tracing } = parts;
  const settings = config.graphql;
  const schema = await openSchema(createServices(parts, closers), settings);
  if (tracing) traceRootFields(schema, tracing);
  const manifests = settings.trustedDocuments.manifests.map(readManifestFile);
  const server = await createGraphqlServer({
    schema,
    settings,
    manifests,
    events,
    onGivenUp: (work) => load.stay(work),
  });
  closers.push(() => server.stop());
  const proxies = new Proxies(config.server.proxies);
  const { publicUrl, corsOrigins: origins } = config.server;
  const contexts = new Contexts({
    entitlementsOf: rememberingEntitlements(config.policy.rules),
    identities: store.identities,
    requestTimeoutMs: config.server.requestTimeoutSeconds * 1000,
  });
  const { atOnce: most, perUser: mostPerUser } = settings.subscriptions;
  const callerCheck = new CallerCheck({ authenticator, limits, proxies, events, publicUrl });
  const streams = new Streams({ most, mostPerUser, callerCheck, now });
  metrics.observe("gateway_streams_open", async () => streams.count);
  const common = { server, callerCheck, contexts, streams, limits, load, events, tracing };
  const clientTimeoutMs = config.server.clientTimeoutSeconds * 1000;
  const keepAliveMs = config.server.keepAliveSeconds * 1000;
  return {
    graphql: new GraphqlEndpoint({ ...common, turns, refusal: createRefusal(random) }),
    sockets: new WebSocketEndpoint({ ...common, origins, clientTimeoutMs, keepAliveMs, mostPerUser, now }),
    streams,
  };
}

async function endStreams({ streams, sockets }: Endpoints): Promise<void> {
  sockets.refuseMore();
  await streams.close();
  await sockets.close();
}

/** The two ways to the API, and what both may keep open. */
interface Endpoints {
  readonly graphql: GraphqlEndpoint;
  readonly sockets: WebSocketEndpoint;
  readonly streams: Streams;
}

async function openSchema(services: Services, { federation }: Config["graphql"]) {
  const schema = await createSchema(services);
  if (!federation) return schema;
  const { asSubgraph } = await import("./graphql/federation.js");
  return asSubgraph(schema);
}

function createServices(parts: Parts, closers: Closers): Services {
  const { config, now, random, events, store, hashUser, feed, audit, service, leaseMs, limits } = parts;
  const { identities, attempts, work } = store;
  const { onLostIdentity } = config.acs;
  const { eraser, worker } = startWorkers(parts, closers);
  const mostAtOnce = config.tokens.mintsAtOnce;
  const provisioning = new Provisioning({ identities, attempts, service, audit, events, now, leaseMs, mostAtOnce });
  closers.push(() => provisioning.finish());
  const cache = createTokenCache(parts);
  const common = { identities, audit, events, now };
  const issuing = { ...common, work, service, provisioning, cache, limits, random, onLostIdentity };
  const rows = store.audit.takesPremises ? new RowMemory(config.tokens.cacheSize) : undefined;
  const issuers = config.issuers.map(({ issuer }) => issuer);
  return {
    issuance: new TokenIssuance({ ...issuing, rows }),
    teams: new TeamsExchange({ ...common, service, limits, random }),
    revocation: new Revocation({ ...common, work, worker, limits }),
    operations: new Operations({ attempts, work, now }),
    audit: new AuditAccess({ trail: store.auditReader, feed, maxAgeMs: auditAgeMs(config), now }),
    lifecycle: new IdentityLifecycle({ ...common, provisioning, worker, eraser, hashUser, issuers }),
  };
}

/** In memory it is this process's own; what goes to Redis is sealed. */
function createTokenCache({ config, now, events, metrics, keys, redis, service }: Parts): TokenCache {
  metrics.begin(metrics.tokenCache, "outcome", CACHE_OUTCOMES);
  const { cacheSize: maxEntries, mintsAtOnce } = config.tokens;
  return new TokenCache({
    bytes: redis ? redisByteCache(redis, "tokens") : memoryByteCache({ maxEntries, now }),
    seal: redis ? createSeal(keys.cacheKeys) : noSeal,
    credentialId: () => service.credentialId,
    mintsAtOnce,
    now,
    observe: (outcome, error) => events.tokenCacheAsked(outcome, error),
  });
}

function createReadiness(
  { config, elapsed, store, service, sinks, redis }: Parts,
  { authenticator, load }: FrontDoor,
): Readiness {
  const optional = config.server.unreadyWithout === "store";
  const dependencies: Dependency[] = [
    { name: "store", check: () => store.check() },
    ...(config.audit.sinks.some(({ required }) => required)
      ? [{ name: "audit-sinks", check: async () => sinks.check() }]
      : []),
    { name: "communication-services", optional, check: (deadline) => service.check(deadline) },
    ...authenticator.checks().map(({ issuer, check }) => ({ name: `issuer ${issuer}`, optional, check })),
  ];
  if (redis) dependencies.push({ name: "redis", optional: true, check: () => redis.check() });
  return new Readiness({ dependencies, elapsed, isOverloaded: () => load.isOverloaded });
}

async function listenOnBoth(
  { config, events, metrics }: Parts,
  endpoints: Endpoints,
  readiness: Readiness,
  moreRoutes: Routes = new Map(),
): Promise<[Listener, Listener]> {
  const { server } = config;
  const health = (withProblems: boolean) =>
    onlyRead([
      ["/health/live", live],
      ["/health/ready", () => readiness.answer({ withProblems })],
    ]);
  const graphql: Handler = (request, requestId) => endpoints.graphql.handle(request, requestId);
  const publicRoutes = new Map([
    ["/graphql", withCors(server.corsOrigins, graphql)],
    ...health(false),
    ...onlyRead(moreRoutes),
  ]);
  const adminRoutes = new Map([...onlyRead([["/metrics", () => renderMetrics(metrics)]]), ...health(true)]);
  const common = {
    clientTimeoutMs: server.clientTimeoutSeconds * 1000,
    keepAliveMs: server.keepAliveSeconds * 1000,
    maxConnections: server.maxConnections,
    fixedHeaders: fixedHeaders(server.publicUrl),
    onRefused: (what: number | "dropped") => events.connectionRefused(what),
    onFailure: (requestId: string, error: unknown) => events.requestFailed(requestId, error),
  };
  const { host, port, admin } = server;
  const publicListener = await listen({
    ...common,
    host,
    port,
    portVariable: "PORT",
    routes: publicRoutes,
    upgrades: endpoints.sockets,
  });
  try {
    const adminListener = await listen({ ...common, ...admin, portVariable: "ADMIN_PORT", routes: adminRoutes });
    return [publicListener, adminListener];
  } catch (error) {
    await publicListener.close();
    throw error;
  }
}

function onlyRead(routes: Iterable<readonly [string, Handler]>): [string, Handler][] {
  return [...routes].map(([path, handler]) => [path, getOnly(handler)]);
}

const live: Handler = async () => ({
  status: 200,
  headers: { "content-type": "application/json; charset=utf-8" },
  body: '{"status":"live"}',
});

async function renderMetrics(metrics: Metrics) {
  return { status: 200, headers: { "content-type": metrics.contentType }, body: await metrics.render() };
}
