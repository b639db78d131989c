import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Signs } from "../../src/http/load.js";
import { Turns } from "../../src/http/turns.js";
import { RawConnection } from "../fixtures/raw.js";
import { type Client, type Reply, Rig } from "../fixtures/rig.js";
import { IssueAccessTokenDocument, ViewerDocument } from "../generated/graphql.js";

const MAX_REQUESTS = 3;
const SLOW_MS = 1000;
const ORIGIN = "https://app.example.com";
const VIEWER = JSON.stringify({ query: "{ viewer { maxTokenLifetimeMinutes } }" });
const LIVE = "GET /health/live HTTP/1.1\r\nhost: gateway\r\n\r\n";

let rig: Rig;
const open: RawConnection[] = [];

beforeEach(async () => {
  rig = await Rig.start({
    configure: (config) => ({
      ...config,
      server: { ...config.server, maxRequests: MAX_REQUESTS, requestTimeoutSeconds: 4, corsOrigins: [ORIGIN] },
    }),
  });
});
afterEach(async () => {
  for (const connection of open.splice(0)) connection.close();
  await rig.close();
});

/** As many as there may be, each waiting for the service. */
async function fill(delayMs = SLOW_MS): Promise<Promise<Reply<unknown>>[]> {
  await rig.fault({ operation: "*", kind: "delay", delayMs, times: MAX_REQUESTS });
  const users = await Promise.all(Array.from({ length: MAX_REQUESTS }, (_, n) => rig.member(`slow-${n}`)));
  const replies = users.map((user) => user.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] }));
  await expect.poll(underWay).toBe(MAX_REQUESTS);
  return replies;
}

async function metric(pattern: RegExp): Promise<number> {
  const text = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
  return Number(pattern.exec(text)?.[1] ?? 0);
}

const underWay = () => metric(/^gateway_requests_under_way (\d+)$/m);
const shed = () => metric(/^gateway_requests_shed_total\{reason="full"\} (\d+)$/m);

function viewerRequest({ token }: Client, headers = ""): string {
  return `POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\nauthorization: Bearer ${token}\r\ncontent-length: ${VIEWER.length}\r\n${headers}\r\n${VIEWER}`;
}

async function connect(): Promise<RawConnection> {
  const connection = await RawConnection.open(rig.gateway.url);
  open.push(connection);
  return connection;
}

async function readiness(base = rig.gateway.url): Promise<[number, string]> {
  const response = await fetch(`${base}/health/ready`);
  return [response.status, ((await response.json()) as { status: string }).status];
}

describe("a request beyond the bound", () => {
  it("is refused at once with a time to come back, before its token is looked at, and those before it are answered", async () => {
    const before = await fill();
    let isAnyAnswered = false;
    void Promise.race(before).then(() => {
      isAnyAnswered = true;
    });
    const { status, headers, errors } = await rig.post(VIEWER, { "content-type": "application/json" });
    expect(isAnyAnswered).toBe(false);
    expect(status).toBe(503);
    const retryAfterSeconds = Number(headers.get("retry-after"));
    expect([1, 2, 3, 4, 5]).toContain(retryAfterSeconds);
    expect(errors).toEqual([
      {
        message: expect.stringContaining("too many requests"),
        extensions: { code: "UPSTREAM_UNAVAILABLE", retryable: true, retryAfterSeconds },
      },
    ]);
    expect((await Promise.all(before)).map((reply) => reply.status)).toEqual(before.map(() => 200));
    expect(await underWay()).toBe(0);
    expect(await shed()).toBe(1);
    expect((await (await rig.member()).execute(ViewerDocument)).status).toBe(200);
  });

  it("is refused in GraphQL's own shape, as every answer is, and pages of listed origins can read it", async () => {
    const before = await fill();
    const { headers } = await rig.post(VIEWER, {
      "content-type": "application/json",
      accept: "application/graphql-response+json",
      origin: ORIGIN,
      "x-request-id": "mine",
    });
    expect(Object.fromEntries(headers)).toMatchObject({
      "content-type": "application/graphql-response+json; charset=utf-8",
      "cache-control": "no-store",
      "x-request-id": "mine",
      "x-content-type-options": "nosniff",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "access-control-allow-origin": ORIGIN,
    });
    expect(headers.get("access-control-expose-headers")).toContain("retry-after");
    await Promise.all(before);
  });

  it("leaves the log alone but for a line when refusals begin", async () => {
    const before = await fill();
    const lines = rig.logLines.length;
    const replies = await Promise.all(Array.from({ length: 20 }, () => rig.post(VIEWER, {})));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([503]));
    await setTimeout(200);
    expect(rig.logLines.slice(lines).filter((line) => line.includes("some are refused"))).toHaveLength(1);
    expect(rig.logLines.slice(lines).length).toBeLessThan(10);
    await Promise.all(before);
  });
});

describe("the connection of a request beyond the bound", () => {
  it("is kept, and its next request is answered when there is room", async () => {
    const member = await rig.member();
    const before = await fill();
    const connection = await connect();
    connection.send(viewerRequest(member));
    const chunks: string[] = [];
    connection.socket.on("data", (chunk: string) => chunks.push(chunk));
    await connection.until(/^HTTP\/1\.1 503 [\s\S]+connection: keep-alive[\s\S]+UPSTREAM_UNAVAILABLE/i);
    expect(chunks).toHaveLength(1);
    await Promise.all(before);
    connection.received = "";
    connection.send(viewerRequest(member));
    await connection.until(/^HTTP\/1\.1 200 [\s\S]+maxTokenLifetimeMinutes/);
  });

  it("is not read for a second, so that a client that does not wait is not refused all the time", async () => {
    const member = await rig.member();
    const before = await fill(2500);
    const connection = await connect();
    const refusal = /HTTP\/1\.1 503 [\s\S]+UPSTREAM_UNAVAILABLE/;
    connection.send(viewerRequest(member));
    await connection.until(refusal);
    const told = performance.now();
    connection.received = "";
    connection.send(viewerRequest(member));
    await connection.until(refusal);
    expect(performance.now() - told).toBeGreaterThan(900);
    await Promise.all(before);
  });

  it("keeps answers in their order when requests are sent ahead", async () => {
    const member = await rig.member();
    const before = await fill();
    const connection = await connect();
    connection.send(LIVE + viewerRequest(member, "x-request-id: second\r\n") + LIVE);
    await connection.until(/"live"[\s\S]+x-request-id: second[\s\S]+UPSTREAM_UNAVAILABLE[\s\S]+"live"/);
    await Promise.all(before);
  });

  it("is closed when the body is too long to be thrown away, or nobody knows how long it is", async () => {
    const before = await fill();
    for (const length of ["content-length: 100000", "transfer-encoding: chunked"]) {
      const connection = await connect();
      connection.send(
        `POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n${length}\r\n\r\n1\r\n{\r\n`,
      );
      expect(await connection.ended()).toMatch(/^HTTP\/1\.1 503 [\s\S]+connection: close[\s\S]+UPSTREAM_UNAVAILABLE/i);
    }
    await Promise.all(before);
  });

  it("does not wait for a body that was announced and does not come", async () => {
    const before = await fill();
    const connection = await connect();
    connection.send("POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-length: 100\r\n\r\n");
    await connection.until(/^HTTP\/1\.1 503 [\s\S]+UPSTREAM_UNAVAILABLE/);
    await Promise.all(before);
  });
});

describe("a request that has waited unseen for half of its time", () => {
  it("is not begun any more, and the next one is", async () => {
    const member = await rig.member();
    await member.execute(ViewerDocument);
    const connection = await connect();
    connection.send(viewerRequest(member));
    // The gateway is in this process.
    for (const end = performance.now() + 2500; performance.now() < end; );
    await connection.until(/^HTTP\/1\.1 503 [\s\S]+UPSTREAM_UNAVAILABLE/);
    expect(await metric(/^gateway_requests_shed_total\{reason="late"\} (\d+)$/m)).toBe(1);
    await expect.poll(async () => (await member.execute(ViewerDocument)).status, { interval: 200 }).toBe(200);
  });
});

describe("health", () => {
  it("is answered on both ports while requests are refused", async () => {
    const before = await fill();
    expect((await rig.post(VIEWER, {})).status).toBe(503);
    for (const base of [rig.gateway.url, rig.gateway.adminUrl]) {
      expect((await fetch(`${base}/health/live`)).status).toBe(200);
    }
    await Promise.all(before);
  });

  it("is not ready after a second with as much as there may be, is live all the time, and is ready again soon after", async () => {
    const before = await fill(3000);
    for (const base of [rig.gateway.url, rig.gateway.adminUrl]) {
      await expect.poll(() => readiness(base), { timeout: 3000 }).toEqual([503, "overloaded"]);
    }
    expect((await fetch(`${rig.gateway.url}/health/live`)).status).toBe(200);
    await Promise.all(before);
    await expect.poll(() => readiness(), { timeout: 5000 }).toEqual([200, "ready"]);
    expect(rig.logLines.filter((line) => line.includes('"overloaded'))).toHaveLength(2);
  });
});

describe("clients that break off", () => {
  it("make no room until the work that they asked for is done, and leave nothing behind", async () => {
    await rig.fault({ operation: "*", kind: "delay", delayMs: SLOW_MS, times: MAX_REQUESTS });
    const query = JSON.stringify({
      query: IssueAccessTokenDocument.toString(),
      variables: { scopes: ["CHAT"] },
    });
    for (let n = 0; n < MAX_REQUESTS; n++) {
      const { token } = await rig.member(`gone-${n}`);
      const connection = await connect();
      connection.send(
        `POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\nauthorization: Bearer ${token}\r\ncontent-length: ${query.length}\r\n\r\n${query}`,
      );
    }
    await expect.poll(underWay).toBe(MAX_REQUESTS);
    await rig.untilCalled("createIdentity", MAX_REQUESTS);
    for (const connection of open) connection.socket.resetAndDestroy();
    expect((await rig.post(VIEWER, {})).status).toBe(503);
    await expect.poll(underWay, { timeout: 5000 }).toBe(0);
    expect((await (await rig.member()).execute(ViewerDocument)).status).toBe(200);
  });

  it("leave nothing behind in the middle of a body", async () => {
    const member = await rig.member();
    await member.execute(ViewerDocument);
    for (let n = 0; n < MAX_REQUESTS; n++) (await connect()).send(viewerRequest(member).slice(0, -5));
    await expect.poll(underWay).toBe(MAX_REQUESTS);
    for (const connection of open) connection.socket.resetAndDestroy();
    await expect.poll(underWay).toBe(0);
  });
});

describe("a crowd that asks again and again on connections that are kept", () => {
  const CROWD = 500;
  const TIMES = 8;

  async function startRoomy(server: { readonly maxRequests?: number; readonly unreadyAtPercent?: number } = {}) {
    return await rig.startAnother({
      configure: (config) => ({
        ...config,
        server: { ...config.server, ...server },
        limits: { ...config.limits, requestsPerSubject: 1_000_000 },
      }),
    });
  }
  type Gauge = "requests_under_way" | "connections_unread";
  const read = async ({ adminUrl }: { readonly adminUrl: string }, gauge: Gauge) => {
    const text = await (await fetch(`${adminUrl}/metrics`)).text();
    return Number(new RegExp(`^gateway_${gauge} (\\d+)$`, "m").exec(text)?.[1]);
  };
  /** Asks as soon as there is an answer, so often, unless the connection is to be closed. The status of each answer. */
  async function askAgain(connection: RawConnection, request: string, times: number): Promise<string[]> {
    const statuses: string[] = [];
    while (statuses.length < times) {
      connection.received = "";
      connection.send(request);
      const [, status = "", head] = await connection.until(/^HTTP\/1\.1 (\d+) (.*?)\r\n\r\n.*\}$/s);
      statuses.push(status);
      if (head?.toLowerCase().includes("\r\nconnection: close")) break;
    }
    return statuses;
  }

  it("is answered in full, though its connections are not all read at all times, which metrics tell", async () => {
    const roomy = await startRoomy();
    const request = viewerRequest(await rig.member());
    for (let n = 0; n < CROWD; n++) open.push(await RawConnection.open(roomy.url));
    let isSeen = false;
    const askUntilSeen = async (connection: RawConnection) => {
      const statuses: string[] = [];
      while (!isSeen) statuses.push(...(await askAgain(connection, request, 1)));
      return [...statuses, ...(await askAgain(connection, request, TIMES))];
    };
    const asking = Promise.all(open.map(askUntilSeen));
    await expect.poll(() => read(roomy, "connections_unread"), { interval: 1 }).toBeGreaterThan(0);
    isSeen = true;
    const all = await asking;
    expect(Math.min(...all.map(({ length }) => length))).toBeGreaterThanOrEqual(TIMES);
    expect(new Set(all.flat())).toEqual(new Set(["200"]));
    await expect.poll(() => read(roomy, "connections_unread")).toBe(0);
  }, 30_000);

  it("has few requests under way, which are read, and makes the gateway unready though they alone would not", async () => {
    const roomy = await startRoomy({ maxRequests: 600, unreadyAtPercent: 60 });
    const request = viewerRequest(await rig.member());
    for (let n = 0; n < CROWD; n++) open.push(await RawConnection.open(roomy.url));
    const asking = Promise.allSettled(open.map((connection) => askAgain(connection, request, 10_000)));
    await expect.poll(() => readiness(roomy.adminUrl), { timeout: 10_000 }).toEqual([503, "overloaded"]);
    const [line = "{}"] = roomy.logLines.filter((line) => line.includes("overloaded: not ready"));
    const { underWay, unread } = JSON.parse(line) as Signs;
    expect(underWay).toBeLessThan(360);
    expect(underWay + unread).toBeGreaterThanOrEqual(360);
    expect(roomy.logLines.filter((line) => line.includes("some are refused"))).toEqual([]);
    for (const connection of open) connection.close();
    await asking;
    await expect.poll(() => read(roomy, "connections_unread")).toBe(0);
    await expect.poll(() => readiness(roomy.adminUrl), { timeout: 10_000 }).toEqual([200, "ready"]);
  }, 30_000);

  it.each([
    ["is kept", 1, (request: string) => request],
    ["is closed as its client wants", 0, (request: string) => request.replace("\r\n", "\r\nconnection: Close\r\n")],
    ["is of HTTP/1.0", 0, (request: string) => request.replace("HTTP/1.1", "HTTP/1.0")],
    [
      "is refused before its body has come",
      0,
      (request: string) => request.replace("Bearer ", "Bearer x").slice(0, -5),
    ],
    [
      "has a stream for an answer",
      0,
      (request: string) => request.replace("\r\n", "\r\naccept: text/event-stream\r\n"),
    ],
  ])(
    "is left unread where its connection has nothing before it but a next request: one that %s",
    async (_, times, change) => {
      const answered = vi.spyOn(Turns.prototype, "answered");
      const connection = await connect();
      connection.send(change(viewerRequest(await rig.member())));
      await connection.until(/^HTTP\/1\.1 \d+ .*\r\n\r\n./s);
      expect(answered).toHaveBeenCalledTimes(times);
      answered.mockRestore();
    },
  );

  it("is answered to the last request when the gateway is stopped", async () => {
    const roomy = await startRoomy();
    const request = viewerRequest(await rig.member());
    for (let n = 0; n < CROWD; n++) open.push(await RawConnection.open(roomy.url));
    const asking = Promise.all(open.map((connection) => askAgain(connection, request, 1000)));
    await expect.poll(() => read(roomy, "connections_unread"), { interval: 1 }).toBeGreaterThan(0);
    await roomy.close();
    // A request that is cut off, or whose answer does not come, ends it with an error.
    const all = await asking;
    expect(new Set(all.flat())).toEqual(new Set(["200"]));
    expect(Math.max(...all.map(({ length }) => length))).toBeLessThan(1000);
  }, 30_000);
});
