import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
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

describe("a WebSocket", () => {
  /** The answer to a request that is not taken for one. */
  const upgrade = (headers: Record<string, string>, path = "/graphql") =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const asked = httpRequest(`${rig.gateway.url}${path}`, {
        headers: {
          connection: "upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
          "sec-websocket-protocol": "graphql-transport-ws",
          ...headers,
        },
      });
      asked.once("response", resolve);
      asked.once("upgrade", (response, socket) => {
        socket.destroy();
        resolve(response);
      });
      asked.once("error", reject);
      asked.end();
    });

  it("is opened for pages of listed origins and the gateway's own alone", async () => {
    const { host } = new URL(rig.gateway.url);
    const statuses = await Promise.all(
      ["https://dash.example.com", `http://${host}`, "https://evil.example.com", "null"].map(
        async (origin) => (await upgrade({ origin })).statusCode,
      ),
    );
    expect(statuses).toEqual([101, 101, 403, 403]);
  });

  it("is opened for its protocol alone, at its path alone", async () => {
    expect((await upgrade({ "sec-websocket-protocol": "graphql-ws" })).statusCode).toBe(400);
    expect((await upgrade({}, "/health/live")).statusCode).toBe(200);
    expect((await upgrade({ upgrade: "h2c" })).statusCode).toBe(405);
  });

  const open = (token?: string) => {
    const socket = new WebSocket(`${rig.gateway.url.replace("http", "ws")}/graphql`, "graphql-transport-ws", {
      ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
    });
    const messages: { type: string; id?: string; payload?: unknown }[] = [];
    socket.on("message", (text) => messages.push(JSON.parse(String(text))));
    const closed = new Promise<number>((resolve) => socket.once("close", resolve));
    const opened = new Promise((resolve) => socket.once("open", resolve));
    return { socket, messages, closed, opened };
  };

  it("is closed for whoever cannot say who they are", async () => {
    const { socket, opened, closed } = open();
    await opened;
    socket.send('{"type":"connection_init","payload":{"authorization":"Bearer nonsense"}}');
    expect(await closed).toBe(4403);
    const early = open();
    await early.opened;
    early.socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query } }));
    expect(await early.closed).toBe(4401);
  });

  it("takes who connects from the request's header, too, and refuses what is no message or too long", async () => {
    const fine = open(admin.token);
    await fine.opened;
    fine.socket.send('{"type":"connection_init"}');
    await expect.poll(() => fine.messages).toEqual([{ type: "connection_ack" }]);
    fine.socket.send("{");
    expect(await fine.closed).toBe(4400);
    const long = open(admin.token);
    await long.opened;
    long.socket.send("x".repeat(70_000));
    expect(await long.closed).toBe(1009);
  });

  it("is closed soon after the token has expired, for clients to connect again with another", async () => {
    const seconds = Math.floor(Date.now() / 1000);
    const token = await rig.issuer.sign("ada", { claims: { iat: seconds - 60, exp: seconds + 2 } });
    const { socket, messages, opened, closed } = open(token);
    await opened;
    socket.send('{"type":"connection_init"}');
    await expect.poll(() => messages).toEqual([{ type: "connection_ack" }]);
    expect(await closed).toBe(4403);
  });

  it("does nothing any more once the token has expired, whether the client hears of the end or not", async () => {
    const seconds = Math.floor(Date.now() / 1000);
    const token = await rig.issuer.sign("late", { claims: { iat: seconds - 60, exp: seconds + 2 } });
    const { socket, messages, opened } = open(token);
    await opened;
    socket.send('{"type":"connection_init"}');
    await expect.poll(() => messages).toEqual([{ type: "connection_ack" }]);
    // Deaf to the good-bye, which it would answer otherwise.
    socket.pause();
    await setTimeout(2200);
    const payload = { query: "mutation { issueAccessToken(input: { scopes: [CHAT] }) { userErrors { code } } }" };
    socket.send(JSON.stringify({ id: "1", type: "subscribe", payload }));
    await setTimeout(700);
    socket.terminate();
    const [row] = await rig.ask<{ count: number }>(
      "select count(*) as count from audit_events where actor_subject = 'late'",
    );
    expect(Number(row?.count)).toBe(0);
  });

  it("is kept for a token that is good for longer than a timer can count", async () => {
    const seconds = Math.floor(Date.now() / 1000);
    const token = await rig.issuer.sign("ada", { claims: { exp: seconds + 30 * 86_400 } });
    const { socket, messages, opened } = open(token);
    await opened;
    socket.send('{"type":"connection_init"}');
    await expect.poll(() => messages).toEqual([{ type: "connection_ack" }]);
    await setTimeout(50);
    expect(socket.readyState).toBe(WebSocket.OPEN);
    socket.terminate();
  });

  it("answers no ping of who has not said who they are, and one at a time of who has", async () => {
    const stranger = open();
    await stranger.opened;
    stranger.socket.send('{"type":"ping","payload":{"x":1}}');
    expect(await stranger.closed).toBe(4401);
    const known = open(admin.token);
    await known.opened;
    known.socket.send('{"type":"connection_init"}');
    await expect.poll(() => known.messages.length).toBe(1);
    known.socket.send('{"type":"ping","payload":{"x":1}}');
    await expect.poll(() => known.messages[1]).toEqual({ type: "pong" });
    known.socket.terminate();
  });

  it("gives back the places of all that it began, of an id that was used twice, too", async () => {
    const { socket, messages, opened } = open(admin.token);
    await opened;
    socket.send('{"type":"connection_init"}');
    await expect.poll(() => messages.length).toBe(1);
    for (let count = 0; count < 3; count++) {
      socket.send(JSON.stringify({ id: "x", type: "subscribe", payload: { query } }));
      socket.send(JSON.stringify({ id: "x", type: "complete" }));
    }
    await setTimeout(200);
    socket.terminate();
    await untilOpen(0);
  });

  it("does not keep a gateway from stopping that says nothing, nor hears anything", async () => {
    const other = await rig.startAnother({ configure: bounded });
    const socket = new WebSocket(`${other.url.replace("http", "ws")}/graphql`, "graphql-transport-ws");
    await new Promise((resolve) => socket.once("open", resolve));
    socket.pause();
    const began = performance.now();
    await other.close();
    expect(performance.now() - began).toBeLessThan(5000);
    socket.terminate();
  });

  it("is not opened in the middle of what was asked before it", async () => {
    const { port } = new URL(rig.gateway.url);
    const socket = connect(Number(port), "127.0.0.1");
    let told = "";
    socket.on("data", (chunk) => {
      told += String(chunk);
    });
    const body = JSON.stringify({ query: "{ viewer { user { subject } } }" });
    const headers =
      "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws";
    socket.write(
      `POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer ${admin.token}\r\ncontent-length: ${body.length}\r\n\r\n${body}GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n${headers}\r\n\r\n`,
    );
    await new Promise((resolve) => socket.once("close", resolve));
    expect(told).not.toMatch(/101 Switching/);
  });
});
