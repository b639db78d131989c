import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { Config } from "../../src/config/config.js";
import { publish } from "../fixtures/issuer.js";
import { type Client, Rig } from "../fixtures/rig.js";
import { AuditEventAddedDocument } from "../generated/graphql.js";

const query = AuditEventAddedDocument.toString();

interface Listed {
  readonly id: string;
  readonly name: string;
  readonly body: string;
}

let rig: Rig;
let admin: Client;

function withOrigin(config: Config): Config {
  return { ...config, server: { ...config.server, corsOrigins: ["https://dash.example.com"] } };
}

beforeAll(async () => {
  rig = await Rig.start({ configure: withOrigin });
  admin = await rig.admin();
});
afterAll(() => rig.close());

async function openStreams(): Promise<number> {
  const metrics = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
  return Number(/^gateway_streams_open (\d+)$/m.exec(metrics)?.[1]);
}

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

  const open = (token?: string, gateway = rig.gateway) => {
    const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/graphql`, "graphql-transport-ws", {
      ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
    });
    const messages: { type: string; id?: string; payload?: unknown }[] = [];
    socket.on("message", (text) => messages.push(JSON.parse(String(text))));
    const closed = new Promise<number>((resolve) => socket.once("close", resolve));
    const reason = new Promise<string>((resolve) => socket.once("close", (_, text) => resolve(String(text))));
    const opened = new Promise((resolve) => socket.once("open", resolve));
    return { socket, messages, closed, reason, opened };
  };

  it("is closed for whoever cannot say who they are", async () => {
    const why =
      'UNAUTHENTICATED: connectionParams needs authorization "Bearer …", or "DPoP …" and dpop, with a valid token.';
    for (const payload of [{ authorization: "Bearer nonsense" }, { authorization: "" }, {}, undefined]) {
      const { socket, opened, closed, reason } = open();
      await opened;
      socket.send(JSON.stringify({ type: "connection_init", payload }));
      expect([await closed, await reason]).toEqual([4403, why]);
    }
    const early = open();
    await early.opened;
    early.socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query } }));
    expect([await early.closed, await early.reason]).toEqual([4401, expect.stringMatching("connection_init")]);
  });

  it("is closed for whoever does not say who they are in time, or says so twice", async () => {
    const hasty = (config: Config) => ({ ...config, server: { ...config.server, clientTimeoutSeconds: 1 } });
    const other = await rig.startAnother({ configure: hasty });
    expect(await open(admin.token, other).closed).toBe(4408);
    const twice = open(admin.token);
    await twice.opened;
    twice.socket.send('{"type":"connection_init"}');
    await expect.poll(() => twice.messages.length).toBe(1);
    twice.socket.send('{"type":"connection_init"}');
    expect(await twice.closed).toBe(4429);
  });

  it("takes a document by its text, beside which its id may stand, and is closed for an id alone", async () => {
    const manifest = "schema/persisted-documents.json";
    const trusting = (config: Config): Config => ({
      ...config,
      graphql: { ...config.graphql, trustedDocuments: { mode: "enforce", manifests: [manifest] } },
    });
    const other = await rig.startAnother({ configure: trusting });
    const { operations } = JSON.parse(readFileSync(manifest, "utf8")) as { operations: Listed[] };
    const { id, body } = operations.find(({ name }) => name === "Viewer") ?? expect.fail("no such operation");
    const extensions = { persistedQuery: { version: 1, sha256Hash: id } };
    for (const named of [{ documentId: id }, { extensions }]) {
      const { socket, messages, opened, closed } = open(admin.token, other);
      await opened;
      const ask = (payload: object) => socket.send(JSON.stringify({ id: "1", type: "subscribe", payload }));
      socket.send('{"type":"connection_init"}');
      await expect.poll(() => messages.length).toBe(1);
      ask({ ...named, query: body });
      await expect.poll(() => messages.map(({ type }) => type)).toEqual(["connection_ack", "next", "complete"]);
      ask(named);
      expect(await closed).toBe(4400);
    }
  });

  it("takes who connects from the request's header, too, and refuses what is no message or too long", async () => {
    const fine = open(admin.token);
    await fine.opened;
    fine.socket.send('{"type":"connection_init"}');
    await expect.poll(() => fine.messages).toEqual([{ type: "connection_ack" }]);
    fine.socket.send("{");
    expect([await fine.closed, await fine.reason]).toEqual([4400, "Not a message: not JSON."]);
    const long = open(admin.token);
    await long.opened;
    long.socket.send("x".repeat(70_000));
    expect(await long.closed).toBe(1009);
  });

  it("takes a message for what every reader takes it for", async () => {
    const twice = open(admin.token);
    await twice.opened;
    twice.socket.send(
      '{"type":"connection_init","payload":{"authorization":"Bearer one","authorization":"Bearer two"}}',
    );
    expect([await twice.closed, await twice.reason]).toEqual([4400, "Not a message: an object has a member twice."]);
    const escaped = open();
    await escaped.opened;
    const credentials = JSON.stringify({ authorization: `Bearer ${admin.token}` });
    escaped.socket.send(
      `{"type":"connection_init","payload":${credentials.replace("authorization", "\\u0061uthorization")}}`,
    );
    await expect.poll(() => escaped.messages).toEqual([{ type: "connection_ack" }]);
    escaped.socket.send(
      JSON.stringify({ id: "1", type: "subscribe", payload: { query } }).replace("query", "\\u0071uery"),
    );
    await expect.poll(openStreams).toBe(1);
    escaped.socket.send('{"id":"2","type":"complete","id":"1"}');
    expect(await escaped.closed).toBe(4400);
    expect(escaped.messages).toHaveLength(1);
  });

  it("is closed for what is nested deeper than calls can be", async () => {
    const { socket, opened, closed, reason } = open();
    await opened;
    socket.send(`{"type":"connection_init","payload":{"a":${"[".repeat(30_000)}${"]".repeat(30_000)}}}`);
    expect([await closed, await reason]).toEqual([4400, "Not a message: it is nested too deep."]);
  });

  it("is closed for a message in ever more parts, each of which would take memory", async () => {
    const { socket, opened, closed } = open();
    await opened;
    for (let count = 0; count < 100; count++) socket.send("x", { fin: false });
    expect(await closed).toBe(1008);
  });

  it("is not listened to while it takes no answers", async () => {
    const { socket, messages, opened } = open((await rig.member("deaf")).token);
    await opened;
    socket.send('{"type":"connection_init"}');
    await expect.poll(() => messages.length).toBe(1);
    socket.pause();
    // An answer repeats the id.
    const id = "x".repeat(50_000);
    for (let count = 0; count < 1000; count++)
      socket.send(JSON.stringify({ id: `${count}${id}`, type: "subscribe", payload: { query: "{ a }" } }));
    await setTimeout(1000);
    const unread = socket.bufferedAmount;
    await setTimeout(1000);
    expect(unread).toBeGreaterThan(20_000_000);
    expect(socket.bufferedAmount).toBe(unread);
    socket.terminate();
  });

  it("has whatever its client calls itself recorded as text that every database keeps", async () => {
    const { socket, messages, opened } = open();
    await opened;
    const payload = { authorization: `Bearer ${(await rig.member("odd")).token}` };
    const names = `"apollographql-client-name":"a\\u0000\\ud800","apollographql-client-version":"${"1".repeat(99)}🙂"`;
    socket.send(`{"type":"connection_init","payload":${JSON.stringify(payload).replace("{", `{${names},`)}}`);
    await expect.poll(() => messages.length).toBe(1);
    const mutation = "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { expiresOn } } }";
    socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query: mutation } }));
    await expect.poll(() => messages[1]?.payload).toMatchObject({ data: { issueAccessToken: { accessToken: {} } } });
    const rows = await rig.ask<{ name: string; version: string }>(
      "select client_name as name, client_version as version from audit_events where actor_subject = 'odd'",
    );
    for (const row of rows) expect(row).toEqual({ name: "a\ufffd\ufffd", version: `${"1".repeat(99)}\ufffd` });
    expect(rows.length).toBeGreaterThan(0);
    socket.terminate();
  });

  it("is closed at its next operation once the issuer has removed the key of its caller's token", async () => {
    let later = 0;
    const own = await Rig.start({ elapsed: () => performance.now() + later });
    const { socket, messages, opened, closed } = open((await own.member("kept")).token, own.gateway);
    await opened;
    socket.send('{"type":"connection_init"}');
    await expect.poll(() => messages.length).toBe(1);
    const another = generateKeyPairSync("ec", { namedCurve: "P-256" });
    own.issuer.keys = [publish(another.publicKey, { kid: "another", alg: "ES256" })];
    const payload = { query: "mutation { issueAccessToken(input: { scopes: [CHAT] }) { userErrors { code } } }" };
    socket.send(JSON.stringify({ id: "1", type: "subscribe", payload }));
    await expect.poll(() => messages.map(({ type }) => type)).toEqual(["connection_ack", "next", "complete"]);
    later = 301_000;
    socket.send(JSON.stringify({ id: "2", type: "subscribe", payload }));
    expect(await closed).toBe(4403);
    expect(
      await own.ask("select phase from audit_events where actor_subject = 'kept' and action = 'TOKEN_REUSED'"),
    ).toEqual([]);
    await own.close();
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
    await expect.poll(openStreams).toBe(0);
  });

  it("is closed for an id that is used again before it is known what it was used for", async () => {
    const { socket, messages, opened, closed } = open(admin.token);
    await opened;
    socket.send('{"type":"connection_init"}');
    await expect.poll(() => messages.length).toBe(1);
    const begin = JSON.stringify({ id: "x", type: "subscribe", payload: { query } });
    for (const message of [begin, '{"id":"x","type":"complete"}', begin]) socket.send(message);
    expect(await closed).toBe(4409);
    await expect.poll(openStreams).toBe(0);
  });

  it("does not keep a gateway from stopping that says nothing, nor hears anything", async () => {
    const other = await rig.startAnother({ configure: withOrigin });
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

  it("tells who comes too often, or while the issuer is away, to come again later, and the log why", async () => {
    const few = (config: Config) => ({ ...config, limits: { ...config.limits, requestsPerSubject: 1 } });
    const strict = await rig.startAnother({ configure: few });
    const bob = (await rig.member("bob")).token;
    for (const expected of [undefined, /^RATE_LIMITED/]) {
      const { socket, messages, reason, opened, closed } = open(bob, strict);
      await opened;
      socket.send('{"type":"connection_init"}');
      if (expected === undefined) await expect.poll(() => messages).toEqual([{ type: "connection_ack" }]);
      else expect([await closed, await reason]).toEqual([1013, expect.stringMatching(expected)]);
      socket.terminate();
    }
    rig.issuer.outage = { status: 500 };
    const fresh = await rig.startAnother({ configure: withOrigin });
    const { socket, opened, closed, reason } = open(admin.token, fresh);
    await opened;
    socket.send('{"type":"connection_init"}');
    expect([await closed, await reason]).toEqual([1013, expect.stringMatching(/^KEYS_UNAVAILABLE/)]);
    rig.issuer.outage = undefined;
    expect(fresh.logLines.filter((line) => line.includes("request failed"))).toHaveLength(1);
  });

  it("is one of so many that a user may have, and makes room for another when it is closed", async () => {
    const two = { atOnce: 10, perUser: 2 };
    const narrow = (config: Config) => ({ ...config, graphql: { ...config.graphql, subscriptions: two } });
    const other = await rig.startAnother({ configure: narrow });
    const dora = (await rig.member("dora")).token;
    const greet = async (token: string) => {
      const client = open(token, other);
      await client.opened;
      client.socket.send('{"type":"connection_init"}');
      return client;
    };
    const [first, second] = [await greet(dora), await greet(dora)];
    await expect.poll(() => [first.messages.length, second.messages.length]).toEqual([1, 1]);
    const third = await greet(dora);
    expect([await third.closed, await third.reason]).toEqual([1013, expect.stringMatching(/^RATE_LIMITED/)]);
    const erin = await greet((await rig.member("erin")).token);
    await expect.poll(() => erin.messages.length).toBe(1);
    first.socket.close();
    await first.closed;
    await expect
      .poll(async () => {
        const again = await greet(dora);
        await Promise.race([again.closed, expect.poll(() => again.messages.length).toBe(1)]);
        return again.messages.length;
      })
      .toBe(1);
    for (const { socket } of [second, erin]) socket.terminate();
  });

  it("is closed when nothing is asked for, and kept while something is", async () => {
    const impatient = (config: Config) => ({ ...config, server: { ...config.server, keepAliveSeconds: 1 } });
    const other = await rig.startAnother({ configure: impatient });
    const [idle, busy] = [open(admin.token, other), open(admin.token, other)];
    for (const { socket, opened } of [idle, busy]) {
      await opened;
      socket.send('{"type":"connection_init"}');
    }
    await expect.poll(() => busy.messages.length).toBe(1);
    busy.socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query } }));
    expect(await idle.closed).toBe(1001);
    await setTimeout(1200);
    expect(busy.socket.readyState).toBe(WebSocket.OPEN);
    busy.socket.terminate();
  });

  it("has what was begun answered before the gateway stops", async () => {
    const other = await rig.startAnother({ configure: withOrigin });
    const { socket, messages, opened } = open((await rig.member("carol")).token, other);
    await opened;
    socket.send('{"type":"connection_init"}');
    await expect.poll(() => messages.length).toBe(1);
    await rig.fault({ operation: "createIdentity", kind: "delay", delayMs: 1500 });
    await rig.takeCalls();
    const payload = { query: "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { expiresOn } } }" };
    socket.send(JSON.stringify({ id: "1", type: "subscribe", payload }));
    await rig.untilCalled("createIdentity");
    await other.close();
    expect(messages).toContainEqual({
      id: "1",
      type: "next",
      payload: { data: { issueAccessToken: { accessToken: { expiresOn: expect.any(String) } } } },
    });
  });
});
