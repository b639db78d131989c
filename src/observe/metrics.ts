import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

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

  readonly tokensIssued = new Counter({
    name: "gateway_tokens_issued_total",
    help: "Communication tokens handed out.",
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

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  /** A gauge that is read when the metrics are; one that cannot be read is left out. */
  observe(name: string, help: string, read: () => Promise<number>): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      async collect() {
        try {
          this.set(await read());
        } catch {
          this.reset();
        }
      },
    });
  }

  readonly contentType = this.#registry.contentType;

  /** Prometheus text exposition. */
  async render(): Promise<string> {
    return await this.#registry.metrics();
  }
}
