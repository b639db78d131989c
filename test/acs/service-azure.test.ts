import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type CommunicationService, ServiceFailure } from "../../src/acs/service.js";
import { connectAzureService } from "../../src/acs/service-azure.js";
import { Secret } from "../../src/config/secret.js";
import { createLogger } from "../../src/observe/logger.js";

const CANARY = "eyJ.a-token-that-must-not-be-logged";

let server: Server;
let service: CommunicationService;
let reply: { status: number; body: string; headers?: Record<string, string> };

beforeEach(async () => {
  server = createServer((_, response) => {
    response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers });
    response.end(reply.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const access = { kind: "key", endpoint, accessKeys: [new Secret("AAAA")] } as const;
  service = await connectAzureService({ access, timeoutMs: 2000, observe: () => {} });
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
});

async function create(): Promise<unknown> {
  return await service
    .createIdentityWithToken({ scopes: ["CHAT"], lifetimeMinutes: 60 })
    .catch((error: unknown) => error);
}

describe("an answer that is no good", () => {
  const identity = { id: "8:acs:x_y" };
  it.each([
    ["a success whose body is cut off", 201, `{"identity":{"id":"8:acs:x_y"},"accessToken":{"token":"${CANARY}`],
    ["a success without a token", 201, JSON.stringify({ identity })],
    ["a token without an end", 201, JSON.stringify({ identity, accessToken: { token: CANARY } })],
    [
      "a success without an id",
      201,
      JSON.stringify({ identity: {}, accessToken: { token: CANARY, expiresOn: "2030-01-01T00:00:00Z" } }),
    ],
    ["a redirect to nowhere", 304, ""],
    ["a server's error", 500, "{}"],
    ["a time-out said by a proxy", 408, "{}"],
  ])("may have taken effect, and nothing of it is logged: %s", async (_, status, body) => {
    reply = { status, body };
    const error = await create();
    expect(error).toBeInstanceOf(ServiceFailure);
    expect(error).toMatchObject({ effect: "unknown", code: "UPSTREAM_UNAVAILABLE" });
    let logged = "";
    const destination = new Writable({
      write: (line, __, done) => {
        logged += String(line);
        done();
      },
    });
    createLogger({ level: "trace", secrets: [], destination }).error({ err: error });
    expect(logged).toMatch(/Communication Services (is out of order|answered what cannot be used)/);
    expect(logged).not.toContain(CANARY);
  });

  it.each([400, 401, 403, 404, 409, 429])("has had no effect when it is a refusal: %i", async (status) => {
    reply = { status, body: '{"error":{"code":"No","message":"because"}}' };
    expect(await create()).toMatchObject({ effect: "none", code: "UPSTREAM_UNAVAILABLE" });
  });

  it("has had no effect when nobody listens", async () => {
    await new Promise((resolve) => server.close(resolve));
    expect(await create()).toMatchObject({ effect: "none", code: "UPSTREAM_UNAVAILABLE" });
    server.listen(0);
  });
});

describe("an answer that asks to wait", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.parse("2030-01-01T00:00:00Z") });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([
    ["whole seconds", { "retry-after": "7" }, 7],
    ["no time at all", { "retry-after": "0" }, 1],
    ["an hour", { "retry-after": "3600" }, 3600],
    ["more than an hour", { "retry-after": "3601" }, 3600],
    ["a date", { "retry-after": "Tue, 01 Jan 2030 00:01:30 GMT" }, 90],
    ["a date that is past", { "retry-after": "Mon, 31 Dec 2029 23:59:00 GMT" }, 1],
    ["a date that is a day away", { "retry-after": "Wed, 02 Jan 2030 00:00:00 GMT" }, 3600],
    ["milliseconds", { "retry-after-ms": "1500" }, 2],
    ["milliseconds in Azure's header", { "x-ms-retry-after-ms": "2001" }, 3],
    ["milliseconds and, for others, seconds", { "retry-after-ms": "1500", "retry-after": "7" }, 2],
    ["milliseconds that are none, and seconds", { "retry-after-ms": "soon", "retry-after": "7" }, 7],
    ["nonsense", { "retry-after": "soon" }, undefined],
    ["less than nothing", { "retry-after": "-5" }, undefined],
    ["milliseconds less than nothing", { "retry-after-ms": "-5" }, undefined],
    ["a part of a second", { "retry-after": "1.5" }, undefined],
    ["nothing", {}, undefined],
  ])("is heeded within an hour: %s", async (_, headers, seconds) => {
    reply = { status: 429, body: "{}", headers };
    expect(await create()).toMatchObject({ reason: "throttled", askedToWaitSeconds: seconds });
  });
});
