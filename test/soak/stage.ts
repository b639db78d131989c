/**
 * Everything that a run needs, each in a process of its own that can be killed, but for the issuer: gateways as they are
 * shipped, Postgres, Redis, and the emulator of the service with what it knows in a file. Instance 0 is never stopped.
 */

import { randomBytes } from "node:crypto";
import { appendFileSync, chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { START_ENVIRONMENT } from "../../scripts/start-environment.js";
import { controlEmulator } from "../fixtures/emulator-control.js";
import { AUDIENCE } from "../fixtures/issuer.js";
import { Program, steadyPort } from "./program.js";
import { RotatingIssuer } from "./rotating-issuer.js";
import { OwnPostgres, OwnRedis } from "./servers.js";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const MANIFEST = fileURLToPath(new URL("../../schema/persisted-documents.json", import.meta.url));
/** Where clients are told that the gateway is: proofs name it, whichever instance they come to. */
export const PUBLIC_URL = "https://tokens.example.com";
const READY_EVERY_MS = 50;
const READY_LIMIT_MS = 60_000;

interface Instance {
  readonly port: number;
  readonly adminPort: number;
  program?: Program;
}

export class Stage {
  readonly instances: Instance[] = [];
  #service: Program | undefined;
  /** How each gateway that was told to stop has ended. */
  readonly exits: (number | string)[] = [];

  private constructor(
    readonly folder: string,
    readonly postgres: OwnPostgres,
    readonly redis: OwnRedis,
    readonly issuer: RotatingIssuer,
    private readonly servicePort: number,
    readonly key: string,
  ) {}

  static async start(size: number): Promise<Stage> {
    const folder = mkdtempSync(join(tmpdir(), "gateway-soak-"));
    // The user that Postgres runs as has to get through it.
    chmodSync(folder, 0o711);
    writeFileSync(join(folder, "soak.yaml"), CONFIG);
    const stage = new Stage(
      folder,
      await OwnPostgres.start(folder),
      await OwnRedis.start(folder),
      await RotatingIssuer.start(),
      await steadyPort(),
      randomBytes(32).toString("base64"),
    );
    try {
      await stage.#startAll(size);
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async #startAll(size: number): Promise<void> {
    await this.startService();
    for (let index = 0; index < size; index++) {
      this.instances.push({ port: await steadyPort(), adminPort: await steadyPort() });
    }
    await Promise.all(this.instances.map((_, index) => this.startInstance(index)));
  }

  url(instance: number): string {
    return `http://127.0.0.1:${this.instances[instance]?.port}/graphql`;
  }

  adminUrl(instance: number): string {
    return `http://127.0.0.1:${this.instances[instance]?.adminPort}`;
  }

  /** As Prometheus reads them; empty while the instance is away. */
  async metrics(instance: number): Promise<string> {
    return await fetch(`${this.adminUrl(instance)}/metrics`).then(
      (response) => response.text(),
      () => "",
    );
  }

  pidOf(instance: number): number {
    return this.instances[instance]?.program?.pid ?? 0;
  }

  /** Resolves when it listens. */
  async startInstance(index: number): Promise<void> {
    const instance = this.instances[index];
    if (instance === undefined) throw new Error(`there is no instance ${index}`);
    instance.program = Program.start({
      name: `gateway ${index}`,
      command: process.execPath,
      args: [MAIN, "serve", "--config", join(this.folder, "soak.yaml")],
      cwd: this.folder,
      env: this.#environment(index, instance),
      logFile: this.logFile(index),
    });
    await instance.program.listening(instance.port);
  }

  logFile(index: number): string {
    return join(this.folder, `gateway-${index}.log`);
  }

  async stopInstance(index: number, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const end = await this.instances[index]?.program?.stop(signal);
    if (signal === "SIGTERM" && end !== undefined) this.exits.push(end);
  }

  /** Resolves when the instance says that it is. */
  async ready(index: number): Promise<void> {
    const last = performance.now() + READY_LIMIT_MS;
    while (!(await isReady(this.adminUrl(index)))) {
      if (performance.now() > last) throw new Error(`gateway ${index} is not ready`);
      await setTimeout(READY_EVERY_MS);
    }
  }

  async startService(): Promise<void> {
    const place = ["--port", String(this.servicePort), "--file", join(this.folder, "service.db")];
    this.#service = Program.start({
      name: "the service's emulator",
      command: process.execPath,
      args: [MAIN, "emulator", ...place, "--latency", "realistic", "--rate-limits"],
      cwd: this.folder,
      logFile: join(this.folder, "service.log"),
    });
    await this.#service.listening(this.servicePort);
    // It listens a little before it has said so.
    while (!this.#service.isOver && this.#connectionString() === undefined) await setTimeout(READY_EVERY_MS);
  }

  async stopService(): Promise<void> {
    await this.#service?.stop("SIGKILL");
  }

  /** The emulator's controls. Rejects while it is away. */
  async control(method: string, path: string, body?: unknown): Promise<unknown> {
    return await controlEmulator(`http://127.0.0.1:${this.servicePort}/`, { method, path, body });
  }

  /** `audit verify` as an operator runs it, with what all instances have signed. */
  async verifyTrail(): Promise<{ code: number | string; said: string }> {
    const checkpoints = join(this.folder, "checkpoints.jsonl");
    for (const index of this.instances.keys()) {
      const own = this.#checkpoints(index);
      if (existsSync(own)) appendFileSync(checkpoints, readFileSync(own));
    }
    const [instance] = this.instances;
    if (instance === undefined) throw new Error("there is no instance");
    const logFile = join(this.folder, "verify.log");
    const program = Program.start({
      name: "audit verify",
      command: process.execPath,
      args: [MAIN, "audit", "verify", "--config", join(this.folder, "soak.yaml"), "--checkpoints", checkpoints],
      cwd: this.folder,
      env: this.#environment(0, instance),
      logFile,
    });
    const code = await program.ended();
    return { code, said: readFileSync(logFile, "utf8").trim() };
  }

  /** Ends all that was started. `keep`: leaves the folder, for whoever looks for what went wrong. */
  async close({ keep = false } = {}): Promise<void> {
    await Promise.all(this.instances.map(({ program }) => program?.stop("SIGKILL")));
    await Promise.all([this.stopService(), this.redis.stop("SIGKILL"), this.postgres.stop("immediate")]);
    await this.issuer.close();
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
  }

  #checkpoints(index: number): string {
    return join(this.folder, `checkpoints-${index}.jsonl`);
  }

  #environment(index: number, { port, adminPort }: Instance): Record<string, string> {
    return {
      ...START_ENVIRONMENT,
      PORT: String(port),
      ADMIN_PORT: String(adminPort),
      PUBLIC_URL,
      ACS_CONNECTION_STRING: this.#connectionString() ?? "",
      OIDC_ISSUER: this.issuer.url,
      OIDC_AUDIENCE: AUDIENCE,
      DATABASE_URL: this.postgres.url,
      REDIS_URL: this.redis.url,
      TOKEN_CACHE_KEY: this.key,
      AUDIT_KEY: this.key,
      AUDIT_CHECKPOINTS: this.#checkpoints(index),
      INSTANCES: String(this.instances.length),
    };
  }

  /** As the emulator has printed it; its file keeps the key over restarts. */
  #connectionString(): string | undefined {
    return /^ACS_CONNECTION_STRING="(.+)"$/m.exec(readFileSync(join(this.folder, "service.log"), "utf8"))?.[1];
  }
}

async function isReady(adminUrl: string): Promise<boolean> {
  return await fetch(`${adminUrl}/health/ready`).then(
    ({ status }) => status === 200,
    () => false,
  );
}

/**
 * As shipped, but for documents that are known by their ids, an issuer that is asked for its keys more often, and a memory for
 * tokens that is full when the warm-up is over: a cache that fills is no leak, and hides one.
 */
const CONFIG = `
server: { port: "\${PORT}", publicUrl: "\${PUBLIC_URL}", admin: { port: "\${ADMIN_PORT}" } }
issuers: [{ issuer: "\${OIDC_ISSUER}", audience: "\${OIDC_AUDIENCE}", keyMaxAgeSeconds: 60 }]
auth: { rememberedTokens: 500 }
policy:
  rules:
    - { name: members, when: {}, permissions: [TOKEN_ISSUE], scopes: [CHAT, CHAT_JOIN, VOIP, VOIP_JOIN] }
    - name: admins
      when: { claim: roles, includes: Gateway.Admin }
      permissions: [TOKEN_ISSUE, TOKEN_ISSUE_ANY, IDENTITY_READ, IDENTITY_MANAGE, AUDIT_READ]
    - { name: auditors, when: { claim: roles, includes: Gateway.Auditor }, permissions: [IDENTITY_READ, AUDIT_READ] }
graphql: { trustedDocuments: { manifests: ["${MANIFEST}"] } }
`;
