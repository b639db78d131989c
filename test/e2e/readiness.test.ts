import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startEmulator } from "../../src/emulator/emulator.js";
import { Rig } from "../fixtures/rig.js";
import { IssueAccessTokenDocument } from "../generated/graphql.js";

interface Ready {
  readonly status: string;
  readonly dependencies: readonly { readonly name: string; readonly ok: boolean; readonly problem?: string }[];
}

let rig: Rig;

beforeEach(async () => {
  rig = await Rig.start();
});
afterEach(async () => {
  await rig.close();
});

async function ready(base = rig.gateway.url): Promise<{ httpStatus: number; body: Ready }> {
  const response = await fetch(`${base}/health/ready`);
  return { httpStatus: response.status, body: (await response.json()) as Ready };
}

async function missing(): Promise<string[]> {
  const { body } = await ready();
  return body.dependencies.filter(({ ok }) => !ok).map(({ name }) => name);
}

describe("health", () => {
  it("is live and ready on both ports when everything is there", async () => {
    for (const base of [rig.gateway.url, rig.gateway.adminUrl]) {
      expect((await fetch(`${base}/health/live`)).status).toBe(200);
      expect(await ready(base)).toMatchObject({ httpStatus: 200, body: { status: "ready" } });
    }
  });

  it("tells what is wrong on the admin port alone: it is nobody else's business", async () => {
    rig.issuer.outage = { status: 500 };
    await rig.restartGateway();
    const problems = async (base: string) =>
      (await ready(base)).body.dependencies.map(({ problem }) => problem ?? null);
    expect(await problems(rig.gateway.adminUrl)).toContain("The keys of the token's issuer cannot be fetched.");
    expect(new Set(await problems(rig.gateway.url))).toEqual(new Set([null]));
  });

  it("says that the service is down at the start, and recovers by itself", async () => {
    const { port, connectionString, resourceId } = rig.emulator;
    const accessKey = connectionString.split("accesskey=")[1] ?? "";
    await rig.gateway.close();
    await rig.emulator.close();
    await rig.startGateway();
    expect(await ready()).toMatchObject({ httpStatus: 503, body: { status: "unavailable" } });
    expect(await missing()).toEqual(["communication-services"]);
    expect(await (await rig.member()).execute(IssueAccessTokenDocument, { scopes: ["CHAT"] })).toMatchObject({
      status: 503,
      errors: [{ extensions: { code: "UPSTREAM_UNAVAILABLE" } }],
    });
    const back = await startEmulator({
      host: "127.0.0.1",
      port,
      resourceId,
      accessKey,
      latency: "none",
      rateLimits: false,
    });
    try {
      await expect.poll(async () => (await ready()).httpStatus, { timeout: 5000 }).toBe(200);
      expect(await (await rig.member()).execute(IssueAccessTokenDocument, { scopes: ["CHAT"] })).toMatchObject({
        status: 200,
      });
    } finally {
      await back.close();
    }
  });

  it("stays where only the store is asked for, though service and issuer are away, and names them", async () => {
    rig.issuer.outage = { status: 500 };
    await rig.emulator.close();
    const { adminUrl } = await rig.startAnother({
      configure: (config) => ({ ...config, server: { ...config.server, unreadyWithout: "store" } }),
    });
    expect(await ready(adminUrl)).toMatchObject({
      httpStatus: 200,
      body: {
        status: "ready",
        dependencies: [
          { name: "store", ok: true },
          { name: "communication-services", ok: false, optional: true },
          { name: `issuer ${rig.issuer.url}`, ok: false, optional: true },
        ],
      },
    });
  });

  it("says that the issuer is down at the start, and recovers by itself", async () => {
    rig.issuer.outage = { status: 500 };
    await rig.restartGateway();
    expect(await missing()).toEqual([`issuer ${rig.issuer.url}`]);
    rig.issuer.outage = undefined;
    await expect.poll(missing, { timeout: 10_000 }).toEqual([]);
  });
});

describe("metrics", () => {
  it("are Prometheus text on the admin port and not on the public one", async () => {
    await (await rig.member()).ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    const response = await fetch(`${rig.gateway.adminUrl}/metrics`);
    expect(response.headers.get("content-type")).toMatch("text/plain");
    const text = await response.text();
    expect(text).toMatch(/^gateway_requests_total\{code="OK"\} 1$/m);
    expect(text).toMatch(/^gateway_service_calls_total\{operation="createIdentityWithToken",outcome="ok"\} 1$/m);
    expect(text).toMatch(/^gateway_audit_events_total\{action="TOKEN_ISSUED"\} 1$/m);
    expect((await fetch(`${rig.gateway.url}/metrics`)).status).toBe(404);
  });
});
