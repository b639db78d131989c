import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { Agent, createServer, get, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommunicationIdentityClient } from "@azure/communication-identity";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Cli, CONNECTION_STRING_LINE } from "../fixtures/cli.js";
import { AUDIENCE, TestIssuer } from "../fixtures/issuer.js";

const SHARED_KEY = Buffer.alloc(32, 7).toString("base64");
const ACCESS_KEY = Buffer.from("a-very-secret-access-key").toString("base64");

let folder: string;
let issuer: TestIssuer;
let env: Record<string, string>;
let running: Cli[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-cli-"));
  issuer = await TestIssuer.start();
  env = {
    PORT: "0",
    ADMIN_PORT: "0",
    ACS_CONNECTION_STRING: `endpoint=http://127.0.0.1:9/;accesskey=${ACCESS_KEY}`,
    OIDC_ISSUER: issuer.url,
    OIDC_AUDIENCE: AUDIENCE,
    DATABASE_URL: `sqlite:${join(folder, "gateway.db")}`,
  };
});
afterEach(async () => {
  for (const cli of running) cli.kill("SIGKILL");
  await Promise.all(running.map((cli) => cli.ended()));
  running = [];
});
afterAll(async () => {
  await issuer.close();
  rmSync(folder, { recursive: true });
});

function start(args: readonly string[], changes: Record<string, string> = {}): Cli {
  const cli = Cli.start(args, { cwd: folder, env: { ...env, ...changes } });
  running.push(cli);
  return cli;
}

function startEmulator(): Cli {
  const cli = Cli.start(["emulator", "--port", "0"], { cwd: folder, shows: [CONNECTION_STRING_LINE] });
  running.push(cli);
  return cli;
}

async function run(args: readonly string[], changes: Record<string, string> = {}) {
  return await Cli.run(args, { cwd: folder, env: { ...env, ...changes } });
}

async function taken(): Promise<{ server: Server; port: string }> {
  const server = createServer((_, response) => response.end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: String((server.address() as AddressInfo).port) };
}

describe("usage", () => {
  it("is printed with exit code 0 when asked for", async () => {
    expect(await run(["--help"])).toMatchObject({
      code: 0,
      stderr: "",
      stdout: expect.stringContaining("config check"),
    });
  });

  it("is told by which version", async () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect(await run(["--version"])).toEqual({ code: 0, stderr: "", stdout: `${version}\n` });
  });

  it.each([
    [["servee"]],
    [["serve", "--prot", "1"]],
    [["config"]],
    [["emulator", "--port", "x"]],
    [["emulator", "--latency", "slow"]],
  ])("is named in one line, with exit code 2, for %j", async (args) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^acs-token-gateway: .+; --help lists commands and options\n$/);
  });
});

describe("serve", () => {
  it("starts though the service is down, and logs where it listens without any secret", async () => {
    const cli = start([]);
    const [, url] = await cli.printed(/"url":"([^"]+)"/);
    expect((await fetch(`${url}/health/live`)).status).toBe(200);
    expect(cli.stdout).not.toContain(ACCESS_KEY);
  });

  it("has its database and its keys for its owner alone", async () => {
    const file = join(folder, "private", "gateway.db");
    const cli = start(["serve"], { DATABASE_URL: `sqlite:${file}`, TOKEN_CACHE_KEY: "", AUDIT_KEY: "" });
    await cli.printed(/"version":"\d+\.\d+\.\d+","url"/);
    const names = readdirSync(join(folder, "private"));
    expect(names).toEqual(expect.arrayContaining(["gateway.db", "gateway.db-wal", "keys.json"]));
    for (const name of names) expect(statSync(join(folder, "private", name)).mode & 0o077, name).toBe(0);
  });

  it("says at its start that the file for checkpoints cannot be written to", async () => {
    const cli = start(["serve"], { AUDIT_CHECKPOINTS: join(folder, "nowhere", "checkpoints.jsonl") });
    await cli.printed(/"err":\{[^\n]*ENOENT[^\n]*"msg":"audit checkpoint not written"/);
  });

  it.each(["SIGTERM", "SIGINT"] as const)("ends with exit code 0 on %s", async (signal) => {
    const cli = start(["serve"]);
    await cli.printed(/"url"/);
    cli.kill(signal);
    expect(await cli.ended()).toBe(0);
  });

  it("on SIGTERM says that it is draining, takes nothing new, answers what is under way and ends", async () => {
    const emulator = startEmulator();
    const [, connectionString] = await emulator.printed(CONNECTION_STRING_LINE);
    const [, control] = await emulator.printed(/controls at (\S+)/);
    const gateway = start(["serve"], { ACS_CONNECTION_STRING: connectionString ?? "" });
    const [, url] = await gateway.printed(/"url":"([^"]+)"/);
    const [, adminUrl] = await gateway.printed(/"adminUrl":"([^"]+)"/);
    const fault = { operation: "createIdentity", kind: "delay", delayMs: 1500 };
    await fetch(`${control}/faults`, { method: "POST", body: JSON.stringify(fault) });
    const underWay = fetch(`${url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${await issuer.sign("drained")}` },
      body: '{"query":"mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { token } } }"}',
    });
    const called = async () => (await (await fetch(`${control}/calls`)).json()) as { calls: Record<string, number> };
    await expect.poll(async () => (await called()).calls.createIdentity).toBe(1);
    gateway.kill("SIGTERM");
    await expect.poll(async () => (await fetch(`${adminUrl}/health/ready`)).status).toBe(503);
    expect(await (await fetch(`${adminUrl}/health/ready`)).json()).toMatchObject({ status: "draining" });
    await expect(fetch(`${url}/health/live`)).rejects.toThrow();
    const response = await underWay;
    expect(response.headers.get("connection")).toBe("close");
    expect(await response.json()).toMatchObject({
      data: { issueAccessToken: { accessToken: { token: expect.any(String) } } },
    });
    expect(await gateway.ended()).toBe(0);
  });

  it("on SIGTERM ends though clients keep their connections busy, without cutting a request", async () => {
    const gateway = start(["serve"]);
    const [, url] = await gateway.printed(/"url":"([^"]+)"/);
    const [, adminUrl] = await gateway.printed(/"adminUrl":"([^"]+)"/);
    // And though somebody has connected and says nothing.
    const silent = [url, adminUrl].map((address) => connect(Number(new URL(address ?? "").port), "127.0.0.1"));
    for (const socket of silent) socket.on("error", () => {});
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    const statuses: (number | string)[] = [];
    const ask = () =>
      new Promise<number | string>((resolve) => {
        get(`${url}/health/live`, { agent }, (response) => {
          response.resume();
          response.on("end", () => resolve(response.statusCode ?? 0));
        }).on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
      });
    const keepAsking = async () => {
      do statuses.push(await ask());
      while (statuses.at(-1) === 200);
    };
    const clients = Promise.all([1, 2, 3, 4].map(keepAsking));
    await expect.poll(() => statuses.length).toBeGreaterThan(20);
    gateway.kill("SIGTERM");
    expect(await gateway.ended()).toBe(0);
    await clients;
    agent.destroy();
    for (const socket of silent) socket.destroy();
    expect(new Set(statuses)).toEqual(new Set([200, "ECONNREFUSED"]));
  });

  it("ends at once on a second signal", async () => {
    const emulator = startEmulator();
    const [, connectionString] = await emulator.printed(CONNECTION_STRING_LINE);
    const [, control] = await emulator.printed(/controls at (\S+)/);
    const gateway = start(["serve"], { ACS_CONNECTION_STRING: connectionString ?? "" });
    const [, url] = await gateway.printed(/"url":"([^"]+)"/);
    await fetch(`${control}/faults`, { method: "POST", body: '{"operation":"createIdentity","kind":"hang"}' });
    const underWay = fetch(`${url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${await issuer.sign("cut")}` },
      body: '{"query":"mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { token } } }"}',
    }).catch(() => "cut");
    const called = async () => (await (await fetch(`${control}/calls`)).json()) as { calls: Record<string, number> };
    await expect.poll(async () => (await called()).calls.createIdentity).toBe(1);
    gateway.kill("SIGTERM");
    await expect
      .poll(() =>
        fetch(`${url}/health/live`).then(
          () => "up",
          () => "down",
        ),
      )
      .toBe("down");
    gateway.kill("SIGTERM");
    expect(await gateway.ended()).toBe(1);
    expect(await underWay).toBe("cut");
  });

  it("refuses a broken configuration with exit code 2, a sentence per fault and no secret", async () => {
    const { code, stdout, stderr } = await run(["serve"], { PORT: "x", LOG_LEVEL: "loud", OIDC_ISSUER: "" });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.trimEnd().split("\n")).toHaveLength(3);
    expect(stderr).not.toContain(ACCESS_KEY);
  });

  it("refuses development settings", async () => {
    const file = join(folder, "dev.yaml");
    writeFileSync(
      file,
      'issuers: [{ issuer: "${OIDC_ISSUER}", audience: a }]\nacs: { connectionString: "${ACS_CONNECTION_STRING}" }\npolicy: { rules: [] }\ngraphql: { explorer: true }\n',
    );
    for (const how of [() => run(["serve", "--config", file]), () => run([], { GATEWAY_CONFIG: file })]) {
      expect(await how()).toMatchObject({
        code: 2,
        stderr: expect.stringContaining("graphql.explorer is a development setting"),
      });
    }
  });

  it.each(["PORT", "ADMIN_PORT"])("says in one line that %s is in use, and the cure", async (name) => {
    const { server, port } = await taken();
    const { code, stderr } = await run(["serve"], { [name]: port });
    server.close();
    expect(code).toBe(2);
    expect(stderr).toBe(
      `Port ${port} of 127.0.0.1 is in use: end the program that has it, or choose another with ${name}=….\n`,
    );
  });

  it.each(["HOST", "ADMIN_HOST"])("says in one line that %s is no address of this machine", async (name) => {
    const { code, stderr } = await run(["serve"], { [name]: "203.0.113.5" });
    expect(code).toBe(2);
    expect(stderr).toMatch(
      new RegExp(
        `^Port 0 of 203\\.0\\.113\\.5 cannot be listened on \\(\\w+\\): set ${name} to an address of this machine\\.\n$`,
      ),
    );
  });

  it("says in one line which databases there are", async () => {
    const { code, stderr } = await run(["serve"], { DATABASE_URL: "mysql://x" });
    expect(code).toBe(2);
    expect(stderr).toContain("or postgres://[USER:PASSWORD@]HOST:5432/DATABASE.\n");
  });

  it("says in one line that Postgres cannot be reached, and the cure, without the password", async () => {
    const { code, stdout, stderr } = await run(["serve"], {
      DATABASE_URL: "postgres://gateway:not-to-be-printed@127.0.0.1:1/identities",
      TOKEN_CACHE_KEY: SHARED_KEY,
      AUDIT_KEY: SHARED_KEY,
    });
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^The database identities at 127.0.0.1:1 cannot be reached \(.*ECONNREFUSED.*\): check .*DATABASE_URL\.\n$/,
    );
    expect(stdout + stderr).not.toContain("not-to-be-printed");
  });

  it("says in one line that the database cannot be opened, and the cure", async () => {
    const text = join(folder, "not-a-database");
    writeFileSync(text, "this is no database, however long one makes it ".repeat(100));
    for (const file of [folder, text, "/dev/null/gateway.db"]) {
      const { code, stderr } = await run(["serve"], { DATABASE_URL: `sqlite:${file}` });
      expect(code).toBe(2);
      expect(stderr).toMatch(/^The database \S+ cannot be opened \(.+\): check .*DATABASE_URL=sqlite:FILE\.\n$/);
    }
  });
});

describe("config check", () => {
  it("says what an address has to look like, with no part of the sentence hidden", async () => {
    const changes = { REDIS_URL: "http://x", ACS_CONNECTION_STRING: "nonsense" };
    const { code, stderr } = await run(["config", "check"], changes);
    expect(code).toBe(2);
    expect(stderr).toContain(
      "must be redis://[user:password@]host[:port][/number], or the same with rediss:// for TLS, with special characters of user and password percent-encoded.",
    );
    expect(stderr).toContain("must read endpoint=https://<resource>.communication.azure.com/;accesskey=<base64 key>.");
  });

  it("prints what is in force, secrets hidden", async () => {
    const { code, stdout } = await run(["config", "check"], { PORT: "4321" });
    expect(code).toBe(0);
    expect(stdout).toMatch(/port: 4321/);
    expect(stdout).toMatch(/accessKeys:\n\s+- "?\[hidden\]"?/);
    expect(stdout).not.toContain(ACCESS_KEY);
  });

  it("exits with 2 for one that is broken", async () => {
    expect(await run(["config", "check"], { PORT: "x" })).toMatchObject({ code: 2, stdout: "" });
  });
});

describe("emulator", () => {
  it("prints a connection string that Microsoft's client works with", async () => {
    const cli = startEmulator();
    const [, connectionString] = await cli.printed(CONNECTION_STRING_LINE);
    const client = new CommunicationIdentityClient(connectionString ?? "", { allowInsecureConnection: true });
    const { user, token } = await client.createUserAndToken(["chat"]);
    expect(user.communicationUserId).toMatch(/^8:acs:/);
    expect(token).toMatch(/^eyJ/);
    cli.kill("SIGTERM");
    expect(await cli.ended()).toBe(0);
  });

  it("says in one line that its port is in use", async () => {
    const { server, port } = await taken();
    const { code, stderr } = await run(["emulator", "--port", port]);
    server.close();
    expect(code).toBe(2);
    expect(stderr).toMatch(/^The emulator cannot start \(.*EADDRINUSE.*\): check --port.*\n$/);
  });
});
