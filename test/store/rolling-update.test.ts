import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEmulator } from "../../src/emulator/emulator.js";
import { claimRedisDatabase, type RedisDatabase } from "../faults/redis-database.js";
import { LEFT_OUT, SERVERS } from "../faults/settings.js";
import { Cli } from "../fixtures/cli.js";
import { TestDatabase } from "../fixtures/postgres.js";
import { Surroundings } from "../fixtures/versions/surroundings.js";
import { ISSUER, type OldProgram, PREVIOUS_VERSION, unpack, whyNotInHistory } from "../fixtures/versions/versions.js";

const leftOut = LEFT_OUT || whyNotInHistory(PREVIOUS_VERSION);

const ISSUE = `mutation { issueAccessToken(input: { scopes: [CHAT] }) {
  accessToken { token identity { id } } userErrors { code } } }`;
const DELETE = "mutation { deleteIdentity(input: {}) { userErrors { code } } }";
const REVOKE = "mutation { revokeAccessTokens(input: {}) { effectiveBy userErrors { code } } }";

/** In the order of an update: the version before serves, this one comes beside it, and takes over. */
describe.skipIf(leftOut)(
  `an update from the version before, on Postgres and Redis${leftOut}`,
  { timeout: 180_000 },
  () => {
    let world: Awaited<ReturnType<typeof createWorld>>;
    let old: Running;
    let next: Running;
    const both = (): readonly [Running, Running][] => [
      [old, next],
      [next, old],
    ];

    beforeAll(async () => {
      world = await createWorld();
      old = await world.serve(world.program);
    }, 180_000);
    afterAll(() => world.close());

    it("loses no request while this one starts and changes the schema", async () => {
      const traffic = world.crowd(() => old.url);
      await traffic.has(10);
      next = await world.serve();
      await traffic.has(20);
      expect(await traffic.end()).toEqual([]);
    });

    it("has each take the other's word for tokens and revocations", async () => {
      const { surroundings } = world;
      for (const [one, other] of both()) {
        const caller = await surroundings.token(`user of ${one.url}`);
        const ask = async ({ url }: Running, query: string) => await surroundings.ask(url, caller, query);
        const issue = async (at: Running) => (await ask(at, ISSUE)).data.issueAccessToken.accessToken?.token;
        const first = await issue(one);
        expect(first).toBeTypeOf("string");
        // From the cache that they share.
        expect(await issue(other)).toBe(first);
        expect((await ask(other, REVOKE)).codes).toEqual([]);
        const second = await issue(one);
        expect([typeof second, second === first]).toEqual(["string", false]);
      }
    });

    it("has both count together what a user may have minted", async () => {
      const { surroundings } = world;
      const caller = await surroundings.token("eager");
      const again = ISSUE.replace("scopes: [CHAT]", "scopes: [CHAT], forceNew: true");
      const codes: string[] = [];
      // 30 a minute; one that ends meanwhile gives 30 more.
      for (let number = 0; number < 62 && codes.length === 0; number++) {
        codes.push(...(await surroundings.ask(number % 2 === 0 ? old.url : next.url, caller, again)).codes);
      }
      expect(codes).toEqual(["RATE_LIMITED"]);
    });

    it("has each list the other's records", async () => {
      const { surroundings } = world;
      const admin = await surroundings.admin();
      for (const [one, other] of both()) {
        const subject = `seen from ${other.url}`;
        await surroundings.ask(one.url, await surroundings.token(subject), ISSUE);
        for (const filter of ["", `, filter: { actor: { issuer: "${ISSUER}", subject: "${subject}" } }`]) {
          const query = `{ auditEvents(first: 1${filter}) { nodes { id action actor { subject } } } }`;
          const { data } = await surroundings.ask(other.url, admin, query);
          expect(data.auditEvents.nodes).toMatchObject([{ actor: { subject } }]);
        }
      }
    });

    it("loses no request while the version before ends, and leaves a trail that is whole", async () => {
      const { surroundings, database } = world;
      let { url } = old;
      const traffic = world.crowd(() => url);
      await traffic.has(10);
      url = next.url;
      old.cli.kill("SIGTERM");
      expect(await old.cli.ended()).toBe(0);
      await traffic.has(10);
      expect(await traffic.end()).toEqual([]);
      const env = surroundings.environment({ DATABASE_URL: database.url });
      const { code, stdout } = await Cli.run(["audit", "verify"], { cwd: surroundings.folder, env });
      expect([code, stdout]).toEqual([0, expect.stringContaining("whole")]);
    });

    it("can be taken back: the version before starts on the schema that this one has left", async () => {
      const { surroundings } = world;
      const issue = async (at: Running) => {
        const { data, codes } = await surroundings.ask(at.url, await surroundings.token("who stays"), ISSUE);
        expect(codes).toEqual([]);
        return data.issueAccessToken.accessToken?.identity.id;
      };
      const id = await issue(next);
      old = await world.serve(world.program);
      expect(old.cli.stdout).toContain("the database's schema is of a later version of the gateway");
      expect([typeof id, await issue(old)]).toEqual(["string", id]);
      // And takes a user's name from the records that this one has left.
      const caller = await surroundings.token("who stays");
      expect((await surroundings.ask(old.url, caller, DELETE)).codes).toEqual([]);
      const named = "select from audit_events where actor_subject = 'who stays'";
      await expect.poll(() => world.database.ask(named), { timeout: 20_000 }).toEqual([]);
    });
  },
);

type Running = Awaited<ReturnType<Surroundings["serve"]>>;

async function createWorld() {
  if (SERVERS === undefined) throw new Error("there are no servers");
  const folder = mkdtempSync(join(tmpdir(), "gateway-rolling-"));
  const emulator = await startEmulator({ host: "127.0.0.1", port: 0, latency: "none", rateLimits: false });
  const surroundings = await Surroundings.start(folder, emulator);
  const database = await TestDatabase.create(SERVERS.postgres);
  const redis: RedisDatabase = await claimRedisDatabase(SERVERS.redis);
  const program: OldProgram = unpack(PREVIOUS_VERSION);
  const running: Running[] = [];
  const serve = async (old?: OldProgram) => {
    const started = await surroundings.serve({ DATABASE_URL: database.url, REDIS_URL: redis.url }, old);
    running.push(started);
    return started;
  };
  return {
    surroundings,
    database,
    program,
    serve,
    crowd: (url: () => string) => new Crowd(surroundings, url),
    close: async () => {
      // Those that a failed test has left.
      for (const { cli } of running) cli.kill("SIGKILL");
      await surroundings.close();
      await database.drop();
      await redis.release();
      program.remove();
      rmSync(folder, { recursive: true });
    },
  };
}

/** New users, who come one after another. */
class Crowd {
  #answers = 0;
  #isOver = false;
  readonly #failures: string[] = [];
  readonly #work: Promise<unknown>;

  constructor(
    private readonly surroundings: Surroundings,
    private readonly url: () => string,
  ) {
    this.#work = Promise.all([this.#come("a"), this.#come("b")]);
  }

  /** Resolves when there are so many answers more. */
  async has(more: number): Promise<void> {
    const until = this.#answers + more;
    await expect.poll(() => this.#answers, { timeout: 20_000 }).toBeGreaterThanOrEqual(until);
  }

  /** What was not answered well. */
  async end(): Promise<readonly string[]> {
    this.#isOver = true;
    await this.#work;
    return this.#failures;
  }

  async #come(name: string): Promise<void> {
    for (let number = 0; !this.#isOver; number++) {
      const token = await this.surroundings.token(`${name}${number}`);
      const { status, codes } = await this.surroundings
        .ask(this.url(), token, ISSUE)
        .catch((error: unknown) => ({ status: 0, codes: [String(error)] }));
      if (status !== 200 || codes.length > 0) this.#failures.push(`${status} ${codes}`);
      this.#answers += 1;
    }
  }
}
