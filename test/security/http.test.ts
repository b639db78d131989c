import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { listen } from "../../src/http/server.js";
import { RawConnection } from "../fixtures/raw.js";
import { type Client, Rig } from "../fixtures/rig.js";
import { ViewerDocument } from "../generated/graphql.js";

const MAX_CONNECTIONS = 20;
const HOST = "host: gateway\r\n";
const LIVE = `GET /health/live HTTP/1.1\r\n${HOST}\r\n`;
const VIEWER = JSON.stringify({ query: "{ viewer { maxTokenLifetimeMinutes } }" });

let rig: Rig;
let member: Client;
const open: RawConnection[] = [];

beforeAll(async () => {
  rig = await Rig.start({
    configure: (config) => ({
      ...config,
      server: { ...config.server, clientTimeoutSeconds: 1, maxConnections: MAX_CONNECTIONS },
    }),
  });
  member = await rig.member();
});
beforeEach(async () => {
  await rig.takeCalls();
});
/** Whatever was tried: the service saw nothing of it, and the next good request works. */
afterEach(async () => {
  for (const connection of open.splice(0)) connection.close();
  expect(await rig.takeCalls()).toEqual({});
  await untilAnswered();
});
afterAll(async () => {
  await rig.close();
});

async function untilAnswered(): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const reply = await member.execute(ViewerDocument).catch(() => undefined);
    if (reply?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("a good request is not answered any more");
}

async function connect(url = rig.gateway.url): Promise<RawConnection> {
  const connection = await RawConnection.open(url);
  open.push(connection);
  return connection;
}

function post(headers: string, body = "", version = "1.1"): string {
  return `POST /graphql HTTP/${version}\r\n${HOST}content-type: application/json\r\nauthorization: Bearer ${member.token}\r\n${headers}\r\n${body}`;
}

/** A request for the viewer, whole. */
const viewerRequest = (headers = "") => post(`content-length: ${VIEWER.length}\r\n${headers}`, VIEWER);

/** Exactly one answer, of this status, in JSON, that no cache keeps; then the connection is closed. */
function expectRefusal(received: string, status: number): void {
  const [head = "", body = "", ...more] = received.split("\r\n\r\n");
  expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .+\r\n`));
  expect(more).toEqual([]);
  expect(head).toMatch(/\r\ncache-control: no-store(\r\n|$)/i);
  expect(head).toMatch(/\r\nx-request-id: [^\r]+/i);
  expect(head).toMatch(/\r\nconnection: close(\r\n|$)/i);
  expect(head).toMatch(/\r\ncontent-type: application\/json/i);
  expect(JSON.parse(body)).toEqual({ error: expect.any(String) });
  expect(received.length).toBeLessThan(2048);
}

const PORTS = [
  ["public", () => rig.gateway.url],
  ["admin", () => rig.gateway.adminUrl],
] as const;

describe.each(PORTS)("a slow client of the %s port", (_, url) => {
  it("is answered 408 when its headers do not come to an end", async () => {
    const connection = await connect(url());
    connection.send("GET /health/live HTTP/1.1\r\nhost: gateway\r\nx-slow: ");
    const drip = setInterval(() => connection.send("a"), 100);
    const received = await connection.ended();
    clearInterval(drip);
    expectRefusal(received, 408);
  });

  it("is cut off without a word when it says nothing", async () => {
    const connection = await connect(url());
    expect(await connection.ended()).toBe("");
  });

  it("is cut off when it stops in the middle of its second request", async () => {
    const connection = await connect(url());
    connection.send(LIVE);
    await connection.until(/"live"}/);
    connection.received = "";
    connection.send("GET /hea");
    expectRefusal(await connection.ended(), 408);
  });

  it("is cut off when it has closed its half and has not asked", async () => {
    const connection = await connect(url());
    connection.socket.end("GET /hea");
    expectRefusal(await connection.ended(), 400);
  });
});

describe("a slow client", () => {
  it.each([
    ["with a stated length", "content-length: 100\r\n", "{", "x"],
    ["in chunks", "transfer-encoding: chunked\r\n", "1\r\n{\r\n", "1\r\nx\r\n"],
  ])("is answered 408 when its body does not come to an end: %s", async (_, headers, first, next) => {
    const connection = await connect();
    connection.send(post(headers, first));
    const drip = setInterval(() => connection.send(next), 100);
    const received = await connection.ended();
    clearInterval(drip);
    expectRefusal(received, 408);
  });

  it("is cut off when it does not take its answer", async () => {
    // More than the buffers of both ends hold.
    const large = async () => ({ status: 200, headers: {}, body: Buffer.alloc(64 * 1024 * 1024, "a") });
    const listener = await listen({
      host: "127.0.0.1",
      port: 0,
      portVariable: "PORT",
      routes: new Map([["/large", large]]),
      clientTimeoutMs: 1000,
      keepAliveMs: 1000,
      maxConnections: MAX_CONNECTIONS,
      fixedHeaders: {},
      onRefused: () => {},
      onFailure: () => {},
    });
    const connection = await connect(listener.url);
    connection.socket.pause();
    connection.send(`GET /large HTTP/1.1\r\n${HOST}\r\n`);
    // Who does not read learns only by sending that the other end has closed.
    const drip = setInterval(() => connection.send("\r\n"), 100);
    expect(await connection.ended()).toBe("");
    clearInterval(drip);
    await listener.close();
  });
});

describe("a tunnel whose other end is gone before the answer", () => {
  it.each(PORTS)("does no harm on the %s port", async (_, url) => {
    const uncaught: unknown[] = [];
    const note = (error: unknown) => uncaught.push(error);
    process.on("uncaughtException", note);
    for (let n = 0; n < 50; n++) {
      const connection = await RawConnection.open(url());
      connection.send(`CONNECT a:1 HTTP/1.1\r\n${HOST}\r\n`);
      if (n % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      connection.socket.resetAndDestroy();
    }
    await untilAnswered();
    process.off("uncaughtException", note);
    expect(uncaught).toEqual([]);
  });
});

describe("a connection that brings many requests", () => {
  it("does not grow by them", async () => {
    const warnings: string[] = [];
    const onWarning = ({ name }: Error) => warnings.push(name);
    process.on("warning", onWarning);
    const connection = await connect();
    for (let n = 0; n < 50; n++) {
      connection.received = "";
      connection.send(LIVE);
      await connection.until(/"live"/);
    }
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });
});

describe("connections that are kept and ask nothing", () => {
  it("make room for whoever does, when there is none left, which a metric counts", async () => {
    const idle = await Promise.all(Array.from({ length: 2 * MAX_CONNECTIONS }, () => connect()));
    for (const connection of idle) connection.send(LIVE);
    const answered = await Promise.allSettled(idle.map((connection) => connection.until(/"live"/)));
    expect(answered.filter(({ status }) => status === "fulfilled").length).toBeGreaterThan(MAX_CONNECTIONS / 2);
    const another = async () =>
      await RawConnection.exchange(rig.gateway.url, LIVE.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    await expect.poll(another, { timeout: 10_000 }).toContain('"live"');
    const metrics = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
    expect(metrics).toMatch(/^gateway_connection_refusals_total\{what="dropped"\} [1-9]/m);
  });
});

describe("what is refused before there is a request", () => {
  it("is counted by its status", async () => {
    const count = async () => {
      const metrics = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
      return Number(/^gateway_connection_refusals_total\{what="400"\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
    };
    const before = await count();
    await RawConnection.exchange(rig.gateway.url, "nonsense\r\n\r\n");
    await RawConnection.exchange(
      rig.gateway.url,
      `POST /graphql HTTP/1.1\r\n${HOST}content-type: a/b\r\ncontent-type: c/d\r\n\r\n`,
    );
    expect(await count()).toBe(before + 2);
  });
});

describe("requests that are sent ahead of their answers", () => {
  it("are answered in their order", async () => {
    const connection = await connect();
    connection.send(
      Array.from({ length: 10 }, (_, n) => LIVE.replace("\r\n\r\n", `\r\nx-request-id: ${n}.\r\n\r\n`)).join(""),
    );
    await connection.until(/x-request-id: 9\./);
    expect([...connection.received.matchAll(/x-request-id: (\d)\./g)].map(([, n]) => n).join("")).toBe("0123456789");
  });

  it.each(PORTS)("are cut off when they are too many on the %s port", async (_, url) => {
    const received = await RawConnection.exchange(url(), LIVE.repeat(1000));
    expect(received.match(/HTTP\/1\.1 200/g) ?? []).not.toHaveLength(1000);
  });
});

describe("connections that do nothing", () => {
  it("leave one that is open already its answers, and free their places", async () => {
    const good = await connect();
    good.send(viewerRequest());
    await good.until(/maxTokenLifetimeMinutes/);
    const idle = await Promise.all(Array.from({ length: 3 * MAX_CONNECTIONS }, () => connect()));
    for (const connection of idle) connection.send("GET /");
    good.received = "";
    good.send(viewerRequest());
    await good.until(/maxTokenLifetimeMinutes/);
    const ends = await Promise.all(idle.map((connection) => connection.ended()));
    const refused = ends.filter((received) => received.startsWith("HTTP/1.1 408"));
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(MAX_CONNECTIONS);
    expect(ends.filter((received) => received === "")).toHaveLength(idle.length - refused.length);
  });

  it("do not keep the admin port from its own", async () => {
    const idle = await Promise.all(Array.from({ length: MAX_CONNECTIONS }, () => connect()));
    for (const connection of idle) connection.send("GET /");
    expect((await fetch(`${rig.gateway.adminUrl}/health/live`)).status).toBe(200);
  });
});

describe("a request that two servers could read in two ways", () => {
  const inner = `GET /health/live HTTP/1.1\r\n${HOST}\r\n`;
  const chunked = "transfer-encoding: chunked\r\n";
  const lengths: [string, string][] = [
    ["a length and chunks", `content-length: 5\r\n${chunked}`],
    ["chunks and a length", `${chunked}content-length: 5\r\n`],
    ["a length twice", "content-length: 5\r\ncontent-length: 5\r\n"],
    ["two lengths", "content-length: 5\r\ncontent-length: 6\r\n"],
    ["a list of lengths", "content-length: 5, 5\r\n"],
    ["a length with a sign", "content-length: +5\r\n"],
    ["a negative length", "content-length: -5\r\n"],
    ["a length in another base", "content-length: 0x5\r\n"],
    ["a length in two parts", "content-length: 1 5\r\n"],
    ["a length beyond all numbers", "content-length: 99999999999999999999\r\n"],
    ["no length in the header", "content-length: \r\n"],
    ["a space before the colon", "content-length : 5\r\n"],
    ["chunks twice", `${chunked}${chunked}`],
    ["chunks, then something else", "transfer-encoding: chunked, identity\r\n"],
    ["chunks after a vertical tab", "transfer-encoding:\x0bchunked\r\n"],
    ["a header over two lines", "x-folded: a\r\n b\r\n"],
    ["a header that ends in a bare LF", "x-bare: a\nx-next: b\r\n"],
    ["a header with a bare CR", "x-bare: a\rx-next: b\r\n"],
    ["a header with a NUL", "x-nul: a\0b\r\n"],
    ["a header without a name", ": a\r\n"],
    ["a header without a colon", "x-nothing\r\n"],
    ["a second host", HOST],
    ["a second media type", "content-type: text/plain\r\n"],
  ];
  it.each(lengths)("is a 400, and what hides in it is not answered: %s", async (_, headers) => {
    expectRefusal(await RawConnection.exchange(rig.gateway.url, post(headers, `0\r\n\r\n${inner}`)), 400);
  });

  it.each(["gzip", "gzip, chunked", "xchunked", '"chunked"'])("is a 501 with the coding %j", async (coding) => {
    const request = post(`transfer-encoding: ${coding}\r\n`, `0\r\n\r\n${inner}`);
    expectRefusal(await RawConnection.exchange(rig.gateway.url, request), 501);
  });

  it.each([
    ["a size in another form", "0x5\r\nhello\r\n0\r\n\r\n"],
    ["a negative size", "-1\r\nhello\r\n0\r\n\r\n"],
    ["a size beyond all numbers", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"],
    ["a size that ends in a bare LF", "5\nhello\r\n0\r\n\r\n"],
    ["a chunk that is longer than its size", "1\r\nhello\r\n0\r\n\r\n"],
    ["an extension that ends in a bare LF", "5;a\nhello\r\n0\r\n\r\n"],
  ])("is a 400 in the middle of its body: %s", async (_, body) => {
    expectRefusal(await RawConnection.exchange(rig.gateway.url, post(chunked, `${body}${inner}`)), 400);
  });

  it("is a 413 with chunk extensions beyond measure", async () => {
    const body = `5;${"a".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`;
    expectRefusal(await RawConnection.exchange(rig.gateway.url, post(chunked, body)), 413);
  });

  it("is a 400 in HTTP/1.0 with chunks", async () => {
    expectRefusal(await RawConnection.exchange(rig.gateway.url, post(chunked, "0\r\n\r\n", "1.0")), 400);
  });

  it("gets no second answer when the first has left before the fault came", async () => {
    const request = `POST /graphql HTTP/1.1\r\n${HOST}${chunked}\r\n5\r\nhelloXX\r\n${inner}`;
    const received = await RawConnection.exchange(rig.gateway.url, request);
    expect(received.match(/HTTP\/1\.1 \d{3}/g)).toEqual(["HTTP/1.1 415"]);
  });

  it("is never answered in the place of one before it", async () => {
    const connection = await connect();
    connection.send(`${viewerRequest()}NONSENSE\r\n\r\n`);
    expect(await connection.ended()).not.toMatch(/^HTTP\/1\.1 400/);
  });
});

describe.each(PORTS)("the head of a request on the %s port", (_, url) => {
  it("may have a token of 8 KB, a proof and a certificate", async () => {
    const large = ["dpop", "client-cert", "cookie"].map((name) => `${name}: ${"a".repeat(7000)}\r\n`).join("");
    const received = await RawConnection.exchange(
      url(),
      `GET /health/live HTTP/1.1\r\n${HOST}authorization: Bearer ${"a".repeat(8192)}\r\n${large}connection: close\r\n\r\n`,
    );
    expect(received).toMatch(/^HTTP\/1\.1 200 /);
  });

  it.each([
    ["in one header", `x-large: ${"a".repeat(33_000)}\r\n`],
    ["in many", `x-large: ${"a".repeat(1000)}\r\n`.repeat(33)],
    ["by their number", "a: b\r\n".repeat(101)],
  ])("is a 431 when it is too large %s", async (_name, headers) => {
    expectRefusal(await RawConnection.exchange(url(), `GET /health/live HTTP/1.1\r\n${HOST}${headers}\r\n`), 431);
  });

  it.each([
    ["no host", "GET /health/live HTTP/1.1\r\n\r\n", 400],
    ["an unknown method", `BREW /health/live HTTP/1.1\r\n${HOST}\r\n`, 400],
    ["no request at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
    ["HTTP/0.9", "GET /health/live\r\n\r\n", 505],
    ["HTTP/2 without its handshake", `GET /health/live HTTP/2.0\r\n${HOST}\r\n`, 505],
    ["HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
    ["a tunnel", "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n", 405],
    ["an expectation of its own", `POST /graphql HTTP/1.1\r\n${HOST}expect: a-miracle\r\n\r\n`, 417],
  ])("is refused with %s", async (_name, request, status) => {
    expectRefusal(await RawConnection.exchange(url(), request), status);
  });

  it("may be of HTTP/1.0, as load balancers' checks are, and closes the connection", async () => {
    const received = await RawConnection.exchange(url(), "GET /health/live HTTP/1.0\r\n\r\n");
    expect(received).toMatch(/^HTTP\/1\.1 200 [\s\S]+"live"/);
  });

  it("may have a target in absolute form (RFC 9112 §3.2.2), whose host counts for nothing", async () => {
    const request = `GET http://other.example.com/health/live?x HTTP/1.1\r\n${HOST}connection: close\r\n\r\n`;
    expect(await RawConnection.exchange(url(), request)).toMatch(/^HTTP\/1\.1 200 [\s\S]+"live"/);
  });

  it.each(["websocket", "h2c"])("that asks for an upgrade to %s is answered in HTTP/1.1", async (protocol) => {
    const connection = await connect(url());
    const upgrade = `connection: upgrade, http2-settings\r\nupgrade: ${protocol}\r\nhttp2-settings: AAMAAABk\r\n`;
    connection.send(`GET /health/live HTTP/1.1\r\n${HOST}${upgrade}\r\n`);
    expect((await connection.until(/^HTTP\/1\.1 (\d{3})[\s\S]+"live"/))[1]).toBe("200");
  });
});

describe("methods", () => {
  const paths = () => [
    `${rig.gateway.url}/health/live`,
    `${rig.gateway.url}/health/ready`,
    `${rig.gateway.adminUrl}/health/live`,
    `${rig.gateway.adminUrl}/health/ready`,
    `${rig.gateway.adminUrl}/metrics`,
  ];

  it.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])("%s of health and metrics is a 405", async (method) => {
    for (const path of paths()) {
      const response = await fetch(path, { method });
      expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    }
  });

  it("HEAD of health and metrics is the head of GET", async () => {
    for (const path of paths()) {
      const response = await fetch(path, { method: "HEAD" });
      expect([response.status, await response.text()]).toEqual([200, ""]);
      expect(Number(response.headers.get("content-length"))).toBeGreaterThan(0);
    }
  });

  it.each(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "QUERY"])("%s of GraphQL is a 405", async (method) => {
    const received = await RawConnection.exchange(
      rig.gateway.url,
      `${method} /graphql HTTP/1.1\r\n${HOST}authorization: Bearer ${member.token}\r\nconnection: close\r\n\r\n`,
    );
    expect(received).toMatch(/^HTTP\/1\.1 405 /);
    expect(received).toMatch(/\r\nallow: POST\r\n/i);
    expect(received).not.toContain(member.token);
  });
});

describe("every answer", () => {
  const FIXED = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "strict-transport-security": null,
    server: null,
    "x-powered-by": null,
  };
  const headersOf = (response: Response, names: Record<string, unknown>) =>
    Object.fromEntries(Object.keys(names).map((name) => [name, response.headers.get(name)]));
  const asked = (url: string, init: RequestInit = {}): [string, RequestInit] => [url, init];
  const requests = ({ url, adminUrl }: { url: string; adminUrl: string }) => [
    asked(`${url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${member.token}` },
      body: VIEWER,
    }),
    asked(`${url}/graphql`, { method: "POST" }),
    asked(`${url}/graphql`),
    asked(`${url}/nothing`),
    ...[url, adminUrl].flatMap((base) => ["live", "ready"].map((path) => asked(`${base}/health/${path}`))),
    asked(`${adminUrl}/metrics`),
    asked(`${adminUrl}/graphql`),
  ];

  it("says the same to browsers on both ports, whatever its status", async () => {
    for (const request of requests(rig.gateway)) {
      expect(headersOf(await fetch(...request), FIXED)).toEqual(FIXED);
    }
  });

  it("says so, too, when there was no request to answer", async () => {
    const received = await RawConnection.exchange(rig.gateway.url, "NONSENSE\r\n\r\n");
    for (const [name, value] of Object.entries(FIXED)) {
      if (value === null) expect(received.toLowerCase()).not.toContain(`\r\n${name}:`);
      else expect(received).toContain(`\r\n${name}: ${value}\r\n`);
    }
  });

  it("holds browsers to https when that is how clients come", async () => {
    const https = await Rig.start({
      configure: (config) => ({ ...config, server: { ...config.server, publicUrl: "https://tokens.example.com" } }),
    });
    try {
      for (const [url, init] of requests(https.gateway)) {
        const response = await fetch(url, init);
        expect(response.headers.get("strict-transport-security")).toBe("max-age=31536000");
      }
    } finally {
      await https.close();
    }
  });
});
