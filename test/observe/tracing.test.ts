import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Kysely } from "kysely";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { AuditEvent } from "../../src/audit/record.js";
import { Trail } from "../../src/audit/trail.js";
import { readTraceExport } from "../../src/config/trace-export.js";
import type { RequestSummary } from "../../src/observe/events.js";
import { createRedact } from "../../src/observe/redact.js";
import type { ExportWatcher } from "../../src/observe/span-export.js";
import type { Place, Tracing } from "../../src/observe/tracing.js";
import { openTracing } from "../../src/observe/tracing-otel.js";
import { openSqlite, SqliteRows } from "../../src/store/dialect-sqlite.js";
import { traceDialect } from "../../src/store/dialect-traced.js";
import { rowsOfSqlite } from "../../src/store/identity-rows.js";
import { migrate } from "../../src/store/migrations.js";
import { openStore } from "../../src/store/store.js";
import type { Tables } from "../../src/store/tables.js";
import { Collector } from "../fixtures/collector.js";

const START = { requestId: "a-request", name: "POST /graphql", attributes: {} };
const PARENT = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
const ENDED: RequestSummary = {
  requestId: "a-request",
  status: 200,
  code: "OK",
  milliseconds: 1,
  clientName: null,
  clientVersion: null,
  operationName: null,
  operationType: null,
};

const EVENT: AuditEvent = {
  action: "TOKEN_ISSUED",
  phase: "OUTCOME",
  identityId: "idn_1",
  actor: { issuer: "https://i.example.com", subject: "alice" },
  scopes: ["CHAT"],
  tokenFingerprint: "fingerprint",
  tokenExpiresOn: 1_800_000_000_000,
  reason: null,
  requestId: "a-request",
  clientName: null,
  clientVersion: null,
};

let collector: Collector;
let tracing: Tracing;
let told: unknown[];

beforeEach(async () => {
  collector = await Collector.start();
  told = [];
  const watcher: ExportWatcher = {
    onSpansLost: (...lost) => told.push(lost),
    onSpansSent: () => {},
    onSpan: () => {},
    onWarning: (message) => told.push(message),
  };
  const settings = readTraceExport({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  if (settings === null) throw new Error("traces are off");
  const parts = { settings, watcher, redact: createRedact([]), elapsed: () => performance.now() };
  tracing = openTracing({ config: { callerTracesPerSecond: 10, export: settings }, ...parts });
});
afterEach(async () => {
  await tracing.close();
  await collector.close();
});

const sent = async (name: string) => {
  await tracing.close();
  return collector.spans.find((span) => span.name === name);
};

it("links a write to all whose records are in it, however many", async () => {
  const open = Promise.withResolvers<void>();
  const places: (Place | undefined)[] = [];
  const requests = Array.from({ length: 250 }, () =>
    tracing.request(START, () => {
      places.push(tracing.place());
      return open.promise;
    }),
  );
  await tracing.joined({ name: "audit write" }, places, async () => {});
  open.resolve();
  await Promise.all(requests);
  expect((await sent("audit write"))?.links).toHaveLength(249);
  expect(told).toEqual([]);
});

it("has what goes wrong with a write of several in none of their traces", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gateway-traced-trail-"));
  const store = await openStore({ kind: "sqlite", file: join(folder, "gateway.db") });
  await store.close();
  const failed: unknown[] = [];
  const observe = { written: () => {}, failed: () => failed.push(tracing.place()) };
  const timing = { now: Date.now, elapsed: () => performance.now(), writeTimeoutMs: 5000 };
  const parts = { ...timing, randomBytes, queueSize: 10, observe, tracing };
  const trail = new Trail({ store: store.audit, ...parts });
  const recorded = tracing.request(START, () => trail.record(EVENT, { aborted: false }));
  await expect(recorded).rejects.toThrow();
  expect(failed).toEqual([undefined]);
  rmSync(folder, { recursive: true });
});

it.each([
  ["read together", false],
  ["read one by one, as they cannot be read together", true],
])("has in each request's trace, or linked to it, what is %s on SQLite", async (_, isBroken) => {
  const folder = mkdtempSync(join(tmpdir(), "gateway-traced-rows-"));
  const file = join(folder, "gateway.db");
  const database = new Kysely<Tables>({ dialect: traceDialect(openSqlite(file), "sqlite", tracing) });
  await migrate(database);
  const reader = new SqliteRows(file);
  if (isBroken) reader.close();
  const rows = rowsOfSqlite(reader, database, tracing);
  const asked: (string | undefined)[] = [];
  const asking = ["a", "b", "c"].map((id) =>
    tracing.request(START, () => {
      asked.push(tracing.place()?.ids.spanId);
      return rows.byId(id);
    }),
  );
  await Promise.all(asking);
  await tracing.close();
  const reads = collector.spans.filter(({ name }) => name === "SELECT identities");
  // What could not be read together is told of, too.
  const expected = isBroken ? [...asked, ...asked] : asked;
  expect(reads.flatMap(({ parentSpanId, links }) => [parentSpanId, ...links]).toSorted()).toEqual(expected.toSorted());
  await database.destroy();
  if (!isBroken) reader.close();
  rmSync(folder, { recursive: true });
});

it("describes nothing but the span that is meant, once the request has ended", async () => {
  const ended = Promise.withResolvers<void>();
  let late = Promise.resolve();
  await tracing.request(START, async () =>
    tracing.span({ name: "field" }, () => {
      late = ended.promise.then(() => tracing.span({ name: "attempt" }, (describe) => describe({ late: 1 })));
    }),
  );
  ended.resolve();
  await late;
  expect((await sent("field"))?.attributes).toEqual({});
  expect(collector.spans.map(({ name }) => name)).toEqual(["field", "POST /graphql"]);
  expect(told).toEqual([]);
});

it("hides what looks like a secret in the state that a caller's trace brings", async () => {
  const secret = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";
  await tracing.request({ ...START, headers: { ...PARENT, tracestate: `vendor=1,other=${secret}` } }, async () => {
    expect(tracing.headers()).toMatchObject({ tracestate: "vendor=1,other=[hidden]" });
  });
  expect((await sent("POST /graphql"))?.traceState).toBe("vendor=1,other=[hidden]");
});

it.each([
  ["over a WebSocket", 101],
  ["in the answer to one field", 200],
])("marks a request in which the gateway failed %s", async (_, status) => {
  await tracing.request(START, async () => tracing.ended({ ...ENDED, status, code: "INTERNAL_SERVER_ERROR" }));
  expect(await sent("POST /graphql")).toMatchObject({
    isError: true,
    attributes: { "error.type": "INTERNAL_SERVER_ERROR" },
  });
});
