import { setImmediate as nextTurn, setTimeout } from "node:timers/promises";
import { Kysely, sql } from "kysely";
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { AuditRecord } from "../../src/audit/record.js";
import { Secret } from "../../src/config/secret.js";
import type { Identity } from "../../src/identities/identity.js";
import { AuditStore } from "../../src/store/audit-store.js";
import { isPlanLost, openPostgres } from "../../src/store/dialect-postgres.js";
import { INSERTS_OF_JSON, insertJson } from "../../src/store/record-insert.js";
import { openStore, type Store } from "../../src/store/store.js";
import type { Tables } from "../../src/store/tables.js";
import { TestWriter } from "../fixtures/audit.js";
import { POSTGRES_URL, TestDatabase } from "../fixtures/postgres.js";
import { TcpProxy } from "../fixtures/tcp-proxy.js";

const unavailable = { reason: { code: "STORE_UNAVAILABLE" } };

const server = POSTGRES_URL;
if (server === undefined) {
  describe("writes of the trail that are sent ahead to a Postgres server", () => {
    it.skip("left out: TEST_POSTGRES_URL is not set");
  });
} else {
  describe("writes of the trail that are sent ahead to a Postgres server", () => {
    let database: TestDatabase;
    let proxy: TcpProxy;
    let store: Store;

    beforeAll(async () => {
      database = await TestDatabase.create(server);
      proxy = await TcpProxy.start(new URL(database.url));
      const url = new Secret(database.via(proxy.port));
      store = await openStore({ kind: "postgres", url, maxConnections: 2, queueSize: 10 });
    });
    afterEach(() => {
      vi.restoreAllMocks();
    });
    afterAll(async () => {
      await store.close();
      await proxy.close();
      await database.drop();
    });

    /** Four records, so that there are three that go on from another. */
    function chainOf(writer: string): AuditRecord[] {
      const chain = new TestWriter(writer);
      return [1, 2, 3, 4].map((at) => chain.add(at));
    }
    const stored = async (writer: string) => {
      const rows = await database.ask<{ sequence: number }>(
        `select sequence::int from audit_events where writer = '${writer}' order by sequence`,
      );
      return rows.map(({ sequence }) => sequence);
    };
    /** How many statements are under way at most. */
    function watchQueries() {
      const watch = { now: 0, most: 0 };
      const query = Client.prototype.query as (...args: unknown[]) => unknown;
      const watched = function (this: Client, ...args: unknown[]) {
        const answered = args.at(-1) as (...answer: unknown[]) => void;
        watch.now += 1;
        watch.most = Math.max(watch.most, watch.now);
        const told = (...answer: unknown[]) => {
          watch.now -= 1;
          answered(...answer);
        };
        return query.apply(this, [...args.slice(0, -1), told]);
      };
      vi.spyOn(Client.prototype, "query").mockImplementation(watched as typeof Client.prototype.query);
      return watch;
    }
    /** Of the connections on which records are added. */
    const sessions = () =>
      database.ask<{ pid: number }>(
        "select pid from pg_stat_activity where datname = current_database() and query like '%into audit_events%' and pid <> pg_backend_pid()",
      );
    const [one, two] = [0, 1];
    const append = async (records: readonly AuditRecord[], index: number, isAhead = false) => {
      const after = isAhead ? records[index - 1] : undefined;
      return (await store.audit.append(records.slice(index, index + 1), { after })) !== undefined;
    };

    /** The second one as soon as the first has its connection. */
    async function appendBoth(
      records: readonly AuditRecord[],
      index: number,
    ): Promise<[Promise<boolean>, Promise<boolean>]> {
      const first = append(records, index);
      first.catch(() => {});
      await setTimeout(5);
      const both: [Promise<boolean>, Promise<boolean>] = [first, append(records, 2, true)];
      both[1].catch(() => {});
      return both;
    }

    it("are on their way by one connection before the one in front of them is answered, and stored in their order", async () => {
      const records = chainOf("ahead");
      await append(records, one);
      const release = await database.lock("audit_events");
      const queries = vi.spyOn(Client.prototype, "query");
      const writes = await appendBoth(records, two);
      // And with them what is asked behind them.
      const looks = ["idn_1", "idn_2"].map((id) => store.identities.findBehindRecord(id));
      await nextTurn();
      looks.push(store.identities.findBehindRecord("idn_3"));
      await expect.poll(() => queries.mock.contexts.length).toBe(4);
      expect(new Set(queries.mock.contexts).size).toBe(1);
      queries.mockRestore();
      await release();
      expect(await Promise.all(writes)).toEqual([true, true]);
      expect(await Promise.all(looks)).toEqual([undefined, undefined, undefined]);
      expect(await stored("ahead")).toEqual([1, 2, 3]);
    });

    it("are followed by what is asked behind them, which is as it is with them there", async () => {
      await store.identities.claim({ issuer: "https://issuer.test", subject: "behind" }, "idn_behind", 1);
      const records = chainOf("behind");
      await append(records, one);
      const release = await database.lock("audit_events");
      let seen: Promise<Identity | undefined> | undefined;
      const behind = () => {
        seen = store.identities.findBehindRecord("idn_behind");
      };
      const write = store.audit.append(records.slice(two), { behind });
      await expect.poll(() => database.countWaiting()).toBe(1);
      expect(seen).toBeDefined();
      await database.ask("update identities set revocations = 7 where id = 'idn_behind'");
      await release();
      expect(await write).toBeDefined();
      expect(await seen).toMatchObject({ revocations: 7 });
    });

    it("are to be asked for again when their plan is lost, as what was sent behind them is then ahead of them", async () => {
      const options = { url: database.url, maxConnections: 1, queueSize: 10, purpose: "trail", atOnce: 4 } as const;
      const session = new Kysely<Tables>({ dialect: openPostgres({ ...options, prepared: INSERTS_OF_JSON }) });
      const parts = { database: session, insert: insertJson, writesAtOnce: 2, isNotRun: isPlanLost };
      const audit = new AuditStore(session, undefined, parts);
      const [first, second, third] = chainOf("plan");
      if (!first || !second || !third) throw new Error("there are four");
      expect(await audit.append([first])).toBeDefined();
      expect(await audit.append([second])).toBeDefined();
      await sql`deallocate all`.execute(session);
      expect(await audit.append([third])).toBeUndefined();
      expect(await stored("plan")).toEqual([1, 2]);
      expect(await audit.append([third])).toBeDefined();
      expect(await stored("plan")).toEqual([1, 2, 3]);
      await session.destroy();
    });

    it("are not stored when the one in front of them fails, nor is the time noted at which they were", async () => {
      const records = chainOf("fails");
      await append(records, one);
      await database.ask("delete from audit_writers");
      await store.audit.append(chainOf("between"));
      const [failed, refused] = await Promise.allSettled(await appendBoth(records, one));
      expect(failed).toMatchObject({ reason: { code: "23505" } });
      expect(refused).toEqual({ status: "fulfilled", value: false });
      expect(await stored("fails")).toEqual([1]);
      expect(await database.ask("select writer from audit_writers")).toEqual([{ writer: "between" }]);
      expect(await append(records, two)).toBe(true);
    });

    it("are not stored where the session has added something else last, or nothing", async () => {
      const records = chainOf("other");
      await append(records, one);
      await store.audit.append(chainOf("something else"));
      expect(await append(records, two, true)).toBe(false);
      await append(records, two);
      await database.terminateConnections();
      await setTimeout(50);
      expect(await append(records, 2, true)).toBe(false);
      expect(await stored("other")).toEqual([1, 2]);
    });

    describe("on a premise", () => {
      const premiseOf = (name: string) => ({
        identityId: `idn_${name}`,
        communicationUserId: `8:acs:r_${name}`,
        revocations: 0,
      });
      /** Of identities that begin with this. */
      const addIdentities = (name: string, count = 1) =>
        database.ask(`insert into identities (id, issuer, subject, communication_user_id, status, created_at)
          select 'idn_${name}' || n, 'https://issuer.test', '${name}' || n, '8:acs:r_${name}' || n, 'ACTIVE', 1
          from generate_series(1, ${count}) n returning id`);

      it("are not stored where the session has added something else last, though the premise holds", async () => {
        await addIdentities("follows");
        const records = chainOf("follows");
        const premises = [premiseOf("follows1")];
        const write = (index: number, after?: AuditRecord) =>
          store.audit.append(records.slice(index, index + 1), { after, premises });
        expect(await write(one)).toBeDefined();
        expect(await write(two, records[one])).toBeDefined();
        await store.audit.append(chainOf("follows not"));
        expect(await write(2, records[two])).toBeUndefined();
        expect(await stored("follows")).toEqual([1, 2]);
      });

      it("are prepared, too, and go on when somebody adds a column to the table or changes the type of one", async () => {
        await addIdentities("altered");
        const premises = [premiseOf("altered1")];
        const records = chainOf("altered");
        const write = (index: number) => store.audit.append(records.slice(index, index + 1), { premises });
        await write(one);
        const queries = vi.spyOn(Client.prototype, "query");
        expect((await write(two))?.get("idn_altered1")).toMatchObject({ revocations: 0 });
        expect(queries.mock.calls[0]?.[0]).toMatchObject({ name: expect.any(String) });
        queries.mockRestore();
        await database.ask("alter table identities add column later text");
        expect(await write(2)).toBeDefined();
        await database.ask("alter table identities alter column revocations type bigint");
        // It is to be asked again.
        expect(await write(3)).toBeUndefined();
        expect((await write(3))?.get("idn_altered1")).toMatchObject({ revocations: 0 });
        expect(await stored("altered")).toEqual([1, 2, 3, 4]);
      });

      it("find the row by its key, of however few identities it is one, and before anybody has analyzed the table", async () => {
        await addIdentities("planned", 1000);
        const texts = INSERTS_OF_JSON.filter((text) => text.includes("from found"));
        expect(texts).toHaveLength(2);
        const client = new Client({ connectionString: database.url });
        await client.connect();
        for (const text of texts) {
          const values = [JSON.stringify([]), null, "aud_w_1", JSON.stringify([premiseOf("planned7")])];
          const writer = text.includes("noted") ? ["w", 1] : [];
          const { rows } = await client.query<{ "QUERY PLAN": string }>(`explain ${text}`, [...values, ...writer]);
          const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
          expect(plan).toContain("identities_pkey");
          expect(plan).not.toMatch(/Seq Scan on identities|identities_status/);
        }
        await client.end();
      });
    });

    it("keep no plan for longer than some seconds, as identities become many", async () => {
      const chain = new TestWriter("replanned");
      const write = async (at: number) => expect(await store.audit.append([chain.add(at)])).toBeDefined();
      await write(1000);
      const queries = vi.spyOn(Client.prototype, "query");
      const texts = () => queries.mock.calls.map(([query]) => (query as { text?: string }).text ?? String(query));
      for (const at of [2000, 5000]) await write(at);
      expect(texts()).not.toContain("discard plans");
      await write(7000);
      expect(texts().indexOf("discard plans")).toBe(texts().length - 2);
      queries.mockRestore();
    });

    it("are prepared as before when the first one of a connection fails with those behind it", async () => {
      const other = await openStore({
        kind: "postgres",
        url: new Secret(database.url),
        maxConnections: 2,
        queueSize: 10,
      });
      await other.check();
      const release = await database.lock("audit_events");
      const records = chainOf("unprepared");
      const write = (index: number, isAhead = false) =>
        other.audit.append(records.slice(index, index + 1), { after: isAhead ? records[index - 1] : undefined });
      const first = expect(write(one)).rejects.toMatchObject(unavailable.reason);
      await setTimeout(50);
      expect(await write(two, true).catch(() => undefined)).toBeUndefined();
      await first;
      await release();
      const queries = vi.spyOn(Client.prototype, "query");
      expect(await write(one)).toBeDefined();
      expect(queries.mock.lastCall?.[0]).toMatchObject({ name: expect.any(String) });
      queries.mockRestore();
      await other.close();
    });

    it("fail together when the server ends their connection, and the next one is written by another", async () => {
      const records = chainOf("ended");
      await append(records, one);
      const release = await database.lock("audit_events");
      const writes = await appendBoth(records, two);
      await expect.poll(() => database.countWaiting()).toBe(1);
      expect(await database.terminateWaiting()).toBe(1);
      expect(await Promise.allSettled(writes)).toMatchObject([unavailable, unavailable]);
      await release();
      expect(await store.audit.append(chainOf("after the end"))).toBeDefined();
      expect(await stored("ended")).toEqual([1]);
    });

    it("share the connection, however many have come before there was one", async () => {
      const options = { url: database.url, maxConnections: 1, queueSize: 20, purpose: "trail", atOnce: 4 } as const;
      const session = new Kysely<unknown>({ dialect: openPostgres(options) });
      const watch = watchQueries();
      for (const most of [4, 4]) {
        watch.most = 0;
        await Promise.all(Array.from({ length: 12 }, () => sql`select 1`.execute(session)));
        expect(watch.most).toBe(most);
      }
      await session.destroy();
    });

    it("wait for a server that says nothing no longer for those in front of them", async () => {
      const way = await TcpProxy.start(new URL(database.url));
      const options = { url: database.via(way.port), maxConnections: 1, queueSize: 10, purpose: "trail" } as const;
      const session = new Kysely<unknown>({ dialect: openPostgres({ ...options, atOnce: 4 }) });
      way.silence();
      const asked = Array.from({ length: 5 }, () => sql`select 1`.execute(session));
      const refused = Promise.allSettled(asked);
      // One may have a try of its own once that in front of it has failed; all would take 15 seconds.
      expect(await Promise.race([refused, setTimeout(7000)])).toMatchObject(Array(5).fill(unavailable));
      await session.destroy();
      await way.close();
    });

    it("stay in their order when the connection is given up", async () => {
      const options = { url: database.url, maxConnections: 1, queueSize: 1000, purpose: "trail", atOnce: 4 } as const;
      const session = new Kysely<unknown>({ dialect: openPostgres(options) });
      await sql`select 1`.execute(session);
      const cancelled = sql`select pg_cancel_backend(pg_backend_pid())`.execute(session);
      await nextTurn();
      const slow = sql`select pg_sleep(0.2)`.execute(session);
      await expect(cancelled).rejects.toMatchObject(unavailable.reason);
      const said: number[] = [];
      const say = async (number: number) => {
        await sql`select 1`.execute(session);
        said.push(number);
      };
      const saying: Promise<void>[] = [];
      // One in each turn of the event loop, until the first of them has another connection.
      for (; said.length === 0 && saying.length < 500; await setTimeout(1)) saying.push(say(saying.length));
      await Promise.all([slow, ...saying]);
      expect(said).toEqual(saying.map((_, index) => index));
      await session.destroy();
    });

    it("go ahead of nobody who waits for the connection", async () => {
      const options = { url: database.url, maxConnections: 1, queueSize: 10, purpose: "trail", atOnce: 2 } as const;
      const session = new Kysely<never>({ dialect: openPostgres(options) });
      const said: string[] = [];
      const say = async (what: string, seconds: number) => {
        await sql`select pg_sleep(${seconds})`.execute(session);
        said.push(what);
      };
      const saying = [say("one", 0.2)];
      for (const [what, seconds] of [
        ["two", 0.3],
        ["three", 0],
      ] as const) {
        await setTimeout(50);
        saying.push(say(what, seconds));
      }
      await expect.poll(() => said).toEqual(["one"]);
      saying.push(say("four", 0));
      await Promise.all(saying);
      expect(said).toEqual(["one", "two", "three", "four"]);
      await session.destroy();
    });

    it("have no more time for the one in front of them than that has alone", async () => {
      const way = await TcpProxy.start(new URL(database.url));
      const options = { url: database.via(way.port), maxConnections: 1, queueSize: 10, purpose: "trail" } as const;
      const session = new Kysely<never>({ dialect: openPostgres({ ...options, atOnce: 4 }) });
      const ask = () => sql`select 1`.execute(session);
      await ask();
      way.silence();
      const first = ask();
      const behind: Promise<unknown>[] = [];
      let isGivenUp = false;
      first.catch(() => {
        isGivenUp = true;
      });
      for (let sent = 0; sent < 3; sent++) {
        await setTimeout(800);
        behind.push(ask());
      }
      const all = Promise.allSettled([first, ...behind]);
      // More than an answer is waited for, and less than it would be from the last of those that are sent behind it.
      await setTimeout(1000);
      expect(isGivenUp).toBe(true);
      expect(await all).toMatchObject(Array(4).fill(unavailable));
      await session.destroy();
      await way.close();
    });

    it("fail together when the server says nothing any more, and leave no connection behind", async () => {
      const records = chainOf("silent");
      await append(records, one);
      const [{ pid }, ...others] = (await sessions()) as [{ pid: number }];
      expect(others).toEqual([]);
      proxy.silence();
      const writes = await appendBoth(records, two);
      expect(await Promise.allSettled(writes)).toMatchObject([unavailable, unavailable]);
      proxy.mend();
      expect(await store.audit.append(chainOf("after the silence"))).toBeDefined();
      await expect
        .poll(async () => database.ask(`select from pg_stat_activity where pid = ${pid}`), { timeout: 5000 })
        .toEqual([]);
    });
  });
}
