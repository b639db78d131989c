import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createWsClient } from "graphql-ws";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { Config } from "../../src/config/config.js";
import type { Gateway } from "../../src/gateway.js";
import { TestWriter } from "../fixtures/audit.js";
import { type Client, Rig } from "../fixtures/rig.js";
import {
  AuditEventAddedDocument,
  type AuditEventAddedSubscription,
  type AuditEventAddedSubscriptionVariables,
  IssueAccessTokenDocument,
  RevokeMyAccessTokensDocument,
  ViewerDocument,
} from "../generated/graphql.js";

type Variables = AuditEventAddedSubscriptionVariables;
interface Result {
  readonly data?: AuditEventAddedSubscription | null | undefined;
  readonly errors?: readonly { readonly message: string; readonly extensions?: unknown }[] | undefined;
}
type Edge = AuditEventAddedSubscription["auditEventAdded"];

let rig: Rig;
let admin: Client;
let alice: Client;

function bounded(config: Config): Config {
  return {
    ...config,
    server: { ...config.server, corsOrigins: ["https://dash.example.com"] },
    graphql: { ...config.graphql, subscriptions: { atOnce: 8, perUser: 3 } },
  };
}

beforeAll(async () => {
  rig = await Rig.start({ configure: bounded });
  admin = await rig.admin();
  alice = await rig.member("alice");
  await issue();
});
afterAll(() => rig.close());

const issue = async (client = alice) =>
  await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"], forceNew: true });

/** What one subscription has brought, over either protocol, by the protocol's own client. */
class Watch {
  readonly results: Result[] = [];
  /** Resolves when the server or the test has ended it; rejects when the connection failed. */
  readonly over: Promise<void>;
  readonly end: () => void;

  constructor(
    subscribe: (sink: { next(result: Result): void; error(error: unknown): void; complete(): void }) => () => void,
  ) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.over = promise;
    promise.catch(() => {});
    this.end = subscribe({ next: (result) => this.results.push(result), error: reject, complete: resolve });
  }

  get edges(): Edge[] {
    return this.results.flatMap(({ data }) => data?.auditEventAdded ?? []);
  }

  get seen(): string[] {
    return this.edges.map(({ node: { action, phase, sequence } }) => `${sequence} ${action} ${phase}`);
  }

  get codes(): unknown[] {
    return this.results.flatMap(({ errors = [] }) =>
      errors.map(({ extensions }) => (extensions as { code: string }).code),
    );
  }
}

interface WatchOptions {
  readonly token?: string;
  readonly gateway?: Gateway;
  readonly variables?: Variables;
  readonly query?: string;
}

const query = AuditEventAddedDocument.toString();

function overEvents({
  token = admin.token,
  gateway = rig.gateway,
  variables = {},
  query: text = query,
}: WatchOptions = {}) {
  const client = createSseClient({
    url: `${gateway.url}/graphql`,
    headers: { authorization: `Bearer ${token}` },
    retryAttempts: 0,
  });
  return new Watch((sink) => client.subscribe({ query: text, variables: { ...variables } }, sink as never));
}

function overSocket({
  token = admin.token,
  gateway = rig.gateway,
  variables = {},
  query: text = query,
}: WatchOptions = {}) {
  const client = createWsClient({
    url: `${gateway.url.replace("http", "ws")}/graphql`,
    connectionParams: { authorization: `Bearer ${token}` },
    webSocketImpl: WebSocket,
    retryAttempts: 0,
  });
  return new Watch((sink) => client.subscribe({ query: text, variables: { ...variables } }, sink as never));
}

/** How many streams the gateway has open, by its own word. */
async function openStreams(gateway: Gateway = rig.gateway): Promise<number> {
  const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  return Number(/^gateway_streams_open (\d+)$/m.exec(metrics)?.[1]);
}

const untilOpen = (count: number, gateway?: Gateway) => expect.poll(() => openStreams(gateway)).toBe(count);

describe.each([
  ["server-sent events", overEvents],
  ["a WebSocket", overSocket],
] as const)("the audit trail, live over %s", (_, watch) => {
  it("tells events as they are recorded, in the order of their chain, with whom they are about", async () => {
    const all = watch();
    const revocations = watch({ variables: { filter: { action: ["TOKENS_REVOKED"] } } });
    await untilOpen(2);
    const { issueAccessToken } = await issue();
    await alice.ask(RevokeMyAccessTokensDocument);
    await expect.poll(() => all.seen.length).toBe(4);
    const [first] = all.edges;
    const start = first?.node.sequence ?? 0;
    expect(all.seen).toEqual([
      `${start} TOKEN_ISSUED INTENT`,
      `${start + 1} TOKEN_ISSUED OUTCOME`,
      `${start + 2} TOKENS_REVOKED INTENT`,
      `${start + 3} TOKENS_REVOKED OUTCOME`,
    ]);
    expect(all.edges[1]?.node).toMatchObject({
      actor: { issuer: rig.issuer.url, subject: "alice" },
      identity: { id: issueAccessToken.accessToken?.identity.id },
      scopes: ["CHAT"],
    });
    await expect.poll(() => revocations.edges.map(({ node }) => node.phase)).toEqual(["INTENT", "OUTCOME"]);
    all.end();
    revocations.end();
    await Promise.all([all.over, revocations.over]);
    await untilOpen(0);
  });

  it("tells what another instance records", async () => {
    const other = await rig.startAnother({ configure: bounded });
    const here = watch();
    await untilOpen(1);
    await issue(alice.at(other));
    await issue();
    await expect.poll(() => here.edges.length, { timeout: 5000 }).toBe(4);
    const hashes = new Set(here.edges.map(({ node }) => node.hash));
    expect(hashes.size).toBe(4);
    here.end();
    await untilOpen(0);
  });

  it("goes on after the last cursor that came, with what was recorded meanwhile, nothing twice", async () => {
    const before = watch();
    await untilOpen(1);
    await issue();
    await expect.poll(() => before.edges.length).toBe(2);
    before.end();
    await untilOpen(0);
    await issue();
    const after = before.edges[0]?.cursor ?? "";
    const again = watch({ variables: { after } });
    await expect.poll(() => again.edges.length).toBe(3);
    await issue();
    await expect.poll(() => again.edges.length).toBe(5);
    const sequences = [before.edges[0], ...again.edges].map((edge) => edge?.node.sequence ?? 0);
    expect(sequences).toEqual(sequences.map((_, index) => (sequences[0] ?? 0) + index));
    again.end();
    await untilOpen(0);
  });

  it("refuses who may not read the trail, a cursor of another list and what the schema does not have", async () => {
    const refused = [
      watch({ token: alice.token }),
      watch({ variables: { after: "WyJBVURJVF9FVkVOVCIsMSwiYSJd" } }),
      watch({ query: "subscription { nothing }" }),
      watch({ query: "subscription ($after: String!) { auditEventAdded(after: $after) { cursor } }" }),
    ];
    await Promise.all(refused.map(({ over }) => over));
    const others = [
      watch({ query: "subscription { auditEventAdded @skip(if: true) { cursor } }" }),
      watch({ variables: { after: {} } as never }),
    ];
    await Promise.all(others.map(({ over }) => over));
    const codes = rig.logLines.filter((line) => line.includes('"msg":"request"')).map((line) => JSON.parse(line).code);
    expect(codes.slice(-6).sort()).toEqual([...refused, ...others].flatMap(({ codes }) => codes).sort());
    expect([...refused, ...others].map(({ codes }) => codes)).toEqual([
      ["FORBIDDEN"],
      ["BAD_USER_INPUT"],
      ["GRAPHQL_VALIDATION_FAILED"],
      ["BAD_USER_INPUT"],
      ["GRAPHQL_VALIDATION_FAILED"],
      ["BAD_USER_INPUT"],
    ]);
    await untilOpen(0);
  });

  it("answers a query with its one result", async () => {
    const viewer = watch({ query: ViewerDocument.toString() });
    await viewer.over;
    expect(viewer.results).toMatchObject([{ data: { viewer: { user: { subject: "ada" } } } }]);
    await untilOpen(0);
  });

  it("ends when the caller's token expires, and says so", async () => {
    const seconds = Math.floor(Date.now() / 1000);
    const token = await rig.issuer.sign("ada", {
      claims: { roles: ["Gateway.Admin"], iat: seconds - 60, exp: seconds + 2 },
    });
    const short = watch({ token });
    await untilOpen(1);
    await expect.poll(() => short.codes, { timeout: 5000 }).toEqual(["UNAUTHENTICATED"]);
    await untilOpen(0);
  });

  it("lets a user have so many streams, and a place is free again when one has ended", async () => {
    const watches = [watch(), watch(), watch()];
    await untilOpen(3);
    const beyond = watch();
    await expect(beyond.over.then(() => beyond.codes)).rejects.toBeDefined();
    watches.pop()?.end();
    await untilOpen(2);
    const again = watch();
    await untilOpen(3);
    for (const each of [...watches, again]) each.end();
    await untilOpen(0);
  });

  it("has no place left that its client gave up before it had begun", async () => {
    for (let milliseconds = 0; milliseconds < 40; milliseconds++) {
      const given = watch();
      await pause(milliseconds / 2);
      given.end();
    }
    await untilOpen(0);
  });

  it("ends at once, and asks clients to come again, when the gateway is stopped", async () => {
    const other = await rig.startAnother({ configure: bounded });
    const there = watch({ gateway: other });
    await untilOpen(1, other);
    const began = performance.now();
    await other.close();
    expect(performance.now() - began).toBeLessThan(5000);
    expect(there.codes).toEqual(["UPSTREAM_UNAVAILABLE"]);
  });
});

describe("a stream of server-sent events", () => {
  const post = (headers: Record<string, string>, body: unknown = { query }) =>
    fetch(`${rig.gateway.url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${admin.token}`, ...headers },
      body: JSON.stringify(body),
    });

  it("is told of where a subscription is sent as a plain request", async () => {
    const answer = await post({ accept: "application/json" });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      errors: [
        { message: expect.stringMatching(/text\/event-stream.*WebSocket/), extensions: { code: "BAD_REQUEST" } },
      ],
    });
  });

  it("begins at once, is not to be kept or gathered, and is refused as any request is", async () => {
    const answer = await post({ accept: "text/event-stream" });
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
      "x-request-id": expect.any(String),
      ratelimit: expect.any(String),
    });
    await answer.body?.cancel();
    await untilOpen(0);
    const anonymous = await post({ accept: "text/event-stream", authorization: "Bearer nonsense" });
    expect([anonymous.status, anonymous.headers.get("content-type")]).toEqual([401, "application/json; charset=utf-8"]);
    const malformed = await post({ accept: "text/event-stream" }, { query: 1 });
    expect([malformed.status, await malformed.json()]).toMatchObject([
      400,
      { errors: [{ extensions: { code: "BAD_REQUEST" } }] },
    ]);
    await untilOpen(0);
  });

  it("is given up when its client is gone", async () => {
    const socket = connect(Number(new URL(rig.gateway.url).port), "127.0.0.1");
    const body = JSON.stringify({ query });
    socket.write(
      `POST /graphql HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\ncontent-type: application/json\r\nauthorization: Bearer ${admin.token}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await untilOpen(1);
    socket.destroy();
    await untilOpen(0);
  });
});

describe("a client that takes nothing", () => {
  const body = JSON.stringify({ query });
  const head = (lines: readonly string[]) => `${lines.join("\r\n")}\r\n\r\n`;
  const port = (gateway: Gateway) => Number(new URL(gateway.url).port);

  it("has no more made for it than waits to be sent, and is cut off", async () => {
    const impatient = (config: Config) => ({
      ...bounded(config),
      server: { ...config.server, clientTimeoutSeconds: 1 },
    });
    const other = await rig.startAnother({ configure: impatient });
    const events = connect(port(other), "127.0.0.1");
    events.pause();
    events.write(
      head([
        "POST /graphql HTTP/1.1",
        "host: x",
        "accept: text/event-stream",
        "content-type: application/json",
        `authorization: Bearer ${admin.token}`,
        `content-length: ${body.length}`,
      ]) + body,
    );
    const socket = new WebSocket(`${other.url.replace("http", "ws")}/graphql`, "graphql-transport-ws", {
      headers: { authorization: `Bearer ${admin.token}` },
    });
    await new Promise((resolve) => socket.once("open", resolve));
    socket.send('{"type":"connection_init"}');
    await new Promise((resolve) => socket.once("message", resolve));
    socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query } }));
    socket.pause();
    await untilOpen(2, other);

    // More than the system keeps for them.
    const writer = new TestWriter(Buffer.alloc(16, "slow").toString("base64url"));
    const reason = "x".repeat(2000);
    for (let number = 0; number < 10_000; number++) writer.add(Date.now(), { reason });
    const store = await rig.openStore();
    await writer.appendTo(store.audit);
    await store.close();
    await expect.poll(() => openStreams(other), { timeout: 15_000 }).toBe(0);
    events.destroy();
    socket.terminate();
  }, 30_000);
});

describe("trusted documents", () => {
  it("are subscribed to by their ids, and no others", async () => {
    const folder = mkdtempSync(join(tmpdir(), "gateway-manifest-"));
    const manifest = join(folder, "manifest.json");
    writeFileSync(manifest, JSON.stringify({ audit: query }));
    const trusting = (config: Config): Config => ({
      ...config,
      graphql: { ...config.graphql, trustedDocuments: { mode: "enforce", manifests: [manifest] } },
    });
    const other = await rig.startAnother({ configure: trusting });
    const post = (sent: unknown) =>
      fetch(`${other.url}/graphql`, {
        method: "POST",
        headers: {
          accept: "text/event-stream",
          "content-type": "application/json",
          authorization: `Bearer ${admin.token}`,
        },
        body: JSON.stringify(sent),
      });
    const listed = await post({ documentId: "audit" });
    expect(listed.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    await listed.body?.cancel();
    expect((await post({ query: "subscription { auditEventAdded { cursor } }" })).status).toBe(400);
    rmSync(folder, { recursive: true });
  });
});
