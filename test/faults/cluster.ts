import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import type { AuditRecord } from "../../src/audit/record.js";
import { Secret } from "../../src/config/secret.js";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.js";
import { openKeys } from "../../src/keys.js";
import { openStore, type Store } from "../../src/store/store.js";
import { Cli } from "../fixtures/cli.js";
import { controlEmulator } from "../fixtures/emulator-control.js";
import { AUDIENCE, TestIssuer } from "../fixtures/issuer.js";
import { TestDatabase } from "../fixtures/postgres.js";
import { type Ask, askFile, lockFile, readChains } from "../fixtures/trail.js";
import { clock } from "./history.js";
import { claimRedisDatabase, type RedisDatabase } from "./redis-database.js";

export interface Servers {
  readonly postgres: string;
  readonly redis: string;
}

interface ClusterOptions {
  readonly instances: number;
  /** One process on SQLite without them. */
  readonly servers?: Servers | undefined;
  /** Of a call to the service. */
  readonly serviceTimeoutSeconds: number;
  readonly requestTimeoutSeconds: number;
}

const START_LIMIT_MS = 60_000;

/** The service and the issuer, which survive, and gateway processes on one store, which need not. */
export class Cluster {
  readonly #running: (Cli | undefined)[] = [];
  /** Of those that listen. */
  readonly #listening = new Set<number>();
  readonly #urls: string[] = [];

  private constructor(
    readonly emulator: Emulator,
    readonly issuer: TestIssuer,
    private readonly folder: string,
    private readonly database: TestDatabase | undefined,
    private readonly redis: RedisDatabase | undefined,
    readonly size: number,
  ) {}

  static async start(options: ClusterOptions): Promise<Cluster> {
    const { servers } = options;
    const folder = mkdtempSync(join(tmpdir(), "gateway-faults-"));
    writeFileSync(join(folder, "faults.yaml"), configFile(options));
    const cluster = new Cluster(
      await startEmulator({
        host: "127.0.0.1",
        port: 0,
        latency: "none",
        rateLimits: false,
        now: () => Math.floor(clock()),
      }),
      await TestIssuer.start(),
      folder,
      servers && (await TestDatabase.create(servers.postgres)),
      servers && (await claimRedisDatabase(servers.redis)),
      options.instances,
    );
    await cluster.startAll();
    return cluster;
  }

  /** Where the instance listens or, while it is away, where it listened last. */
  url(instance: number): string {
    return `${this.#urls[instance]}/graphql`;
  }

  /** The instance, or else the next that listens; undefined when none does. One that is frozen still listens. */
  listening(instance: number): number | undefined {
    const candidates = Array.from({ length: this.size }, (_, step) => (instance + step) % this.size);
    return candidates.find((candidate) => this.#listening.has(candidate));
  }

  async startAll(): Promise<void> {
    // Only on Postgres do two agree on who makes the tables.
    if (this.database === undefined) await this.startInstance(0);
    await Promise.all(Array.from({ length: this.size }, (_, instance) => this.startInstance(instance)));
  }

  /** Resolves when it listens; at once if it runs already. */
  async startInstance(instance: number): Promise<void> {
    if (this.#running[instance] !== undefined) return;
    const cli = Cli.start(["serve", "--config", join(this.folder, "faults.yaml")], {
      cwd: this.folder,
      env: this.#environment(),
    });
    this.#running[instance] = cli;
    const late = setTimeout(START_LIMIT_MS, undefined, { ref: false }).then(() => {
      throw new Error(`instance ${instance} does not start: ${cli.stdout}${cli.stderr}`);
    });
    const [, url = ""] = await Promise.race([cli.printed(/"url":"([^"]+)"/), late]);
    this.#urls[instance] = url;
    this.#listening.add(instance);
  }

  signal(instance: number, signal: NodeJS.Signals): void {
    this.#running[instance]?.kill(signal);
  }

  /** As the power does. */
  async kill(instance: number): Promise<void> {
    const cli = this.#running[instance];
    cli?.kill("SIGKILL");
    this.#listening.delete(instance);
    await cli?.ended();
    this.#running[instance] = undefined;
  }

  /** In peace; the exit codes. */
  async stopAll(): Promise<(number | string)[]> {
    const running = this.#running.splice(0).filter((cli) => cli !== undefined);
    for (const cli of running) cli.kill("SIGTERM");
    return await Promise.all(running.map((cli) => cli.ended()));
  }

  /** The store itself, for when no process uses it. */
  async openStore(): Promise<Store> {
    return await openStore(
      this.database
        ? { kind: "postgres", url: new Secret(this.database.url), maxConnections: 1, queueSize: 500 }
        : { kind: "sqlite", file: join(this.folder, "gateway.db") },
    );
  }

  async control(method: string, path: string, body?: unknown): Promise<unknown> {
    return await controlEmulator(this.emulator.endpoint, { method, path, body });
  }

  /** What the gateways wrote down of what they did, by writer. */
  async trail(): Promise<AuditRecord[][]> {
    return await readChains(this.#ask);
  }

  /** How many records are not listed. */
  async unlisted(): Promise<number> {
    const [found] = await this.#ask<{ count: number }>("select count(*) as count from audit_events where listed = 0");
    return Number(found?.count);
  }

  readonly #ask: Ask = async (sql) =>
    this.database === undefined ? askFile(join(this.folder, "gateway.db"), sql) : await this.database.ask(sql);

  /** Keeps every process from writing to the trail, until what it answers is called. */
  async lockTrail(): Promise<() => Promise<void>> {
    if (this.database === undefined) return lockFile(join(this.folder, "gateway.db"));
    return await this.database.lock("audit_events");
  }

  /** `audit verify`, as an operator runs it. */
  async verifyTrail(): Promise<{ code: number | string; stdout: string; stderr: string }> {
    const args = ["audit", "verify", "--config", join(this.folder, "faults.yaml")];
    return await Cli.run(args, { cwd: this.folder, env: this.#environment() });
  }

  /** What stands for this token in the trail. */
  fingerprint(token: string): string {
    const store = { kind: "sqlite", file: join(this.folder, "gateway.db") } as const;
    const shared = this.redis ? new Secret(this.redis.key) : null;
    const tokens = { cacheKeys: shared ? [shared] : [] };
    const audit = { key: shared, signingKey: null, earlierKeys: [] };
    return createFingerprint(openKeys({ store, tokens, audit }).auditKey)(token);
  }

  /** Whether the service takes this token now. */
  async isActive(token: string): Promise<boolean> {
    return ((await this.control("POST", "/tokens/introspect", { token })) as { active: boolean }).active;
  }

  /** The ids of those that the service has and has not deleted. */
  async liveAtService(): Promise<Set<string>> {
    const live = new Set<string>();
    let after: string | null = "";
    while (after !== null) {
      const page = (await this.control(
        "GET",
        `/identities?limit=1000${after && `&after=${encodeURIComponent(after)}`}`,
      )) as {
        identities: { id: string; deleted: boolean }[];
        next: string | null;
      };
      for (const { id, deleted } of page.identities) if (!deleted) live.add(id);
      after = page.next;
    }
    return live;
  }

  async close(): Promise<void> {
    await Promise.all(this.#running.map((_, instance) => this.kill(instance)));
    await this.issuer.close();
    await this.emulator.close();
    await this.database?.drop();
    await this.redis?.release();
    rmSync(this.folder, { recursive: true });
  }

  #environment(): Record<string, string> {
    return {
      PORT: "0",
      ADMIN_PORT: "0",
      ACS_CONNECTION_STRING: this.emulator.connectionString,
      OIDC_ISSUER: this.issuer.url,
      OIDC_AUDIENCE: AUDIENCE,
      DATABASE_URL: this.database?.url ?? `sqlite:${join(this.folder, "gateway.db")}`,
      // A shared database takes shared keys; a file of one's own has its keys beside it.
      ...(this.redis && { REDIS_URL: this.redis.url, TOKEN_CACHE_KEY: this.redis.key, AUDIT_KEY: this.redis.key }),
    };
  }
}

/** As shipped, but impatient with the service, and with no limits. */
function configFile({ serviceTimeoutSeconds, requestTimeoutSeconds }: ClusterOptions): string {
  return `
server: { port: "\${PORT}", requestTimeoutSeconds: ${requestTimeoutSeconds}, admin: { port: "\${ADMIN_PORT}" } }
acs: { connectionString: "\${ACS_CONNECTION_STRING}", timeoutSeconds: ${serviceTimeoutSeconds}, pace: { percent: 100000 } }
issuers: [{ issuer: "\${OIDC_ISSUER}", audience: "\${OIDC_AUDIENCE}" }]
policy:
  rules:
    - { name: members, when: {}, permissions: [TOKEN_ISSUE], scopes: [CHAT, CHAT_JOIN, VOIP, VOIP_JOIN] }
    - name: admins
      when: { claim: roles, includes: Gateway.Admin }
      permissions: [TOKEN_ISSUE, TOKEN_ISSUE_ANY, IDENTITY_READ, IDENTITY_MANAGE]
limits: { mintsPerSubject: 1000000000, mintsPerIssuer: 1000000000, revocationsPerSubject: 1000000000, requestsPerSubject: 1000000000 }
`;
}
