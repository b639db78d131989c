import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { AUDIT_ACTIONS } from "../audit/record.js";
import { ERROR_CODES } from "../errors.js";
import { inTime } from "../in-time.js";

/** What is read when the metrics are. */
const GAUGES = {
  gateway_requests_under_way: "GraphQL requests under way.",
  gateway_connections_unread:
    "Connections that have an answer and are not read for up to a second, as too many requests wait for their turn. Each may have one more request.",
  gateway_streams_open: "Answers that go on: subscriptions.",
  gateway_provisioning_attempts_in_doubt:
    "Attempts to provision an identity whose outcome nobody knows. Of the database: the same in each instance.",
  gateway_service_work_pending:
    "Revocations and deletions yet to be carried out at the service. Of the database: the same in each instance.",
  gateway_service_work_oldest_seconds:
    "How long the oldest of the revocations and deletions has been waiting that are yet to be carried out; 0 when there is none. Of the database: the same in each instance.",
  gateway_service_breaker_open:
    "Whether calls for identities and their tokens are held back, for most of them fail: 0 no, 1 yes.",
  gateway_service_teams_breaker_open:
    "Whether exchanges of Teams users' tokens are held back, for most of them fail: 0 no, 1 yes.",
  gateway_service_concurrency_limit: "Calls to the service that may be under way.",
  gateway_service_calls_under_way: "Calls to the service under way.",
  gateway_service_calls_waiting: "Calls that wait for the service.",
  gateway_audit_lag_seconds:
    "How long the oldest event has been waiting to be written to the audit trail, with the answer that waits for it; 0 when none is.",
  gateway_audit_unlisted:
    "Audit records that are durable and yet to be listed by user, identity and token (SQLite). Of the database: the same in each instance.",
} as const satisfies Record<string, string>;

/** The same for each issuer. */
const ISSUER_GAUGES = {
  gateway_issuer_keys_age_seconds: "Since the issuer's keys that are in use were fetched; absent until they are.",
} as const satisfies Record<string, string>;

interface Reading {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface IssuerReading {
  readonly issuer: string;
  readonly value: number;
}

/** What a metric is, without its values. */
interface MetricAbout {
  readonly name: string;
  readonly help: string;
  /** counter, gauge, histogram, summary */
  readonly type: string;
  readonly labels: readonly string[];
}

/** For one to be read. Whoever scrapes waits for the slowest, and has to see the others when the database hangs. */
const READ_MS = 1000;

/** Every metric of the gateway, in a registry of its own, so that several gateways can live in one process. */
export class Metrics {
  readonly #registry = new Registry();

  readonly requests = new Counter({
    name: "gateway_requests_total",
    help: "GraphQL requests answered, by error code (OK when there was none).",
    labelNames: ["code"],
    registers: [this.#registry],
  });

  readonly requestsShed = new Counter({
    name: "gateway_requests_shed_total",
    help: "GraphQL requests that were not begun, and are not among those answered, by reason: full (too many under way), late (read when half of its time may have been over).",
    labelNames: ["reason"],
    registers: [this.#registry],
  });

  readonly requestSeconds = new Histogram({
    name: "gateway_request_duration_seconds",
    help: "Time from the head of a GraphQL request to its answer.",
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.#registry],
  });

  readonly authenticationFailures = new Counter({
    name: "gateway_authentication_failures_total",
    help: "Requests whose caller did not authenticate, by reason.",
    labelNames: ["reason"],
    registers: [this.#registry],
  });

  readonly issuerKeyFetches = new Counter({
    name: "gateway_issuer_key_fetches_total",
    help: "Fetches of an issuer's keys, by outcome.",
    labelNames: ["issuer", "outcome"],
    registers: [this.#registry],
  });

  readonly connectionRefusals = new Counter({
    name: "gateway_connection_refusals_total",
    help: "What was refused before there was a request: connections dropped for want of room, and malformed or slow requests by status.",
    labelNames: ["what"],
    registers: [this.#registry],
  });

  readonly tokensRefused = new Counter({
    name: "gateway_tokens_refused_total",
    help: "Tokens that were asked for and refused, by the code that the caller was told.",
    labelNames: ["reason"],
    registers: [this.#registry],
  });

  readonly auditEvents = new Counter({
    name: "gateway_audit_events_total",
    help: "What was recorded in the audit trail as done or refused, by action: TOKEN_ISSUED, TOKEN_REUSED, TOKEN_REFUSED and so on.",
    labelNames: ["action"],
    registers: [this.#registry],
  });

  readonly tokenCache = new Counter({
    name: "gateway_token_cache_total",
    help: "Look-ups in the token cache, by outcome.",
    labelNames: ["outcome"],
    registers: [this.#registry],
  });

  readonly limitsCountedHere = new Counter({
    name: "gateway_limits_counted_here_total",
    help: "Takes from a budget that this instance counted by itself because Redis could not be asked.",
    registers: [this.#registry],
  });

  readonly serviceCalls = new Counter({
    name: "gateway_service_calls_total",
    help: "Calls to Communication Services, by operation and outcome.",
    labelNames: ["operation", "outcome"],
    registers: [this.#registry],
  });

  readonly serviceCallSeconds = new Histogram({
    name: "gateway_service_call_duration_seconds",
    help: "How long calls to Communication Services took that were made, by operation.",
    labelNames: ["operation"],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.#registry],
  });

  readonly serviceCallsRepeated = new Counter({
    name: "gateway_service_calls_repeated_total",
    help: "Calls to Communication Services that were made once more after a failure, by operation.",
    labelNames: ["operation"],
    registers: [this.#registry],
  });

  readonly serviceCallsShed = new Counter({
    name: "gateway_service_calls_shed_total",
    help: "Calls to Communication Services that were not begun, by operation and reason: breaker, full (the queue), tooLate (no time left), left (the caller's time was up).",
    labelNames: ["operation", "reason"],
    registers: [this.#registry],
  });

  readonly serviceHolds = new Counter({
    name: "gateway_service_holds_total",
    help: "Times that all calls of an operation had to wait, by reason: pace (the resource's limit), retryAfter (the service asked for it).",
    labelNames: ["operation", "reason"],
    registers: [this.#registry],
  });

  readonly buildInfo = new Gauge({
    name: "gateway_build_info",
    help: "1, with the version of the gateway that runs.",
    labelNames: ["version"],
    registers: [this.#registry],
  });

  readonly auditRecords = new Counter({
    name: "gateway_audit_records_total",
    help: "Records written to the audit trail.",
    registers: [this.#registry],
  });

  readonly auditWrites = new Counter({
    name: "gateway_audit_writes_total",
    help: "Writes to the audit trail, each of one record or more, by outcome.",
    labelNames: ["outcome"],
    registers: [this.#registry],
  });

  readonly untrustedDocuments = new Counter({
    name: "gateway_untrusted_documents_total",
    help: "Documents that are in no manifest of trusted ones, by outcome: run or refused.",
    labelNames: ["outcome"],
    registers: [this.#registry],
  });

  readonly accessKeySwitches = new Counter({
    name: "gateway_access_key_switches_total",
    help: "Times that the service refused the access key in use and took the other one.",
    registers: [this.#registry],
  });

  readonly auditCheckpoints = new Counter({
    name: "gateway_audit_checkpoints_total",
    help: "Signed checkpoints of the audit trail, by outcome: ok or failed.",
    labelNames: ["outcome"],
    registers: [this.#registry],
  });

  readonly auditDropped = new Counter({
    name: "gateway_audit_dropped_total",
    help: "Audit records dropped for their age.",
    registers: [this.#registry],
  });

  readonly auditKept = new Counter({
    name: "gateway_audit_kept_total",
    help: "Times that records of a chain were old enough to be dropped and stayed, for the chain is not whole.",
    registers: [this.#registry],
  });

  readonly auditSinkLost = new Counter({
    name: "gateway_audit_sink_lost_total",
    help: "Audit records that are in the database and will never be in this sink.",
    labelNames: ["to"],
    registers: [this.#registry],
  });

  readonly spansSent = new Counter({
    name: "gateway_trace_spans_sent_total",
    help: "Spans of traces that were taken by whoever collects them.",
    registers: [this.#registry],
  });

  readonly spansLost = new Counter({
    name: "gateway_trace_spans_lost_total",
    help: "Spans of traces that were lost, by reason: full (more ended than could be sent), refused (not taken, or not in time).",
    labelNames: ["reason"],
    registers: [this.#registry],
  });

  readonly #reads = new Map<string, () => Promise<readonly Reading[]>>();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    for (const [name, help] of Object.entries(GAUGES)) this.#gauge(name, help, []);
    for (const [name, help] of Object.entries(ISSUER_GAUGES)) this.#gauge(name, help, ["issuer"]);
    this.#begin();
  }

  /**
   * Each series of a closed set is there from the start, at 0: one that is born at 1 has not grown, to whoever watches. The codes of
   * refused tokens and the statuses of refused connections are no such sets.
   */
  #begin(): void {
    this.begin(this.requests, "code", ["OK", ...ERROR_CODES]);
    this.begin(this.requestsShed, "reason", ["full", "late"]);
    this.begin(this.auditEvents, "action", AUDIT_ACTIONS);
    this.begin(this.auditWrites, "outcome", ["ok", "failed"]);
    this.begin(this.auditCheckpoints, "outcome", ["ok", "failed"]);
    this.begin(this.untrustedDocuments, "outcome", ["run", "refused"]);
    this.begin(this.spansLost, "reason", ["full", "refused"]);
  }

  /** The same for a label whose values another part knows. */
  begin<Label extends string>(counter: Counter<Label>, label: Label, values: readonly string[]): void {
    for (const value of values) counter.labels({ [label]: value } as Record<Label, string>).inc(0);
  }

  /** The same for the operations of the service, and for what their calls are not begun. */
  beginOperations(operations: readonly string[], shedReasons: readonly string[]): void {
    this.begin(this.serviceCallsRepeated, "operation", operations);
    for (const operation of operations) {
      for (const reason of shedReasons) this.serviceCallsShed.inc({ operation, reason }, 0);
      for (const outcome of ["ok", "failed"]) this.serviceCalls.inc({ operation, outcome }, 0);
      for (const reason of ["pace", "retryAfter"]) this.serviceHolds.inc({ operation, reason }, 0);
    }
  }

  /** The same for the issuers. */
  beginIssuers(issuers: readonly string[]): void {
    for (const issuer of issuers)
      for (const outcome of ["ok", "failed"]) this.issuerKeyFetches.inc({ issuer, outcome }, 0);
  }

  /** How a gauge is read; one that cannot be read just now is left out. */
  observe(name: keyof typeof GAUGES, read: () => Promise<number>): void {
    this.#reads.set(name, async () => [{ labels: {}, value: await read() }]);
  }

  /** The same for each issuer. */
  observeIssuers(name: keyof typeof ISSUER_GAUGES, read: () => readonly IssuerReading[]): void {
    this.#reads.set(name, async () => read().map(({ issuer, value }) => ({ labels: { issuer }, value })));
  }

  #gauge(name: string, help: string, labelNames: string[]): void {
    const readings = async () => (await this.#reads.get(name)?.()) ?? [];
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      async collect() {
        const now = await inTime(readings(), READ_MS, "not read in time").catch(() => []);
        if (labelNames.length === 0) this.remove();
        else this.reset();
        for (const { labels, value } of now) this.set(labels, value);
      },
    });
  }

  /** What there is, in the order of names: with its type and what its labels are. */
  async list(): Promise<MetricAbout[]> {
    const all = await this.#registry.getMetricsAsJSON();
    return all
      .map(({ name, help, type }) => {
        const { labelNames = [] } = this.#registry.getSingleMetric(name) as unknown as { labelNames?: string[] };
        return { name, help, type: String(type), labels: labelNames.filter((label) => label !== "le") };
      })
      .sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  readonly contentType = this.#registry.contentType;

  /** Prometheus text exposition. */
  async render(): Promise<string> {
    return await this.#registry.metrics();
  }
}
