/**
 * A Postgres and a Redis of a run's own, which it may kill: programs of this machine, in the run's folder, on ports that
 * nobody else has. Servers that others use are never touched.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Client } from "pg";
import { Program, steadyPort } from "./program.js";

/** Where Debian and its kin put the programs of Postgres, which are on nobody's path. */
const DEBIAN = "/usr/lib/postgresql";
const OWNER = "postgres";
const DATABASE = "gateway";
const ASK_EVERY_MS = 50;
const START_LIMIT_MS = 60_000;
/** Room for what the gateways hold, what the run itself asks, and connections of the killed that linger. */
const MAX_CONNECTIONS = 100;

/** For the name of a test: why a run cannot have its servers here, or nothing. */
export function whyNoServers(): string {
  if (findInitdb() === undefined) return " (left out: there is no initdb of Postgres here)";
  if (!isThere("redis-server")) return " (left out: there is no redis-server here)";
  if (process.getuid?.() === 0 && findOwner() === undefined) {
    return ` (left out: Postgres does not run as root, and there is no user ${OWNER})`;
  }
  return "";
}

/** The versions of both, for the report. */
export function serverVersions(): string {
  const postgres = execFileSync(join(binaries(), "postgres"), ["--version"], { encoding: "utf8" });
  const redis = execFileSync("redis-server", ["--version"], { encoding: "utf8" });
  return `${postgres.trim()}, ${/v=(\S+)/.exec(redis)?.[1] ? `Redis ${/v=(\S+)/.exec(redis)?.[1]}` : redis.trim()}`;
}

export class OwnPostgres {
  #program: Program | undefined;

  private constructor(
    private readonly folder: string,
    private readonly port: number,
    private readonly owner: { uid: number; gid: number } | undefined,
  ) {}

  static async start(folder: string): Promise<OwnPostgres> {
    const data = join(folder, "postgres");
    const owner = process.getuid?.() === 0 ? findOwner() : undefined;
    mkdirSync(data, { mode: 0o700 });
    if (owner) chownSync(data, owner.uid, owner.gid);
    const args = ["-D", data, "-U", OWNER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
    execFileSync(join(binaries(), "initdb"), args, { cwd: data, stdio: ["ignore", "ignore", "pipe"], ...owner });
    const postgres = new OwnPostgres(folder, await steadyPort(), owner);
    await postgres.start();
    await postgres.ask(`create database ${DATABASE}`, "postgres");
    return postgres;
  }

  get url(): string {
    return this.#urlOf(DATABASE);
  }

  #urlOf(database: string): string {
    return `postgres://${OWNER}@127.0.0.1:${this.port}/${database}`;
  }

  /** Resolves when it answers: a server that was killed first goes through what it had written. */
  async start(): Promise<void> {
    const data = join(this.folder, "postgres");
    const settings = [`port=${this.port}`, "listen_addresses=127.0.0.1", "unix_socket_directories="];
    const args = [...settings, `max_connections=${MAX_CONNECTIONS}`].flatMap((setting) => ["-c", setting]);
    this.#program = Program.start({
      name: "Postgres",
      command: join(binaries(), "postgres"),
      args: ["-D", data, ...args],
      cwd: data,
      logFile: join(this.folder, "postgres.log"),
      owner: this.owner,
    });
    await this.#program.listening(this.port);
    const last = performance.now() + START_LIMIT_MS;
    while (!(await this.ask("select 1", "postgres").then(Boolean, () => false))) {
      if (performance.now() > last) throw new Error("Postgres does not answer");
      await setTimeout(ASK_EVERY_MS);
    }
  }

  /** immediate: as a crash, with no farewell to clients; fast: connections are ended, and all is written. */
  async stop(how: "immediate" | "fast"): Promise<void> {
    await this.#program?.stop(how === "immediate" ? "SIGQUIT" : "SIGINT");
  }

  async ask<Row>(sql: string, database = DATABASE): Promise<Row[]> {
    const client = new Client({ connectionString: this.#urlOf(database), connectionTimeoutMillis: 5000 });
    // That the server ends it is told by the statement.
    client.on("error", () => {});
    await client.connect();
    try {
      return (await client.query(sql)).rows as Row[];
    } finally {
      await client.end();
    }
  }
}

/** Without a disk: what is in it is gone when it stops, as the gateway has to bear. */
export class OwnRedis {
  #program: Program | undefined;

  private constructor(
    private readonly folder: string,
    readonly port: number,
  ) {}

  static async start(folder: string): Promise<OwnRedis> {
    const redis = new OwnRedis(folder, await steadyPort());
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const settings = { port: this.port, bind: "127.0.0.1", save: "", appendonly: "no", dir: this.folder };
    this.#program = Program.start({
      name: "Redis",
      command: "redis-server",
      args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]),
      cwd: this.folder,
      logFile: join(this.folder, "redis.log"),
    });
    await this.#program.listening(this.port);
  }

  signal(signal: NodeJS.Signals): void {
    this.#program?.signal(signal);
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    // A frozen one would not hear of its end.
    this.#program?.signal("SIGCONT");
    await this.#program?.stop(signal);
  }
}

function binaries(): string {
  const initdb = findInitdb();
  if (initdb === undefined) throw new Error("there is no initdb of Postgres here");
  return initdb;
}

/** The folder that it is in. */
function findInitdb(): string | undefined {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((one, other) => Number(other) - Number(one)) : [];
  const onPath = (process.env.PATH ?? "").split(":");
  const folders = [...versions.map((version) => join(DEBIAN, version, "bin")), ...onPath];
  return folders.find((folder) => existsSync(join(folder, "initdb")));
}

function findOwner(): { uid: number; gid: number } | undefined {
  const id = (flag: string) => Number(spawnSync("id", [flag, OWNER], { encoding: "utf8" }).stdout || Number.NaN);
  const owner = { uid: id("-u"), gid: id("-g") };
  return Number.isInteger(owner.uid) && Number.isInteger(owner.gid) ? owner : undefined;
}

function isThere(program: string): boolean {
  return spawnSync(program, ["--version"]).status === 0;
}
