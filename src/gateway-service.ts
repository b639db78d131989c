import { Breaker, type BreakerName, breakerOf } from "./acs/guard/breaker.js";
import { ConcurrencyLimit } from "./acs/guard/concurrency-limit.js";
import { CALL_SHED_REASONS, Gate } from "./acs/guard/gate.js";
import { GuardedService } from "./acs/guard/guard.js";
import { budgetOf, INTERVAL_MS, Pace } from "./acs/guard/pace.js";
import { RetryBudget } from "./acs/guard/retry-budget.js";
import { type CommunicationService, SERVICE_OPERATIONS, type ServiceOperation } from "./acs/service.js";
import { connectAzureService } from "./acs/service-azure.js";
import type { Config } from "./config/config.js";
import { type Counter, withFallback } from "./limits/counter.js";
import { slidingMemoryCounter, slidingRedisCounter } from "./limits/counter-sliding.js";
import type { Events } from "./observe/events.js";
import type { Metrics } from "./observe/metrics.js";
import type { Tracing } from "./observe/tracing.js";
import type { RedisConnection } from "./shared/redis.js";

interface ServiceParts {
  readonly config: Pick<Config, "acs" | "limits">;
  readonly redis: RedisConnection | undefined;
  readonly events: Events;
  readonly metrics: Metrics;
  readonly tracing?: Tracing | undefined;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** Of the pace; shorter if a test is in a hurry. */
  readonly intervalMs?: number;
}

/** Communication Services behind its guard. */
export async function openService(parts: ServiceParts): Promise<CommunicationService> {
  const { config, events, metrics, elapsed, random, tracing } = parts;
  const { timeoutSeconds, maxConcurrency, queueSize, retryPercent } = config.acs;
  const timeoutMs = timeoutSeconds * 1000;
  const service = await connectAzureService({
    access: config.acs,
    timeoutMs,
    observe: (...call) => events.serviceCalled(...call),
    onKeySwitch: (to) => events.accessKeySwitched(to),
    tracing,
  });
  const clocks = { elapsed, random };
  const limit = new ConcurrencyLimit(maxConcurrency);
  const pace = openPace(parts, service.resource);
  const gate = new Gate({ ...clocks, limit, pace, queueSize, observe: (...shed) => events.serviceCallShed(...shed) });
  const openBreaker = (name: BreakerName) =>
    new Breaker({
      ...clocks,
      observe: (state, pauseMs) => {
        events.serviceOutage(name, state);
        if (state === "open") gate.giveUp((operation) => breakerOf(operation) === name, pauseMs);
      },
    });
  const breakers = { identities: openBreaker("identities"), teamsExchange: openBreaker("teamsExchange") };
  metrics.beginOperations(SERVICE_OPERATIONS, CALL_SHED_REASONS);
  metrics.observe("gateway_service_breaker_open", async () => Number(breakers.identities.isOpen));
  metrics.observe("gateway_service_teams_breaker_open", async () => Number(breakers.teamsExchange.isOpen));
  metrics.observe("gateway_service_concurrency_limit", async () => limit.current);
  metrics.observe("gateway_service_calls_under_way", async () => gate.underWay);
  metrics.observe("gateway_service_calls_waiting", async () => gate.waiting);
  return new GuardedService({
    ...clocks,
    service,
    breakers,
    gate,
    limit,
    budget: new RetryBudget({ percent: retryPercent, elapsed }),
    timeoutMs,
    onRepeat: (operation) => events.serviceCallRepeated(operation),
    tracing,
  });
}

/** The resource's limits are its own, so all who use it through one Redis count together; while it is away, each its part. */
function openPace(parts: ServiceParts, resource: string): Pace {
  const { config, redis, events, elapsed, intervalMs = INTERVAL_MS } = parts;
  const { percent, ...limits } = config.acs.pace;
  const forEach = <Value>(of: (operation: ServiceOperation) => Value) =>
    Object.fromEntries(SERVICE_OPERATIONS.map((operation) => [operation, of(operation)])) as Record<
      ServiceOperation,
      Value
    >;
  const budgets = forEach((operation) => budgetOf(limits[operation], percent));
  const sharers = redis === undefined ? 1 : config.limits.instances;
  const open = (operation: ServiceOperation): Counter => {
    const budget = { ...budgets[operation], intervalMs };
    if (redis === undefined) return slidingMemoryCounter({ ...budget, now: elapsed });
    const part = Math.max(1, Math.floor(budget.limit / sharers));
    return withFallback(
      slidingRedisCounter(redis, { ...budget, name: `pace:${operation}` }),
      slidingMemoryCounter({ ...budget, limit: part, lendsNothing: true, now: elapsed }),
      (error) => events.limitCountedHere(error),
    );
  };
  return new Pace({
    counters: forEach(open),
    limits: forEach((operation) => budgets[operation].limit / sharers),
    key: resource,
    elapsed,
    observe: (...held) => events.serviceHeld(...held),
  });
}
