import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import * as conventions from "@opentelemetry/semantic-conventions/incubating";
import { createClient as createWsClient } from "graphql-ws";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import type { Config } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { type CollectedSpan, Collector } from "../fixtures/collector.js";
import { redisUrl, TEST_REDIS_URL, WHY_SKIPPED } from "../fixtures/redis.js";
import { type Client, IS_ON_SQLITE, type Reply, Rig } from "../fixtures/rig.js";
import { traced } from "../fixtures/tracing.js";
import {
  AuditEventAddedDocument,
  DeleteIdentityDocument,
  IdentitiesDocument,
  IssueAccessTokenDocument,
  RevokeMyAccessTokensDocument,
  ViewerDocument,
} from "../generated/graphql.js";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const DATABASE = IS_ON_SQLITE ? "sqlite" : "postgresql";

const COUNTING = "POST /graphql > EVALSHA";
const chat = { query: IssueAccessTokenDocument.toString(), variables: { scopes: ["CHAT"] } };
const requestIdOf = ({ headers }: Reply<unknown>) => headers.get("x-request-id") ?? "";

/** Names from the first to this one, such as `POST /graphql > query viewer`. */
function pathTo(span: CollectedSpan, trace: readonly CollectedSpan[]): string {
  const parent = trace.find(({ spanId }) => spanId === span.parentSpanId);
  return parent === undefined ? span.name : `${pathTo(parent, trace)} > ${span.name}`;
}

const pathsOf = (trace: readonly CollectedSpan[]) => trace.map((span) => pathTo(span, trace));

describe.for(TEST_REDIS_URL ? [true] : [false])(`a traced request, with Redis: %s${WHY_SKIPPED}`, (withRedis) => {
  let collector: Collector;
  let rig: Rig;
  let alice: Client;

  beforeAll(async () => {
    collector = await Collector.start();
    const redis = { url: withRedis ? new Secret(redisUrl()) : null };
    const configure = (shipped: Config) => ({
      ...traced(collector)(shipped),
      redis,
      // However few calls there are for one to be repeated.
      acs: { ...shipped.acs, retryPercent: 100 },
    });
    rig = await Rig.start({ configure });
    alice = await rig.member("alice");
    const early = await rig.member("early");
    // Until the connection to Redis is ready, limits are counted without it.
    const isCounted = async () => pathsOf((await send(early, chat)).trace).includes(COUNTING);
    if (withRedis) await vi.waitUntil(isCounted, { timeout: 10_000 });
  });
  afterAll(async () => {
    await rig.close();
    await collector.close();
  });

  const send = async (client: Client, body: unknown, headers: Record<string, string> = {}) => {
    const reply = await client.send(body, headers);
    return { reply, trace: await collector.trace(requestIdOf(reply)) };
  };

  it("is one trace: through the resolver, the store, Redis and the trail to each attempt at the service", async () => {
    const { trace } = await send(await rig.member("first-time"), chat);
    const field = "POST /graphql > mutation issueAccessToken";
    const expected = [
      "POST /graphql",
      field,
      `${field} > INSERT identities`,
      `${field} > UPDATE identities`,
      `${field} > audit append`,
      `${field} > audit append > audit write`,
      `${field} > audit append > audit write > INSERT audit_events`,
      `${field} > acs createIdentityWithToken`,
      `${field} > acs createIdentityWithToken > acs wait`,
      `${field} > acs createIdentityWithToken > POST /identities`,
    ];
    if (withRedis) expected.push(COUNTING);
    expect(pathsOf(trace)).toEqual(expect.arrayContaining(expected));
    expect(trace.filter(({ parentSpanId }) => parentSpanId === null)).toHaveLength(1);
  });

  it("has the last look at the row as the call's, though the trail says when it is made", async () => {
    await send(alice, chat);
    const field = "POST /graphql > mutation issueAccessToken";
    const looksOf = async (body: unknown) => {
      const { trace } = await send(alice, body);
      expect(pathsOf(trace)).toContain(`${field} > audit append > audit write > INSERT audit_events`);
      return pathsOf(trace).filter((path) => path.endsWith("> SELECT identities"));
    };
    const path = `${field} > SELECT identities`;
    // On Postgres the record looks, for who comes again.
    expect(await looksOf(chat)).toEqual(IS_ON_SQLITE ? [path, path] : []);
    expect(await looksOf({ ...chat, variables: { ...chat.variables, forceNew: true } })).toEqual([path, path]);
  });

  it("has no record of a token that is not given again, as its user's row has changed", async () => {
    const client = await rig.member("changed");
    await send(client, chat);
    await send(client, chat);
    const given = () =>
      rig.ask("select id from audit_events where action = 'TOKEN_REUSED' and actor_subject = 'changed'");
    expect(await given()).toHaveLength(1);
    await rig.ask("update identities set revocations = revocations + 1 where subject = 'changed' returning id");
    await send(client, chat);
    expect(await given()).toHaveLength(1);
  });

  it("says who asked for what, and what came of it", async () => {
    const client = { "apollographql-client-name": "phone", "apollographql-client-version": "1.2" };
    const { reply, trace } = await send(alice, chat, client);
    const root = trace.find(({ parentSpanId }) => parentSpanId === null);
    expect(root).toMatchObject({ name: "POST /graphql", kind: 2, isError: false });
    expect(root?.attributes).toEqual({
      "http.request.method": "POST",
      "http.route": "/graphql",
      "http.response.status_code": 200,
      "url.path": "/graphql",
      "url.scheme": "http",
      "graphql.operation.name": "IssueAccessToken",
      "graphql.operation.type": "mutation",
      "gateway.request.id": requestIdOf(reply),
      "gateway.client.name": "phone",
      "gateway.client.version": "1.2",
      "gateway.code": "OK",
    });
    expect(root?.resource).toMatchObject({ "service.name": "acs-token-gateway", "telemetry.sdk.language": "nodejs" });
  });

  it("tells the service of the trace that its call is part of", async () => {
    await rig.takeCalls();
    const { trace } = await send(await rig.member("told"), chat);
    const { traceparents } = (await rig.control("GET", "/calls")) as { traceparents: string[] };
    const attempt = trace.find(({ name }) => name === "POST /identities");
    expect(traceparents).toEqual([`00-${attempt?.traceId}-${attempt?.spanId}-01`]);
    expect(attempt).toMatchObject({
      kind: 3,
      attributes: { "http.request.method": "POST", "http.response.status_code": 201, "server.address": "127.0.0.1" },
    });
  });

  it("goes on with the caller's trace", async () => {
    const headers = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: "vendor=1" };
    const { trace } = await send(alice, { query: ViewerDocument.toString() }, headers);
    const root = trace.find(({ name }) => name === "POST /graphql");
    expect(root).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, traceState: "vendor=1" });
  });

  it.each([
    ["of nothing but zeros", `00-${"0".repeat(32)}-${PARENT}-01`],
    ["in capitals", `00-${TRACE.toUpperCase()}-${PARENT}-01`],
    ["of a version that there will never be", `ff-${TRACE}-${PARENT}-01`],
    ["that is cut off", `00-${TRACE}`],
    ["that is none", "hello"],
  ])("is of a trace of its own for a traceparent %s", async (_, traceparent) => {
    const { trace } = await send(alice, { query: ViewerDocument.toString() }, { traceparent });
    const root = trace.find(({ name }) => name === "POST /graphql");
    expect(root).toMatchObject({ parentSpanId: null });
    expect(root?.traceId).not.toBe(TRACE);
  });

  it("says by its code what went wrong, at each step, and nothing in words", async () => {
    await rig.fault({ operation: "createIdentity", kind: "status", status: 500 });
    const { trace } = await send(await rig.member("unlucky"), chat);
    const named = (name: string) => trace.find((span) => span.name === name);
    expect(named("POST /graphql")).toMatchObject({
      isError: true,
      attributes: {
        "http.response.status_code": 503,
        "gateway.code": "UPSTREAM_UNAVAILABLE",
        "error.type": "UPSTREAM_UNAVAILABLE",
      },
    });
    expect(named("acs createIdentityWithToken")).toMatchObject({
      isError: true,
      attributes: { "error.type": "UPSTREAM_UNAVAILABLE" },
    });
    expect(named("POST /identities")?.attributes["http.response.status_code"]).toBe(500);
    expect(trace.map(({ message, events }) => ({ message, events }))).toEqual(
      trace.map(() => ({ message: "", events: 0 })),
    );
  });

  it("is no error of the gateway's when the caller is refused", async () => {
    const { trace } = await send(alice, { query: IdentitiesDocument.toString(), variables: { first: 1 } });
    const root = trace.find(({ parentSpanId }) => parentSpanId === null);
    expect(root).toMatchObject({ isError: false, attributes: { "gateway.code": "FORBIDDEN" } });
  });

  it("has an attempt more for a call that was repeated", async () => {
    await send(alice, chat);
    await rig.fault({ operation: "issueAccessToken", kind: "status", status: 500 });
    const again = { ...chat, variables: { ...chat.variables, forceNew: true } };
    const { trace } = await send(alice, again);
    const call = trace.find(({ name }) => name === "acs issueToken");
    const attempts = trace.filter(({ parentSpanId, kind }) => parentSpanId === call?.spanId && kind === 3);
    expect(attempts.map(({ name, attributes }) => [name, attributes["http.response.status_code"]])).toEqual([
      ["POST /identities/{id}/:issueAccessToken", 500],
      ["POST /identities/{id}/:issueAccessToken", 200],
    ]);
  });

  it("has a record that is written with others in its own trace or linked to it", async () => {
    await send(alice, chat);
    const clients = await Promise.all(Array.from({ length: 20 }, () => rig.member("alice")));
    const replies = await Promise.all(clients.map((client) => client.send(chat)));
    const traces = await Promise.all(replies.map((reply) => collector.trace(requestIdOf(reply))));
    const spans = traces.flat();
    const appends = spans.filter(({ name }) => name === "audit append");
    const writes = spans.filter(({ name }) => name === "audit write");
    expect(appends.length).toBeGreaterThanOrEqual(20);
    expect(writes.length).toBeLessThan(appends.length);
    const written = writes.flatMap(({ parentSpanId, links }) => [parentSpanId, ...links]);
    expect(written.sort()).toEqual(appends.map(({ spanId }) => spanId).sort());
  });

  it("has the fetch of its issuer's keys in it, if there was one", async () => {
    const other = await rig.startAnother();
    const reply = await (await rig.member("key-fetcher")).at(other).send({ query: ViewerDocument.toString() });
    const trace = await collector.trace(requestIdOf(reply));
    expect(trace.find(({ name }) => name === "fetch issuer keys")).toMatchObject({
      kind: 3,
      attributes: { "gateway.issuer": rig.issuer.url },
    });
  });

  it("is named by each line that the log has of it", async () => {
    const logged = rig.logLines.length;
    const { reply, trace } = await send(await rig.member("logged"), chat);
    const lines = rig.logLines.slice(logged).map((line) => JSON.parse(line) as Record<string, unknown>);
    const own = lines.filter(({ requestId }) => requestId === requestIdOf(reply));
    const root = trace.find(({ parentSpanId }) => parentSpanId === null);
    expect(own.map(({ msg }) => msg)).toEqual(
      expect.arrayContaining(["request", "service call", "identity provisioned"]),
    );
    expect(own.map(({ traceId }) => traceId)).toEqual(own.map(() => root?.traceId));
    expect(own.find(({ msg }) => msg === "request")).toMatchObject({ spanId: root?.spanId });
  });

  it("goes on with nothing once it is answered: a subscription is traced to its beginning", async () => {
    const client = createWsClient({
      url: `${rig.gateway.url.replace("http", "ws")}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${(await rig.admin()).token}` },
      retryAttempts: 0,
    });
    const results: unknown[] = [];
    const sink = { next: (result: unknown) => results.push(result), error: () => {}, complete: () => {} };
    client.subscribe({ query: AuditEventAddedDocument.toString() }, sink as never);
    const root = await collector.span(({ name }) => name === "WebSocket /graphql");
    const size = () => collector.spans.filter(({ traceId }) => traceId === root.traceId).length;
    expect(root.attributes).toMatchObject({
      "graphql.operation.type": "subscription",
      "http.response.status_code": 101,
    });
    const atFirst = size();
    await send(alice, chat);
    await expect.poll(() => results.length).toBeGreaterThan(0);
    await setTimeout(100);
    expect(size()).toBe(atFirst);
    await client.dispose();
  });

  it("is not made of what looks for work all the time", async () => {
    const before = collector.spans.length;
    await setTimeout(700);
    expect(collector.spans.slice(before).map(({ name }) => name)).toEqual([]);
  });

  it("is left by work that outlives it, which has a trace of its own when it is tried again", async () => {
    await send(alice, chat);
    await rig.fault({ operation: "revokeAccessTokens", kind: "status", status: 503, times: 1 });
    await send(alice, { query: RevokeMyAccessTokensDocument.toString() });
    // The first try may be the request's, or that of a loop that was faster.
    const isSecond = ({ name, attributes }: CollectedSpan) =>
      name === "work REVOKE" && attributes["gateway.work.tries"] === 1;
    const later = await collector.span(isSecond);
    expect(later).toMatchObject({ parentSpanId: null, attributes: { "gateway.work.action": "REVOKE" } });
    const call = collector.spans.find(({ name, traceId }) => name === "acs revokeTokens" && traceId === later.traceId);
    expect(call?.parentSpanId).toBe(later.spanId);
  });

  it("has names and attributes that docs/tracing.md lists, and OpenTelemetry's where it has one", async () => {
    const admin = await rig.admin();
    const { issueAccessToken } = await (await rig.member("leaving")).ask(IssueAccessTokenDocument, {
      scopes: ["CHAT"],
    });
    const identityId = issueAccessToken.accessToken?.identity.id ?? "";
    await send(admin, { query: DeleteIdentityDocument.toString(), variables: { identityId } });
    const [, page = ""] = /^## Spans$(.*?)^## /ms.exec(readFileSync("docs/tracing.md", "utf8")) ?? [];
    const told = [...page.matchAll(/^\| `([^`]+)` \|/gm)].map(([, first = ""]) => first);
    const names = new Set(collector.spans.map(({ name, attributes }) => familyOf(name, attributes)));
    const attributes = new Set(collector.spans.flatMap((span) => Object.keys(span.attributes)));
    const unseen = withRedis ? [] : ["{command}"];
    expect([...names].filter((name) => !told.includes(name))).toEqual([]);
    expect([...attributes].filter((name) => !told.includes(name))).toEqual([]);
    const seen: string[] = [...names, ...attributes];
    expect(told.filter((name) => !seen.includes(name))).toEqual(unseen);
    const known: readonly unknown[] = Object.values(conventions);
    const standard = [...attributes].filter((name) => !name.startsWith("gateway."));
    expect(standard.filter((name) => !known.includes(name))).toEqual([]);
  });

  it("says nothing of who and what: no token, no key, no user, no identity, no variable", async () => {
    const words = { subject: "canary-subject-4711", reason: "canary-reason-4712" };
    const user = await rig.member(words.subject);
    const { accessToken } = (await user.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] })).issueAccessToken;
    const { reply } = await send(user, {
      query: RevokeMyAccessTokensDocument.toString(),
      variables: { reason: words.reason },
    });
    const odd = {
      "apollographql-client-name": user.token.slice(0, 100),
      "x-request-id": `r.${user.token.slice(0, 90)}`,
    };
    await user.send({ query: ViewerDocument.toString() }, odd);
    await user.send({ query: `query { identityByUser(user: { issuer: "x", subject: "${words.subject}" }) { id } }` });
    const last = await send(user, { query: ViewerDocument.toString() });
    expect([reply.status, last.reply.status]).toEqual([200, 200]);
    const sent = collector.bodies.map((body) => body.toString("latin1")).join("\n");
    const communicationUserId = accessToken?.identity.communicationUserId ?? "8:acs:none";
    const secrets = [user.token, alice.token, accessToken?.token ?? ""].flatMap((token) => token.split("."));
    const keys = [rig.emulator.connectionString.split("accesskey=")[1] ?? ""];
    const found = [...secrets, ...keys, ...Object.values(words), communicationUserId].filter((text) =>
      sent.includes(text.slice(0, 24)),
    );
    expect(found).toEqual([]);
    expect(sent).toContain("[hidden]");
  });
});

/** The row of the table that a name belongs to. */
function familyOf(name: string, attributes: CollectedSpan["attributes"]): string {
  if (attributes["db.system.name"] === "redis") return "{command}";
  if (attributes["db.system.name"] === DATABASE) return "{operation} {table}";
  if (attributes["url.template"] !== undefined) return "{method} {path}";
  return name
    .replace(/^(query|mutation|subscription) .*/, "{type} {field}")
    .replace(/^(acs|work) (?!wait).*/, (_, of) => (of === "acs" ? "acs {operation}" : "work {action}"));
}

describe("what is recorded", () => {
  let collector: Collector;
  let rig: Rig;
  afterEach(async () => {
    await rig.close();
    await collector.close();
  });

  const start = async (env: Record<string, string>, more: (config: Config) => Config = (config) => config) => {
    collector = await Collector.start();
    rig = await Rig.start({ configure: (shipped) => more(traced(collector, env)(shipped)) });
    return await rig.member();
  };

  it("is what the sampler says, and what is not is part of a trace all the same", async () => {
    const member = await start({ OTEL_TRACES_SAMPLER: "always_off" });
    const reply = await member.send(chat);
    expect(reply.status).toBe(200);
    const { traceparents } = (await rig.control("GET", "/calls")) as { traceparents: string[] };
    expect(traceparents).toHaveLength(1);
    expect(traceparents[0]).toMatch(/-00$/);
    const line = rig.logLines.find((text) => text.includes('"msg":"request"')) ?? "";
    expect(traceparents[0]).toContain((JSON.parse(line) as { traceId: string }).traceId);
    await rig.gateway.close();
    expect(collector.spans).toEqual([]);
  });

  it("is no more than has been set for callers who want it, when not all is", async () => {
    const bound = (config: Config) => ({ ...config, tracing: { ...config.tracing, callerTracesPerSecond: 0 } });
    const member = await start(
      { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.000001" },
      bound,
    );
    const wanted = { traceparent: `00-${TRACE}-${PARENT}-01` };
    for (let sent = 0; sent < 5; sent++) await member.send(chat, wanted);
    await rig.gateway.close();
    expect(collector.spans.filter(({ traceId }) => traceId === TRACE)).toEqual([]);
  });

  it("is sent with the headers that are configured, which nobody prints", async () => {
    const key = "collector-key-0815";
    const member = await start({
      OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${key}`,
      OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    });
    const reply = await member.send(chat);
    await collector.trace(requestIdOf(reply));
    expect(collector.headers[0]).toMatchObject({ "x-api-key": key, path: "/v1/traces", "content-encoding": "gzip" });
    expect(rig.logLines.join()).not.toContain(key);
  });

  it("goes to the log instead when that is asked for", async () => {
    const member = await start({ OTEL_TRACES_EXPORTER: "console" });
    const reply = await member.send(chat);
    await rig.gateway.close();
    const spans = rig.logLines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === "span");
    expect(spans.at(-1)).toMatchObject({
      name: "POST /graphql",
      parentSpanId: null,
      attributes: { "gateway.request.id": requestIdOf(reply) },
    });
    expect(collector.bodies).toEqual([]);
  });
});

describe("a collector that", () => {
  let collector: Collector;
  let rig: Rig;
  afterEach(async () => {
    await rig.close();
    await collector.close();
  });

  const counted = async (name: string) => {
    const metrics = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(metrics)?.[1] ?? 0);
  };
  const lost = (reason: string) => counted(`gateway_trace_spans_lost_total\\{reason="${reason}"\\}`);
  const told = () => rig.logLines.filter((line) => line.includes('"msg":"trace spans lost"'));

  it("refuses spans holds up nothing; what is lost is counted, and told once", async () => {
    collector = await Collector.start();
    collector.manner = "refuse";
    rig = await Rig.start({ configure: traced(collector) });
    const member = await rig.member();
    for (let sent = 0; sent < 3; sent++) {
      expect((await member.send(chat)).status).toBe(200);
      await expect.poll(() => collector.bodies.length).toBeGreaterThan(sent);
    }
    await expect.poll(() => lost("refused")).toBeGreaterThan(10);
    expect(told()).toHaveLength(1);
  });

  it("is not there holds up nothing", async () => {
    collector = await Collector.start();
    const configure = traced(collector);
    await collector.close();
    rig = await Rig.start({ configure });
    expect((await (await rig.member()).send(chat)).status).toBe(200);
    await rig.gateway.close();
  });

  it("hangs holds up neither a request nor the close, and takes no more memory than its queue", async () => {
    collector = await Collector.start();
    collector.manner = "hang";
    const small = { OTEL_BSP_MAX_QUEUE_SIZE: "20", OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "20" };
    rig = await Rig.start({ configure: traced(collector, small) });
    const member = await rig.member();
    for (let sent = 0; sent < 10; sent++) expect((await member.send(chat)).status).toBe(200);
    expect(await lost("full")).toBeGreaterThan(10);
    // While the collector still holds what it got.
    await rig.gateway.close();
    expect(collector.spans).toEqual([]);
  });
});

describe("without traces", () => {
  it("nobody is told of any, and what came with a request goes nowhere", async () => {
    const rig = await Rig.start();
    const reply = await (await rig.member()).send(chat, { traceparent: `00-${TRACE}-${PARENT}-01` });
    expect(reply.status).toBe(200);
    const { traceparents } = (await rig.control("GET", "/calls")) as { traceparents: string[] };
    expect(traceparents).toEqual([]);
    expect(rig.logLines.join()).not.toMatch(/traceId|spanId/);
    await rig.close();
  });
});
