/**
 * Where a suite is played: a folder, the service and the issuer, servers and databases, all of which are gone when it is over.
 * Gateway and peers are told the same of what is outside.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { OwnPostgres, whyNoServers } from "../test/soak/servers.js";
import { startGateway, startGatewayBy } from "./gateway.js";
import { CAN_PIN, pinLoad, unpin } from "./machine.js";
import { type Outside, type OutsideOptions, startOutside } from "./outside.js";
import { dropDatabase, haveDatabase } from "./postgres.js";
import { builtProgram } from "./programs.js";
import { ServerProcess } from "./server.js";
import type { BenchOptions } from "./suite.js";

export type StoreKind = "SQLite" | "Postgres";

interface GatewayKind {
  /** Of its database; no two on a stage share one. */
  readonly name: string;
  readonly store: StoreKind;
  /** `shipped`: the built program's own `serve`. Of the others the one has a trail and the other none, and nothing else differs. */
  readonly as: "shipped" | "with-trail" | "without-trail";
  /** In place of one of its own. */
  readonly databaseUrl?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class Stage {
  readonly #servers: ServerProcess[] = [];
  readonly #databases: (() => Promise<void>)[] = [];
  #ownPostgres: OwnPostgres | undefined;

  private constructor(
    private readonly suite: string,
    private readonly options: BenchOptions,
    readonly folder: string,
    readonly outside: Outside,
  ) {}

  static async play<Result>(
    suite: string,
    options: BenchOptions & Omit<OutsideOptions, "folder"> & { readonly issuerFolder?: string },
    work: (stage: Stage) => Promise<Result>,
  ): Promise<Result> {
    pinLoad();
    // Not where temporary files go: that may be in memory, where a sync costs nothing.
    mkdirSync(options.folder, { recursive: true });
    const folder = mkdtempSync(join(options.folder, `${suite}-`));
    try {
      const outside = await startOutside({ ...options, folder: options.issuerFolder ?? folder });
      const stage = new Stage(suite, options, folder, outside);
      try {
        return await work(stage);
      } finally {
        await stage.closeServers();
        for (const drop of stage.#databases) await drop();
        await stage.#ownPostgres?.stop("immediate");
        await outside.close();
      }
    } finally {
      rmSync(folder, { recursive: true });
      unpin();
    }
  }

  async gateway({ name, store, as, databaseUrl, env }: GatewayKind): Promise<ServerProcess> {
    const url = databaseUrl ?? (await this.#newDatabase(name, store));
    const options = { folder: this.folder, env: { ...this.outside.env, DATABASE_URL: url, ...env } };
    const starting =
      as === "shipped" ? startGateway(options) : startGatewayBy({ ...options, withTrail: as === "with-trail" });
    return this.#keep(await starting);
  }

  /** The program of this name in `peers/`. */
  async peer(
    name: string,
    verification: "each" | "remembered",
    more: Readonly<Record<string, string>> = {},
  ): Promise<ServerProcess> {
    const env = { ...this.outside.env, ...more, VERIFICATION: verification };
    const args = [builtProgram(`peers/${name}`)];
    return this.#keep(await ServerProcess.start({ name, args, env, folder: this.folder }));
  }

  /** Those that are done with, before the end. */
  async closeServers(): Promise<void> {
    for (const server of this.#servers.splice(0)) await server.close();
  }

  #keep(server: ServerProcess): ServerProcess {
    this.#servers.push(server);
    return server;
  }

  async #newDatabase(name: string, store: StoreKind): Promise<string> {
    if (store === "SQLite" || this.options.postgres === undefined) return `sqlite:${join(this.folder, `${name}.db`)}`;
    const server = await this.#postgres(this.options.postgres);
    const database = `gateway_bench_${this.suite}_${name}`;
    await dropDatabase(server, database);
    this.#databases.push(() => dropDatabase(server, database));
    return await haveDatabase(server, database);
  }

  /** One of the stage's own, where it can be: started from here it keeps to this process's core, and off the gateway's. */
  async #postgres(given: string): Promise<string> {
    if (whyNoServers() !== "") return given;
    // It may run as another user, whose own folder is in this one.
    chmodSync(this.folder, 0o711);
    this.#ownPostgres ??= await OwnPostgres.start(this.folder);
    return this.#ownPostgres.url;
  }
}

/** What is missing from a run on this machine. */
export function whatIsLeftOut({ postgres }: BenchOptions): string[] {
  return [
    ...(CAN_PIN ? [] : ["Nothing was bound to a core, as this machine has no taskset or no second core."]),
    ...(postgres ? [] : ["Postgres is left out, as none answered."]),
    ...(postgres && whyNoServers() ? ["Postgres was not bound to a core, and takes of the gateway's, too."] : []),
  ];
}
