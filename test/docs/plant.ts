import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.js";
import { Cli } from "../fixtures/cli.js";
import { controlEmulator } from "../fixtures/emulator-control.js";
import { AUDIENCE, TestIssuer } from "../fixtures/issuer.js";
import { POSTGRES_URL, TestDatabase } from "../fixtures/postgres.js";
import { markAsRun, type Step } from "./steps.js";

const KEY = Buffer.alloc(32, 5).toString("base64");
const ISSUE = `mutation { issueAccessToken(input: { scopes: [CHAT] }) {
  accessToken { token identity { id communicationUserId } } userErrors { code } } }`;

interface Output {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it looks for
  readonly data: any;
  readonly codes: readonly string[];
}

/** A gateway in production's surroundings, and an operator with a shell: its steps are run as they stand on the pages. */
export class Plant {
  #gateway: Cli | undefined;
  #redis: ChildProcess | undefined;
  #isClosed = false;
  readonly #made: TestDatabase[] = [];
  /** What a step of the operator changes for all that is started later. */
  readonly changes: Record<string, string> = {};

  private constructor(
    readonly folder: string,
    readonly emulator: Emulator,
    readonly issuer: TestIssuer,
    /** Without one it is SQLite and no Redis. */
    readonly database: TestDatabase | undefined,
    readonly scratch: TestDatabase | undefined,
    private readonly ports: readonly number[],
  ) {}

  static async start(kind: "sqlite" | "postgres"): Promise<Plant> {
    const folder = mkdtempSync(join(tmpdir(), "gateway-plant-"));
    const server = kind === "postgres" ? POSTGRES_URL : undefined;
    const plant = new Plant(
      folder,
      await startEmulator({ host: "127.0.0.1", port: 0, latency: "none", rateLimits: false }),
      await TestIssuer.start(),
      server === undefined ? undefined : await TestDatabase.create(server),
      server === undefined ? undefined : await TestDatabase.create(server),
      await Promise.all([freePort(), freePort(), freePort()]),
    );
    mkdirSync(join(folder, "bin"));
    // For `npm run -s cli -- …`, which would build the program anew, under the other tests.
    writeFileSync(
      join(folder, "bin/npm"),
      `#!/bin/sh\nshift 4\nexec '${process.execPath}' '${resolve("dist/main.js")}' "$@"\n`,
      { mode: 0o755 },
    );
    symlinkSync(process.execPath, join(folder, "bin/node"));
    plant.configure("");
    if (plant.database) await plant.startRedis();
    await plant.startGateway().catch(async (error: unknown) => {
      await plant.close();
      throw error;
    });
    return plant;
  }

  get url(): string {
    return `http://127.0.0.1:${this.ports[0]}`;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.ports[1]}`;
  }

  /** A new, empty database for all that is started later. */
  async moveToNewDatabase(): Promise<void> {
    const made = await TestDatabase.create(POSTGRES_URL ?? "");
    this.#made.push(made);
    this.changes.DATABASE_URL = made.url;
  }

  /** With sections beside those that every start has. */
  configure(more: string, audit = ""): void {
    writeFileSync(join(this.folder, "gateway.yaml"), configurationWith(audit) + more);
  }

  env(): Record<string, string> {
    const [port, adminPort, redisPort] = this.ports;
    const shared = this.database && {
      DATABASE_URL: this.database.url,
      SCRATCH_URL: this.scratch?.url ?? "",
      REDIS_URL: `redis://127.0.0.1:${redisPort}`,
      TOKEN_CACHE_KEY: KEY,
      AUDIT_KEY: KEY,
    };
    return {
      PORT: String(port),
      ADMIN_PORT: String(adminPort),
      GATEWAY_CONFIG: "gateway.yaml",
      ACS_CONNECTION_STRING: this.emulator.connectionString,
      ACS_SECONDARY_CONNECTION_STRING: this.emulator.secondaryConnectionString,
      OIDC_ISSUER: this.issuer.url,
      OIDC_AUDIENCE: AUDIENCE,
      AUDIT_CHECKPOINTS: "checkpoints.jsonl",
      ...shared,
      ...this.changes,
    };
  }

  async startGateway(): Promise<void> {
    this.#gateway = Cli.start(["serve"], { cwd: this.folder, env: this.env() });
    await this.#gateway.printed(/"url":"([^"]+)"/);
  }

  async stopGateway(): Promise<void> {
    this.#gateway?.kill("SIGTERM");
    await this.#gateway?.ended();
    this.#gateway = undefined;
  }

  async restartGateway(): Promise<void> {
    await this.stopGateway();
    await this.startGateway();
  }

  get log(): string {
    return this.#gateway?.stdout ?? "";
  }

  async startRedis(): Promise<void> {
    const args = ["--port", String(this.ports[2]), "--bind", "127.0.0.1", "--save", "", "--dir", this.folder];
    const bounds = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];
    this.#redis = spawn("redis-server", [...args, ...bounds], { stdio: ["ignore", "pipe", "inherit"] });
    for await (const text of this.#redis.stdout ?? []) if (String(text).includes("Ready to accept")) break;
  }

  async stopRedis(): Promise<void> {
    const redis = this.#redis;
    this.#redis = undefined;
    if (redis === undefined || redis.exitCode !== null) return;
    redis.kill("SIGKILL");
    await once(redis, "exit");
  }

  /** Runs a step of a page. It has to end well, and say nothing on standard error but what commands report of themselves. */
  async run(step: Step | undefined): Promise<string> {
    if (step === undefined) throw new Error("the page has no such step");
    const { code, stdout, stderr } = await this.#shell(step.text);
    expect(code, `${step.place}\n${stdout}\n${stderr}`).toBe(0);
    markAsRun(step);
    return stdout;
  }

  async #shell(text: string): Promise<Output> {
    const operator = await this.issuer.sign("ada", { claims: { roles: ["Gateway.Admin"] } });
    const env = {
      ...this.env(),
      PATH: `${join(this.folder, "bin")}:${process.env.PATH}`,
      GATEWAY: this.url,
      ADMIN_URL: this.adminUrl,
      OPERATOR: operator,
    };
    const shell = spawn("sh", ["-euc", text], { cwd: this.folder, env });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      shell[name].on("data", (chunk) => {
        output[name] += chunk;
      });
    }
    const [code] = (await once(shell, "close")) as [number | null];
    return { code, ...output };
  }

  async ask(token: string, query: string): Promise<Answer> {
    const response = await fetch(`${this.url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ query }),
    });
    const { data, errors = [] } = (await response.json()) as {
      data?: Record<string, { userErrors?: { code: string }[] } | null>;
      errors?: { extensions: { code: string } }[];
    };
    const refusals = Object.values(data ?? {}).flatMap((payload) => payload?.userErrors ?? []);
    const codes = [...errors.map(({ extensions: { code } }) => code), ...refusals.map(({ code }) => code)];
    return { status: response.status, data, codes };
  }

  /** As the operator. */
  async manage(mutation: string): Promise<void> {
    const operator = await this.issuer.sign("ada", { claims: { roles: ["Gateway.Admin"] } });
    const { codes } = await this.ask(operator, `mutation { ${mutation} { userErrors { code } } }`);
    expect(codes).toEqual([]);
  }

  async issue(subject: string): Promise<{ codes: readonly string[]; token: string; id: string; userId: string }> {
    const { data, codes } = await this.ask(await this.issuer.sign(subject), ISSUE);
    const { token = "", identity } = data?.issueAccessToken?.accessToken ?? {};
    return { codes, token, id: identity?.id ?? "", userId: identity?.communicationUserId ?? "" };
  }

  async control(method: string, path: string, body?: unknown): Promise<unknown> {
    return await controlEmulator(this.emulator.endpoint, { method, path, body });
  }

  async isActive(token: string): Promise<boolean> {
    return ((await this.control("POST", "/tokens/introspect", { token })) as { active: boolean }).active;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.stopGateway();
    await this.stopRedis();
    await this.issuer.close();
    await this.emulator.close();
    await this.database?.drop();
    await this.scratch?.drop();
    for (const made of this.#made) await made.drop();
    rmSync(this.folder, { recursive: true });
  }
}

/** As shipped, with a sink for the trail, and no clock that a test would wait for. */
function configurationWith(audit: string): string {
  return `
issuers: [{ issuer: "\${OIDC_ISSUER}", audience: "\${OIDC_AUDIENCE}", keyMaxAgeSeconds: 1, keyStaleSeconds: 2 }]
policy:
  rules:
    - { name: members, when: {}, permissions: [TOKEN_ISSUE], scopes: [CHAT] }
    - name: admins
      when: { claim: roles, includes: Gateway.Admin }
      permissions: [TOKEN_ISSUE, TOKEN_ISSUE_ANY, IDENTITY_READ, IDENTITY_MANAGE, AUDIT_READ]
audit: { checkpointSeconds: 1, sinks: [{ to: trail.jsonl, required: true }]${audit} }
`;
}

/** One that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
