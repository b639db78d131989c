import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { readBundled, THIRD_PARTY_FILE } from "../../scripts/third-party.js";
import { secretsIn } from "../fixtures/canaries.js";
import { DATABASES, Operator } from "../fixtures/operator.js";
import {
  DeleteMyIdentityDocument,
  IssueAccessTokenDocument,
  RevokeMyAccessTokensDocument,
  SuspendIdentityDocument,
  ViewerDocument,
} from "../generated/graphql.js";
import { asJson, FunctionsApp } from "./functions-app.js";

const ON_POSTGRES = (DATABASES as readonly string[]).includes("postgres");
const DEVELOPMENT = { AZURE_FUNCTIONS_ENVIRONMENT: "Development" };
/** Each test has processes of its own, which take their time on a busy machine. */
const PATIENT = { timeout: 60_000 };
const CHAT = { scopes: ["CHAT" as const] };
const JWT = /eyJ[\w-]+\.[\w-]+\.[\w-]+/g;

/**
 * What of host.json (version 2) is used here, as Microsoft documents it. The schema that is published for editors is of version 1
 * and lets everything pass.
 */
const HOST_JSON = z.strictObject({
  version: z.literal("2.0"),
  functionTimeout: z.string().regex(/^\d\d:\d\d:\d\d$/),
  extensions: z.strictObject({ http: z.strictObject({ routePrefix: z.string() }) }),
  logging: z.strictObject({
    applicationInsights: z.strictObject({
      samplingSettings: z.strictObject({ isEnabled: z.boolean(), excludedTypes: z.string() }),
    }),
  }),
});

let parent: string;
let packed: string;
const apps: FunctionsApp[] = [];

beforeAll(() => {
  parent = mkdtempSync(join(tmpdir(), "gateway-functions-"));
  packed = join(parent, "app");
  execFileSync(process.execPath, ["--import", "tsx", "scripts/pack-functions.ts", packed], { stdio: "inherit" });
}, 300_000);
afterAll(() => {
  rmSync(parent, { recursive: true });
});
afterEach(() => {
  for (const app of apps.splice(0)) app.kill();
});

/** On Postgres as in Azure; without a server on SQLite, as on a developer's machine. */
async function start(operator: Operator, changes: Readonly<Record<string, string>> = {}): Promise<FunctionsApp> {
  return await FunctionsApp.start(packed, { ...operator.env, ...(!ON_POSTGRES && DEVELOPMENT), ...changes });
}

/** One that ends with the test. */
async function startOne(operator: Operator, changes: Readonly<Record<string, string>> = {}): Promise<FunctionsApp> {
  const app = await start(operator, changes);
  apps.push(app);
  return app;
}

const newOperator = () => Operator.start(ON_POSTGRES ? "postgres" : "sqlite");
const admin = (operator: Operator) => operator.issuer.sign("ada", { claims: { roles: ["Gateway.Admin"] } });

describe(`an app in Azure Functions, on ${ON_POSTGRES ? "Postgres" : "SQLite (TEST_POSTGRES_URL is not set)"}`, () => {
  let operator: Operator;
  let app: FunctionsApp;
  const issued: string[] = [];
  beforeAll(async () => {
    operator = await newOperator();
    app = await start(operator);
  });
  afterAll(async () => {
    const code = await app.terminate();
    const signed = [...operator.issuer.signed, ...issued].flatMap((token) => token.split(".").slice(1));
    const keys = [operator.env.AUDIT_KEY, operator.env.ACS_CONNECTION_STRING?.split("accesskey=")[1]];
    await operator.close();
    expect(secretsIn(app.output, [...signed, ...keys.map(String)])).toEqual([]);
    expect(app.output).toMatch(/"msg":"started"/);
    expect(code).toBe(0);
  });

  async function issue(token: string) {
    const { issueAccessToken } = await app.graphql(token, IssueAccessTokenDocument, CHAT);
    issued.push(issueAccessToken.accessToken?.token ?? "");
    return issueAccessToken;
  }

  it("registers one function for clients, one for health, one for metrics and a timer", () => {
    const inOrder = [...app.functions].sort((one, other) => (one.name < other.name ? -1 : 1));
    const seen = inOrder.map(({ name }) => {
      const { type, route, authLevel, schedule } = app.trigger(name);
      return { name, type, ...(schedule ? { schedule } : { route, authLevel }) };
    });
    expect(seen).toEqual([
      { name: "health", type: "httpTrigger", route: "health/{state}", authLevel: "anonymous" },
      { name: "metrics", type: "httpTrigger", route: "metrics", authLevel: "function" },
      { name: "requests", type: "httpTrigger", route: "{*path}", authLevel: "anonymous" },
      { name: "work", type: "timerTrigger", schedule: "0 * * * * *" },
    ]);
  });

  it("issues a token, hands out the same one again, and a new one after a revocation", async () => {
    const alice = await operator.issuer.sign("alice");
    const first = await issue(alice);
    expect(first).toMatchObject({ userErrors: [], accessToken: { identity: { id: expect.any(String) } } });
    expect((await issue(alice)).accessToken?.token).toBe(first.accessToken?.token);
    const { revokeAccessTokens } = await app.graphql(alice, RevokeMyAccessTokensDocument, {});
    expect(revokeAccessTokens.userErrors).toEqual([]);
    const next = await issue(alice);
    expect(next.accessToken?.identity.id).toBe(first.accessToken?.identity.id);
    expect(next.accessToken?.token).not.toBe(first.accessToken?.token);
  });

  it("refuses a suspended user", async () => {
    const bob = await operator.issuer.sign("bob");
    const { accessToken } = await issue(bob);
    const identityId = accessToken?.identity.id ?? "";
    await app.graphql(await admin(operator), SuspendIdentityDocument, { identityId });
    expect(await issue(bob)).toMatchObject({ accessToken: null, userErrors: [{ code: "IDENTITY_SUSPENDED" }] });
  });

  it("deletes an identity, at the service too", async () => {
    const carol = await operator.issuer.sign("carol");
    await issue(carol);
    const before = (await operator.identitiesAtService()).filter(({ deleted }) => deleted).length;
    const { deleteIdentity } = await app.graphql(carol, DeleteMyIdentityDocument, {});
    expect(deleteIdentity).toMatchObject({ userErrors: [], deletedIdentityId: expect.any(String) });
    expect((await app.graphql(carol, ViewerDocument, {})).viewer.identity).toBeNull();
    const deleted = async () => (await operator.identitiesAtService()).filter((identity) => identity.deleted).length;
    await expect.poll(deleted).toBe(before + 1);
  });

  it("says nothing to a token that does not verify but 401, as over a port", async () => {
    const body = JSON.stringify({ query: "{ viewer { user { subject } } }" });
    for (const headers of [asJson(), asJson("eyJhbGciOiJub25lIn0.e30.")]) {
      const answer = await app.request({ method: "POST", path: "/graphql", headers, body });
      expect(answer.status).toBe(401);
      expect(answer.headers["www-authenticate"]).toMatch(/^Bearer\b/);
      expect(JSON.parse(answer.text)).toMatchObject({ errors: [{ extensions: { code: "UNAUTHENTICATED" } }] });
    }
  });

  it("refuses two authorization headers, which the platform has joined", async () => {
    const token = await operator.issuer.sign("dan");
    const headers = [...asJson(token), ["Authorization", `Bearer ${token}`] as const];
    const answer = await app.request({ method: "POST", path: "/graphql", headers, body: "{}" });
    expect(answer.status).toBe(401);
  });

  it.each([
    ["a media type given twice", [["content-type", "application/json"]], "{}", 415],
    ["a body that is too long", [], `{"query":"${"x".repeat(65 * 1024)}"}`, 413],
    ["a body of megabytes", [], Buffer.alloc(4 << 20, "x"), 413],
    ["a member that is there twice", [], '{"query":"{__typename}","query":"{__typename}"}', 400],
    ["headers that are too long", [["x-long", "x".repeat(40 * 1024)]], "{}", 431],
  ] as const)("refuses %s", async (_, more, body, status) => {
    const headers = [...asJson(await operator.issuer.sign("eve")), ...more];
    expect((await app.request({ method: "POST", path: "/graphql", headers, body })).status).toBe(status);
  });

  it("says so when the platform has left out a body, which it does with one in chunks", async () => {
    const headers = [...asJson(await operator.issuer.sign("kim")), ["transfer-encoding", "chunked"] as const];
    const answer = await app.request({ method: "POST", path: "/graphql", headers });
    expect(answer).toMatchObject({ status: 411, text: expect.stringContaining("send it with a Content-Length") });
  });

  it.each([
    ["GET", "/health/live", 200],
    ["HEAD", "/health/live", 200],
    ["GET", "/health/ready", 200],
    ["POST", "/health/live", 405],
    ["GET", "/graphql", 405],
    ["PUT", "/graphql", 405],
    ["OPTIONS", "/graphql", 405],
    ["GET", "/", 404],
    ["GET", "//contoso.example/health/live", 404],
    ["GET", "/health/%2e%2e/metrics", 401],
    ["GET", "/metrics?x=1", 401],
    ["GET", "/nothing?here=1", 404],
  ])("answers %s %s with %d", async (method, path, status) => {
    const answer = await app.request({ method, path });
    expect(answer.status).toBe(status);
    if (method === "HEAD") expect(answer.text).toBe("");
  });

  it("says to browsers, caches and the operator what it says over a port", async () => {
    const { headers } = await app.request({ path: "/health/live", headers: [["x-request-id", "own-id.1"]] });
    expect(headers).toMatchObject({
      "cache-control": "no-store",
      "x-request-id": "own-id.1",
      "x-content-type-options": "nosniff",
      "content-security-policy": expect.stringContaining("default-src 'none'"),
    });
    // Its public address is the app's own, unless PUBLIC_URL says otherwise.
    if (ON_POSTGRES) expect(headers["strict-transport-security"]).toMatch(/^max-age=/);
    for (const name of ["connection", "transfer-encoding", "content-length", "keep-alive"])
      expect(Object.keys(headers)).not.toContain(name);
    const another = await app.request({ path: "/health/live" });
    expect(another.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("names the invocation in the log of its request", async () => {
    const headers = asJson(await operator.issuer.sign("fay"));
    const body = JSON.stringify({ query: "{ viewer { user { subject } } }" });
    const answer = await app.request({ method: "POST", path: "/graphql", headers, body });
    expect(answer.status).toBe(200);
    await expect.poll(() => app.output).toContain(`"requestId":"${answer.headers["x-request-id"]}"`);
  });

  it("has no streams, and says so instead of never ending", async () => {
    const headers = [...asJson(await operator.issuer.sign("gus")), ["accept", "text/event-stream"] as const];
    const body = JSON.stringify({ query: "subscription { auditEventAdded { id } }" });
    const answer = await app.request({ method: "POST", path: "/graphql", headers, body });
    expect(answer.status).toBe(406);
    expect(JSON.parse(answer.text)).toMatchObject({ errors: [{ extensions: { code: "BAD_REQUEST" } }] });
  });

  it("shows metrics to who has the key of that function", async () => {
    expect((await app.request({ path: "/metrics" })).status).toBe(401);
    const { status, text, headers } = await app.request({ path: "/metrics" }, true);
    expect(status).toBe(200);
    expect(headers["content-type"]).toMatch(/^text\/plain/);
    expect(text).toContain("gateway_service_work_pending");
  });
});

describe("the packed app", PATIENT, () => {
  const filesOf = (folder: string) => readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  const json = (name: string) => JSON.parse(readFileSync(join(packed, name), "utf8")) as unknown;

  it("is a few files and nothing to install", () => {
    const others = filesOf(packed).filter((file) => !/^[\w-]+(\.min)?\.js$/.test(file));
    expect(others).toEqual([
      ...[".funcignore", "LICENSE", "THIRD_PARTY_LICENSES.txt", "gateway.yaml", "host.json"],
      ...["local.settings.example.json", "package.json", "sbom.json"],
    ]);
    expect(json("package.json")).toMatchObject({ type: "module", main: "azure-functions.js" });
    expect(Object.keys(json("package.json") as object)).not.toContain("dependencies");
    const sizes = filesOf(packed).map((file) => statSync(join(packed, file)).size);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(8_000_000);
  });

  it("says in its licences and its bill of materials that Microsoft's library is in it", () => {
    const bundled = readBundled(join(packed, THIRD_PARTY_FILE));
    expect(bundled.some((name) => name.startsWith("@azure/functions@"))).toBe(true);
    const { components } = json("sbom.json") as { components: { name: string; scope: string }[] };
    expect(components.find(({ name }) => name === "@azure/functions")?.scope).toBe("required");
  });

  it("has a host.json of the documented form, with no prefix before its paths", () => {
    expect(HOST_JSON.parse(json("host.json"))).toMatchObject({ extensions: { http: { routePrefix: "" } } });
  });

  it("has an example of settings that start it when they are filled in", () => {
    const { Values } = json("local.settings.example.json") as { Values: Record<string, string> };
    const ofThePlatform = ["FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"];
    const own = Object.keys(Values).filter((name) => !ofThePlatform.includes(name));
    const shipped = readFileSync(join(packed, "gateway.yaml"), "utf8");
    expect(own.filter((name) => !shipped.includes(`\${${name}`))).toEqual([]);
    expect(readFileSync(join(packed, ".funcignore"), "utf8")).toMatch(/^local\.settings\*\.json$/m);
  });

  it("loads for a first token only what that takes, so that a cold start is short", async () => {
    const operator = await Operator.start("sqlite");
    const app = await startOne(operator, DEVELOPMENT);
    await app.graphql(await operator.issuer.sign("jan"), IssueAccessTokenDocument, CHAT);
    expect([...(await app.loaded())].sort()).toEqual([
      "_node-http.js",
      "azure-functions.js",
      "errors.js",
      "gateway.js",
      "utils.js",
    ]);
    await operator.close();
  });
});

it("makes traces in Azure Functions when OpenTelemetry's variables say so", PATIENT, async () => {
  const operator = await newOperator();
  const app = await startOne(operator, { OTEL_TRACES_EXPORTER: "console", OTEL_BSP_SCHEDULE_DELAY: "10" });
  await app.graphql(await operator.issuer.sign("lea"), ViewerDocument, {});
  await expect.poll(() => app.output, { timeout: 30_000 }).toMatch(/"msg":"span".*\n/);
  expect(await app.terminate()).toBe(0);
  await operator.close();
});

describe("who the client is", PATIENT, () => {
  let operator: Operator;
  beforeAll(async () => {
    operator = await newOperator();
  });
  afterAll(async () => {
    await operator.close();
  });
  const guess = (app: FunctionsApp, client: string, forged: string) =>
    app.request({
      ...{ method: "POST", path: "/graphql", body: "{}", client },
      headers: [...asJson("eyJhbGciOiJub25lIn0.e30."), ["x-forwarded-for", forged]],
    });

  it.skipIf(!ON_POSTGRES)(
    `in Azure is said by the front end, whatever clients write${ON_POSTGRES ? "" : " (left out: TEST_POSTGRES_URL is not set)"}`,
    async () => {
      const app = await startOne(operator, { LIMIT_FAILED_AUTH_PER_ADDRESS: "2" });
      const statuses: number[] = [];
      for (const forged of ["198.51.100.1", "198.51.100.2", "198.51.100.3"])
        statuses.push((await guess(app, "203.0.113.9:4711", forged)).status);
      expect(statuses).toEqual([401, 401, 429]);
      expect((await guess(app, "203.0.113.10:4711", "203.0.113.9")).status).toBe(401);
    },
  );

  it.skipIf(!ON_POSTGRES)(
    `in Azure is said by a proxy before the front end, if it is named${ON_POSTGRES ? "" : " (left out: TEST_POSTGRES_URL is not set)"}`,
    async () => {
      const app = await startOne(operator, { LIMIT_FAILED_AUTH_PER_ADDRESS: "2", TRUSTED_PROXY: "192.0.2.0/24" });
      const statuses: number[] = [];
      for (const client of ["203.0.113.1", "203.0.113.2", "203.0.113.2", "203.0.113.2"])
        statuses.push((await guess(app, "192.0.2.1:4711", client)).status);
      expect(statuses).toEqual([401, 401, 401, 429]);
    },
  );

  it("on a developer's machine, where nobody stands in front, is not taken from a header", async () => {
    const app = await startOne(operator, { LIMIT_FAILED_AUTH_PER_ADDRESS: "2", ...DEVELOPMENT });
    const statuses: number[] = [];
    for (const client of ["203.0.113.1", "203.0.113.2", "203.0.113.3"])
      statuses.push((await guess(app, client, client)).status);
    expect(statuses).toEqual([401, 401, 429]);
  });
});

describe("an app that cannot start", PATIENT, () => {
  let operator: Operator;
  beforeAll(async () => {
    operator = await Operator.start("sqlite");
  });
  afterAll(async () => {
    await operator.close();
  });
  /** In Azure, on whatever database, unless it is said otherwise. */
  const startOne = async (changes: Readonly<Record<string, string>> = {}) => {
    const app = await FunctionsApp.start(packed, { ...operator.env, ...changes });
    apps.push(app);
    return app;
  };
  const query = async (app: FunctionsApp) =>
    await app.request({ method: "POST", path: "/graphql", headers: asJson("secret-token"), body: "{}" });

  it.each([
    ["an SQLite file", {}, /store\.url names an SQLite file.*DATABASE_URL=postgres/],
    ["no issuer", { ...DEVELOPMENT, OIDC_ISSUER: "" }, /issuers\[0\]\.issuer/],
    [
      "a reference to a Key Vault in the place of a secret",
      { ...DEVELOPMENT, AUDIT_KEY: "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/audit/)" },
      /no secret in the place of these references to a Key Vault: AUDIT_KEY\. Let the app's identity/,
    ],
    ["a proxy that is none", { ...DEVELOPMENT, HTTPS_PROXY: "proxy.example" }, /HTTPS_PROXY must be the address of an/],
    ["an unknown level", { ...DEVELOPMENT, HTTP_AUTH_LEVEL: "functoin" }, /HTTP_AUTH_LEVEL is anonymous or function/],
  ])("answers 503 with %s, and the log says what is wrong", async (_, changes, fault) => {
    const app = await startOne(changes);
    const keyed = "HTTP_AUTH_LEVEL" in changes;
    const answer = await app.request(
      { method: "POST", path: "/graphql", headers: asJson("secret"), body: "{}" },
      keyed,
    );
    expect(answer).toMatchObject({ status: 503, headers: { "cache-control": "no-store" } });
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    const { errors } = JSON.parse(answer.text) as { errors: { message: string; extensions: unknown }[] };
    expect(errors[0]?.extensions).toMatchObject({ code: "UPSTREAM_UNAVAILABLE", retryable: true });
    expect(answer.text).not.toMatch(/DATABASE|issuer|HTTP_AUTH/);
    await expect.poll(() => app.output).toMatch(fault);
    await expect.poll(() => app.output).toContain(`"requestId":"${answer.headers["x-request-id"]}"`);
    expect(secretsIn(app.output, [String(operator.env.AUDIT_KEY)])).toEqual([]);
    expect(await app.tick()).toContain("has not started");
    expect((await app.request({ path: "/metrics" }, true)).status).toBe(503);
    expect((await app.request({ path: "/health/live" })).status).toBe(503);
  });

  it("asks for the key rather than for none when the level is not understood", async () => {
    const app = await startOne({ ...DEVELOPMENT, HTTP_AUTH_LEVEL: "functoin" });
    expect(app.trigger("requests").authLevel).toBe("function");
    expect(app.trigger("health").authLevel).toBe("anonymous");
  });

  it("is tried again by later requests, and serves as soon as the cause is gone", async () => {
    const place = join(operator.folder, "place");
    writeFileSync(place, "a file where a folder should be");
    const app = await startOne({ ...DEVELOPMENT, DATABASE_URL: `sqlite:${join(place, "gateway.db")}` });
    expect((await query(app)).status).toBe(503);
    rmSync(place);
    mkdirSync(place);
    await expect.poll(async () => (await query(app)).status).toBe(401);
    expect(app.output.match(/"msg":"started"/g)).toHaveLength(1);
  });

  it("takes each attempt's cost once, however many requests come", async () => {
    const app = await startOne();
    await Promise.all(Array.from({ length: 50 }, () => query(app)));
    // What the process says comes by another way than its answers, and is all there once it has ended.
    await app.terminate();
    const failures = app.output.match(/"msg":"start failed"/g)?.length;
    expect(failures).toBeGreaterThan(0);
    expect(failures).toBeLessThan(5);
  });
});

describe("work that has been promised", PATIENT, () => {
  let operator: Operator;
  beforeAll(async () => {
    operator = await newOperator();
  });
  afterAll(async () => {
    await operator.close();
  });
  const pending = async () => (await operator.ask("select 1 from service_work")).length;

  it("is done by the timer of another instance when the one that promised it has gone", {
    timeout: 60_000,
  }, async () => {
    const app = await startOne(operator);
    const hal = await operator.issuer.sign("hal");
    await app.graphql(hal, IssueAccessTokenDocument, CHAT);
    await operator.fault({ operation: "revokeAccessTokens", kind: "status", status: 500, times: 1000 });
    await app.graphql(hal, RevokeMyAccessTokensDocument, {});
    expect(await pending()).toBe(1);
    expect(await app.terminate()).toBe(0);
    expect(await pending()).toBe(1);
    await operator.clearFaults();
    const next = await startOne(operator);
    expect(await next.tick()).toBeUndefined();
    expect(await pending()).toBe(0);
  });

  it("is not waited for when there is none", async () => {
    const app = await startOne(operator);
    expect(await app.tick()).toBeUndefined();
  });
});

it("ends in peace while a request is under way, and answers it", PATIENT, async () => {
  const operator = await newOperator();
  const app = await startOne(operator);
  await operator.fault({ operation: "createIdentity", kind: "delay", delayMs: 500 });
  const answer = app.graphql(await operator.issuer.sign("ida"), IssueAccessTokenDocument, CHAT);
  await expect.poll(async () => (await operator.calls()).createIdentity ?? 0).toBe(1);
  const [{ issueAccessToken }, code] = await Promise.all([answer, app.terminate()]);
  expect(issueAccessToken.accessToken?.token.match(JWT)).toHaveLength(1);
  expect(code).toBe(0);
  await operator.close();
});
