/**
 * The gateway, put together: makes every part, wires it and closes it again. The only place that knows which concrete
 * part stands behind an interface.
 */
import { connectAzureService } from "./acs/service-azure.js";
import { Verifier } from "./auth/verifier.js";
import type { Config } from "./config/config.js";
import { createSchema } from "./graphql/schema.js";
import { createGraphqlServer } from "./graphql/server.js";
import { GraphqlEndpoint } from "./http/graphql-endpoint.js";
import { Readiness } from "./http/readiness.js";
import { type Handler, type Listener, listen, type Routes } from "./http/server.js";
import type { ApplicationUser } from "./identities/identity.js";
import { IdentityLifecycle } from "./identities/lifecycle.js";
import { Operations } from "./identities/operations.js";
import { Provisioning } from "./identities/provisioning.js";
import { Revocation } from "./identities/revocation.js";
import { ServiceWorker } from "./identities/service-worker.js";
import { hashUser as keyedUserHash } from "./identities/user-hash.js";
import { openKeys } from "./keys.js";
import { Limits } from "./limits/limits.js";
import { Events } from "./observe/events.js";
import type { Logger } from "./observe/logger.js";
import { Metrics } from "./observe/metrics.js";
import { memoryByteCache } from "./shared/byte-cache-memory.js";
import { redisByteCache } from "./shared/byte-cache-redis.js";
import type { RedisConnection } from "./shared/redis.js";
import { openStore } from "./store/store.js";
import { TokenCache } from "./tokens/cache.js";
import { TeamsExchange } from "./tokens/exchange.js";
import { TokenIssuance } from "./tokens/issue.js";
import { createSeal, noSeal } from "./tokens/seal.js";

export interface Gateway {
  /** Public address, such as http://127.0.0.1:4000. */
  readonly url: string;
  /** Address of health and metrics. */
  readonly adminUrl: string;
  /** Answers what is under way, then closes everything. */
  close(): Promise<void>;
}

export interface GatewayOptions {
  readonly logger: Logger;
  /** ms since 1970; the system's clock unless a test brings its own. */
  readonly now?: () => number;
  /** 0 ≤ x < 1 */
  readonly random?: () => number;
  /** More public paths, such as the explorer that `dev` adds. */
  readonly routes?: Routes;
}

/** How much longer than a call to the service a lease on it lasts. */
const LEASE_MARGIN_MS = 5000;

/** Resolves when the gateway listens. Throws a `StartError` when it cannot start. */
export async function startGateway(config: Config, options: GatewayOptions): Promise<Gateway> {
  const { logger, now = Date.now, random = Math.random } = options;
  const metrics = new Metrics();
  const events = new Events(logger, metrics);
  const store = await openStore(config.store);
  const closers: (() => Promise<void>)[] = [() => store.close()];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const { identities, attempts, work } = store;
    const leaseMs = config.acs.timeoutSeconds * 1000 + LEASE_MARGIN_MS;
    const keys = openKeys(config);
    const hashUser = (user: ApplicationUser) => keyedUserHash(user, keys.auditKey);
    const redis = await openRedis(config, events);
    if (redis) closers.push(() => redis.close());
    const cache = new TokenCache({
      bytes: redis ? redisByteCache(redis, "tokens") : memoryByteCache({ maxEntries: config.tokens.cacheSize, now }),
      seal: redis ? createSeal(keys.cacheKeys) : noSeal,
      now,
      observe: (outcome, error) => events.tokenCacheAsked(outcome, error),
    });
    const service = await connectAzureService({
      access: config.acs,
      timeoutMs: config.acs.timeoutSeconds * 1000,
      observe: (...call) => events.serviceCalled(...call),
    });
    const verifier = new Verifier(config.issuers, now);
    const limits = new Limits(config.limits);
    const worker = new ServiceWorker({ work, service, events, now, random, leaseMs, hashUser });
    worker.start();
    closers.push(() => worker.stop());
    metrics.observe("gateway_provisioning_attempts_in_doubt", "Attempts whose outcome nobody knows.", () =>
      attempts.countInDoubt(now()),
    );
    metrics.observe(
      "gateway_service_work_pending",
      "Revocations and deletions that the service has yet to carry out.",
      () => work.count(),
    );
    const provisioning = new Provisioning({ identities, attempts, service, events, now, leaseMs });
    const revocation = new Revocation({ identities, worker, events, now });
    const schema = await createSchema({
      issuance: new TokenIssuance({
        identities,
        work,
        service,
        provisioning,
        cache,
        limits,
        events,
        now,
        random,
        onLostIdentity: config.acs.onLostIdentity,
      }),
      teams: new TeamsExchange({ identities, service, limits, now, random }),
      revocation,
      operations: new Operations({ attempts, work, now }),
      lifecycle: new IdentityLifecycle({
        identities,
        provisioning,
        worker,
        events,
        now,
        hashUser,
        issuers: config.issuers.map(({ issuer }) => issuer),
      }),
    });
    const server = await createGraphqlServer({ schema, settings: config.graphql, events });
    closers.push(() => server.stop());
    const endpoint = new GraphqlEndpoint({
      server,
      verifier,
      rules: config.policy.rules,
      limits,
      identities,
      events,
      requestTimeoutMs: config.server.requestTimeoutSeconds * 1000,
    });
    const readiness = new Readiness(
      [
        { name: "store", check: () => store.check() },
        { name: "communication-services", check: (deadline) => service.check(deadline) },
        ...(redis ? [{ name: "redis", optional: true, check: () => redis.check() }] : []),
        ...verifier.checks().map(({ issuer, check }) => ({ name: `issuer ${issuer}`, check })),
      ],
      now,
    );
    const health: [string, Handler][] = [
      ["/health/live", live],
      ["/health/ready", () => readiness.answer()],
    ];
    const listeners = await listenOnBoth(config, events, {
      public: new Map([
        ["/graphql", (request, id) => endpoint.handle(request, id)],
        ...health,
        ...(options.routes ?? []),
      ]),
      admin: new Map<string, Handler>([["/metrics", () => renderMetrics(metrics)], ...health]),
    });
    const [publicListener, adminListener] = listeners;
    // Health stays reachable, and says that the gateway is draining, until the last request is answered.
    closers.push(
      () => adminListener.close(),
      () => publicListener.close(),
    );
    return {
      url: publicListener.url,
      adminUrl: adminListener.url,
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

/** Loads the client only when there is a Redis. */
async function openRedis({ redis: { url } }: Config, events: Events): Promise<RedisConnection | undefined> {
  if (url === null) return undefined;
  const { connectRedis } = await import("./shared/redis.js");
  return connectRedis({ url, onLost: (error) => events.redisLost(error), onBack: () => events.redisBack() });
}

const live: Handler = async () => ({
  status: 200,
  headers: { "content-type": "application/json; charset=utf-8" },
  body: '{"status":"live"}',
});

async function renderMetrics(metrics: Metrics) {
  return { status: 200, headers: { "content-type": metrics.contentType }, body: await metrics.render() };
}

async function listenOnBoth(
  { server }: Config,
  events: Events,
  routes: { readonly public: Routes; readonly admin: Routes },
): Promise<[Listener, Listener]> {
  const onFailure = (requestId: string, error: unknown) => events.requestFailed(requestId, error);
  const { admin } = server;
  const publicListener = await listen({ ...server, portVariable: "PORT", routes: routes.public, onFailure });
  try {
    const adminListener = await listen({ ...admin, portVariable: "ADMIN_PORT", routes: routes.admin, onFailure });
    return [publicListener, adminListener];
  } catch (error) {
    await publicListener.close();
    throw error;
  }
}
