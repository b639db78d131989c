import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { IDeployment } from "kubernetes-models/apps/v1/Deployment";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.js";
import { claimRedisDatabase, type RedisDatabase } from "../faults/redis-database.js";
import { LEFT_OUT, SERVERS } from "../faults/settings.js";
import { Cli } from "../fixtures/cli.js";
import { AUDIENCE, TestIssuer } from "../fixtures/issuer.js";
import { TestDatabase } from "../fixtures/postgres.js";
import { at, type Bicep, readBicep } from "./bicep.js";
import { readEnv, readManifests } from "./manifests.js";

/** What a deployment starts: the program's arguments and settings, and where it is asked for its health. */
interface Deployed {
  readonly args: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  readonly config: string;
  readonly paths: readonly string[];
}

function kubernetes(): Deployed {
  const deployment = readManifests().find(({ kind }) => kind === "Deployment") as IDeployment | undefined;
  const container = deployment?.spec?.template.spec?.containers[0];
  const probes = [container?.startupProbe, container?.livenessProbe, container?.readinessProbe];
  return {
    args: container?.args ?? [],
    settings: { ...readEnv("base/settings.env"), ...readEnv("production/settings.env") },
    config: "deploy/kubernetes/base/gateway.yaml",
    paths: probes.map((probe) => probe?.httpGet?.path ?? ""),
  };
}

function containerApps(app: Bicep = readBicep("deploy/container-apps/modules/app.bicep")): Deployed {
  const container = at(app.resources.get("app")?.body, "properties", "template", "containers", 0);
  const env = at(container, "env") as readonly { readonly name: string; readonly value?: unknown }[];
  const probes = at(container, "probes") as readonly { readonly httpGet: { readonly path: string } }[];
  const known = env.flatMap(({ name, value }) => (typeof value === "string" ? [[name, value]] : []));
  return {
    args: at(container, "args") as string[],
    settings: { ...Object.fromEntries(known), INSTANCES: "6", PUBLIC_URL: "https://tokens.example.com" },
    config: "deploy/container-apps/gateway.yaml",
    paths: probes.map(({ httpGet }) => httpGet.path),
  };
}

describe.skipIf(!SERVERS).each([
  ["Kubernetes", kubernetes],
  ["Container Apps", containerApps],
])(`the gateway as it is deployed on %s${LEFT_OUT}`, (_, read) => {
  const deployed = read();
  let issuer: TestIssuer;
  let emulator: Emulator;
  let database: TestDatabase;
  let redis: RedisDatabase;
  let folder: string;
  let cli: Cli;
  let publicUrl: string;
  let adminUrl: string;

  beforeAll(async () => {
    if (!SERVERS) return;
    issuer = await TestIssuer.start();
    emulator = await startEmulator({ host: "127.0.0.1", port: 0, latency: "none", rateLimits: false });
    database = await TestDatabase.create(SERVERS.postgres);
    redis = await claimRedisDatabase(SERVERS.redis);
    folder = mkdtempSync(join(tmpdir(), "gateway-deployed-"));
    const { ACS_ENDPOINT: _entra, ...settings } = deployed.settings;
    cli = Cli.start(deployed.args, {
      cwd: folder,
      env: {
        ...settings,
        GATEWAY_CONFIG: resolve(deployed.config),
        PORT: "0",
        ADMIN_PORT: "0",
        // In place of Microsoft Entra ID, which is not here.
        ACS_CONNECTION_STRING: emulator.connectionString,
        OIDC_ISSUER: issuer.url,
        OIDC_AUDIENCE: AUDIENCE,
        DATABASE_URL: database.url,
        REDIS_URL: redis.url,
        TOKEN_CACHE_KEY: redis.key,
        AUDIT_KEY: redis.key,
      },
    });
    const [, url = "", admin = ""] = await cli.printed(/"url":"([^"]+)".*"adminUrl":"([^"]+)"/);
    publicUrl = url.replace("0.0.0.0", "127.0.0.1");
    adminUrl = admin.replace("0.0.0.0", "127.0.0.1");
  }, 60_000);
  afterAll(async () => {
    cli?.kill("SIGKILL");
    await cli?.ended();
    await Promise.all([issuer?.close(), emulator?.close(), database?.drop(), redis?.release()]);
    rmSync(folder, { recursive: true });
  });

  it("answers where the probes ask, and has metrics beside it", async () => {
    expect(new Set(deployed.paths)).toEqual(new Set(["/health/live", "/health/ready"]));
    for (const path of [...deployed.paths, "/metrics"]) expect((await fetch(adminUrl + path)).status, path).toBe(200);
    expect((await fetch(`${publicUrl}/metrics`)).status).toBe(404);
  });

  it("hands out a token", async () => {
    const answer = await fetch(`${publicUrl}/graphql`, {
      method: "POST",
      headers: { authorization: `Bearer ${await issuer.sign("ada")}`, "content-type": "application/json" },
      body: JSON.stringify({
        query:
          "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { scopes } userErrors { code } } }",
      }),
    });
    expect(await answer.json()).toEqual({
      data: { issueAccessToken: { accessToken: { scopes: ["CHAT"] }, userErrors: [] } },
    });
  });

  it("signs a checkpoint into the log as it stops, in peace, and has written nothing to the disk", async () => {
    cli.kill("SIGTERM");
    expect(await cli.ended()).toBe(0);
    expect(cli.stdout).toMatch(/^\{.*checkpoint.*signature/im);
    expect(readdirSync(folder)).toEqual([]);
  });
});
