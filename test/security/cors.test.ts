import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client, Rig } from "../fixtures/rig.js";

const APP = "https://app.example.com";
const OTHER_APP = "http://localhost:5173";
const VIEWER = { query: "{ viewer { maxTokenLifetimeMinutes } }" };
const EXPOSED = "x-request-id, retry-after, ratelimit, ratelimit-policy, dpop-nonce, www-authenticate";
const HEADERS =
  "authorization, content-type, accept, dpop, x-request-id, apollographql-client-name, apollographql-client-version, " +
  "traceparent, tracestate, baggage";

let open: Rig;
let closed: Rig;
let member: Client;

beforeAll(async () => {
  open = await Rig.start({
    configure: (config) => ({
      ...config,
      server: { ...config.server, corsOrigins: [APP, OTHER_APP] },
      limits: { ...config.limits, requestsPerSubject: 40 },
    }),
  });
  closed = await Rig.start();
  member = await open.member();
});
beforeEach(async () => {
  await open.takeCalls();
});
afterAll(async () => {
  await open.close();
  await closed.close();
});

async function preflight(rig: Rig, origin: string, path = "/graphql"): Promise<Response> {
  return await fetch(`${rig.gateway.url}${path}`, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type",
    },
  });
}

/** What a browser's decision depends on. */
function corsHeaders(headers: Headers): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => name.startsWith("access-control-") || name === "vary"));
}

describe("a page of a listed origin", () => {
  it.each([APP, OTHER_APP])("may ask before it calls: %s", async (origin) => {
    const response = await preflight(open, origin);
    expect([response.status, await response.text()]).toEqual([204, ""]);
    expect(corsHeaders(response.headers)).toEqual({
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "POST",
      "access-control-allow-headers": HEADERS,
      "access-control-max-age": "600",
      vary: "Origin",
    });
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.has("content-length")).toBe(false);
  });

  it("can read the answer and the headers that it needs", async () => {
    const reply = await member.send(VIEWER, { origin: APP });
    expect(reply.status).toBe(200);
    expect(corsHeaders(reply.headers)).toEqual({
      "access-control-allow-origin": APP,
      "access-control-expose-headers": EXPOSED,
      vary: "Origin",
    });
  });

  const failures: [number, () => Promise<{ status: number; headers: Headers }>][] = [
    [400, () => member.send({}, { origin: APP })],
    [401, () => open.post("{}", { "content-type": "application/json", origin: APP })],
    [406, () => member.send(VIEWER, { origin: APP, accept: "text/html" })],
    [413, () => member.send({ query: "#".repeat(70_000) }, { origin: APP })],
    [415, () => member.send(VIEWER, { origin: APP, "content-type": "text/plain" })],
    [
      429,
      async () => {
        const bob = await open.member("bob");
        for (let asked = 0; asked < 40; asked++) await bob.send(VIEWER);
        return await bob.send(VIEWER, { origin: APP });
      },
    ],
  ];
  it.each(failures)("can read a %i, too", async (status, ask) => {
    const reply = await ask();
    expect(reply.status).toBe(status);
    expect(corsHeaders(reply.headers)).toMatchObject({
      "access-control-allow-origin": APP,
      "access-control-expose-headers": EXPOSED,
      vary: "Origin",
    });
  });

  it("reaches nothing but GraphQL", async () => {
    expect(corsHeaders((await preflight(open, APP, "/health/ready")).headers)).toEqual({});
    const response = await fetch(`${open.gateway.adminUrl}/metrics`, { headers: { origin: APP } });
    expect(corsHeaders(response.headers)).toEqual({});
  });
});

describe("a page of any other origin", () => {
  const isToldOfTheOrigin = async (response: Response) => {
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({
      errors: [{ message: expect.stringContaining("server.corsOrigins"), extensions: { code: "FORBIDDEN" } }],
    });
  };

  const origins = [
    "null",
    "*",
    "https://evil.example.com",
    `${APP}.evil.example.com`,
    `${APP}/`,
    `${APP}:443`,
    "https://APP.example.com",
    "http://app.example.com",
    "https://sub.app.example.com",
    "https://xapp.example.com",
    "app.example.com",
    `${APP}, ${APP}`,
    `${APP} ${OTHER_APP}`,
    "http://localhost:5174",
  ];
  it.each(origins)("is allowed nothing, before and after: %s", async (origin) => {
    const before = await preflight(open, origin);
    await isToldOfTheOrigin(before);
    expect(corsHeaders(before.headers)).toEqual({ vary: "Origin" });
    const after = await member.send(VIEWER, { origin });
    expect(corsHeaders(after.headers)).toEqual({ vary: "Origin" });
    expect(await open.takeCalls()).toEqual({});
  });

  it.each([APP, "null", "*"])("is allowed nothing when none is listed: %s", async (origin) => {
    const before = await preflight(closed, origin);
    await isToldOfTheOrigin(before);
    expect(corsHeaders(before.headers)).toEqual({});
    const reply = await (await closed.member()).send(VIEWER, { origin });
    expect(corsHeaders(reply.headers)).toEqual({});
  });

  it("is told of the origin by what asks first alone: a call with the same headers is answered", async () => {
    const headers = { origin: "https://evil.example.com", "access-control-request-method": "POST" };
    expect((await member.send(VIEWER, headers)).status).toBe(200);
  });

  it("cannot send a request that browsers send without asking", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
      const reply = await member.send(VIEWER, { origin: "https://evil.example.com", "content-type": type });
      expect(reply.status).toBe(415);
    }
  });
});

it("is served the same without an origin, as apps and servers send it", async () => {
  const reply = await member.send(VIEWER);
  expect(reply.status).toBe(200);
  expect(corsHeaders(reply.headers)).toEqual({ vary: "Origin" });
});
