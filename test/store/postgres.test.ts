import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import { CompiledQuery, Kysely } from "kysely";
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Secret } from "../../src/config/secret.js";
import { GatewayError, StartError } from "../../src/errors.js";
import { openMappingArchive } from "../../src/store/audit-archive.js";
import { openPostgres } from "../../src/store/dialect-postgres.js";
import { inspectStore } from "../../src/store/inspection.js";
import { openStore, type Store } from "../../src/store/store.js";
import { TestWriter } from "../fixtures/audit.js";
import { POSTGRES_URL, TestDatabase } from "../fixtures/postgres.js";
import { TcpProxy } from "../fixtures/tcp-proxy.js";

const PASSWORD = "not-to-be-printed";
const MAX_CONNECTIONS = 3;
/** The longest that one call may take: to connect, and to hear nothing. */
const LONGEST_CALL_MS = 8500;

const open = (url: string, queueSize = 500) =>
  openStore({ kind: "postgres", url: new Secret(url), maxConnections: MAX_CONNECTIONS, queueSize });

/** The message of a start that must be refused. */
async function refusal(url: string): Promise<string> {
  const error: unknown = await open(url).then(
    async (store) => await store.close(),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof StartError)) throw new Error("not refused with a StartError", { cause: error });
  expect(error.message).not.toContain(PASSWORD);
  expect(error.message).not.toContain("\n");
  return error.message;
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

describe("opening Postgres", () => {
  it("is refused in one line that names cause and cure when nothing listens", async () => {
    const port = await closedPort();
    expect(await refusal(`postgres://gateway:${PASSWORD}@127.0.0.1:${port}/identities`)).toBe(
      `The database identities at 127.0.0.1:${port} cannot be reached (connect ECONNREFUSED 127.0.0.1:${port}): check that Postgres runs there and lets this user in, or name another with DATABASE_URL.`,
    );
    expect(await refusal(`postgres://gateway:${PASSWORD}@localhost:${port}/identities`)).toContain("ECONNREFUSED");
  });

  it.runIf(POSTGRES_URL)("is never answered with a back-up where a connection breaks, whenever it does", async () => {
    const database = await TestDatabase.create(POSTGRES_URL ?? "");
    const proxy = await TcpProxy.start(new URL(database.url));
    const outcomes: string[] = [];
    for (let packets = 0; !outcomes.includes("opened"); packets += 5) {
      proxy.cutBehind(packets);
      const opened = open(database.via(proxy.port)).then(async (store) => {
        await store.close();
        return "opened";
      });
      outcomes.push(
        await opened.catch((error: unknown) =>
          error instanceof StartError ? error.message : `no StartError: ${error}`,
        ),
      );
    }
    expect(outcomes.length).toBeGreaterThan(5);
    const told =
      /^The (schema of the )?database .+ cannot be (reached|brought up to date) \(.+\): (check that Postgres runs|see to it that the database answers, and start the gateway again)/;
    expect(outcomes.slice(0, -1).filter((outcome) => !told.test(outcome))).toEqual([]);
    await proxy.close();
    await database.drop();
  });

  it.runIf(POSTGRES_URL)(
    "is told to be of a replica, and not to need a right, where nothing can be written",
    async () => {
      const database = await TestDatabase.create(POSTGRES_URL ?? "");
      await (await open(database.url)).close();
      const url = new Secret(database.url);
      const look = async () => await inspectStore({ kind: "postgres", url, maxConnections: 1, queueSize: 1 });
      const before = await look();
      await Promise.all([before.tryToWrite(), before.tryToMakeTable()]);
      await before.close();
      await database.ask(`alter database ${database.name} set default_transaction_read_only = on`);
      const replica = await look();
      for (const trial of [replica.tryToWrite(), replica.tryToMakeTable()])
        await expect(trial).rejects.toThrow(
          /^The database is read-only, as a replica is, .+: name the primary in DATABASE_URL/,
        );
      await replica.close();
      await database.drop();
    },
  );

  it("is refused within seconds when whatever listens never answers", async () => {
    const server = createServer(() => {}).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const started = performance.now();
    expect(await refusal(`postgres://gateway:${PASSWORD}@127.0.0.1:${port}/identities`)).toContain("cannot be reached");
    expect(performance.now() - started).toBeLessThan(LONGEST_CALL_MS);
    server.close();
  });
});

if (POSTGRES_URL === undefined) {
  describe("a Postgres server", () => {
    it.skip("left out: TEST_POSTGRES_URL is not set");
  });
} else {
  onServer(POSTGRES_URL);
}

function onServer(server: string): void {
  describe("the schema on a Postgres server", () => {
    it("is made once by instances that start at the same time", async () => {
      const database = await TestDatabase.create(server);
      const stores = await Promise.all(Array.from({ length: 5 }, () => open(database.url)));
      expect(await database.ask("select name from kysely_migration order by name")).toContainEqual({
        name: "0001-identities",
      });
      const claims = stores.map(({ identities }, index) =>
        identities.claim({ issuer: "https://i.example.com", subject: "sam" }, `idn_${index}`, 1),
      );
      expect(new Set((await Promise.all(claims)).map(({ id }) => id)).size).toBe(1);
      await Promise.all(stores.map((store) => store.close()));
      await database.drop();
    });

    it("compares every text byte by byte, whatever the database's locale", async () => {
      const database = await TestDatabase.create(server);
      await (await open(database.url)).close();
      const columns = await database.ask(
        "select table_name, column_name, collation_name from information_schema.columns where table_schema = 'public' and data_type in ('text', 'character varying') and table_name not like 'kysely%' and collation_name is distinct from 'C'",
      );
      expect(columns).toEqual([]);
      await database.drop();
    });

    it("that cannot be made is refused in one line", async () => {
      const database = await TestDatabase.create(server);
      await database.ask("create table identities (id text)");
      expect(await refusal(database.url)).toMatch(
        /^The schema of the database gateway_test_\w+ at \S+ cannot be brought up to date \(relation "identities" already exists\): /,
      );
      await database.drop();
    });

    it("that the user has no right to make, or that is another's, is refused with the grant for the cure", async () => {
      const database = await TestDatabase.create(server);
      const url = new URL(database.url);
      url.username = database.name;
      url.password = PASSWORD;
      const role = database.name;
      await database.ask(`create role ${role} login password '${PASSWORD}'`);
      const cure =
        "let this user create tables in the database's first schema, and make those of the gateway that are there this user's own.";
      expect(await refusal(url.href)).toMatch(/\(permission denied for schema public\): /);
      expect(await refusal(url.href)).toContain(cure);
      await (await open(database.url)).close();
      expect(await refusal(url.href)).toContain(`(permission denied for table kysely_migration): ${cure}`);
      const config = { kind: "postgres", url: new Secret(url.href), maxConnections: 1, queueSize: 1 } as const;
      await expect(openMappingArchive(config)).rejects.toThrow(
        "(permission denied for table kysely_migration): let this user read the gateway's tables, or name their owner in DATABASE_URL.",
      );
      await database.ask(`drop role ${role}`);
      await database.drop();
    });

    it("is refused on a database that does not exist, by its name", async () => {
      const url = new URL(server);
      url.pathname = "there_is_none";
      url.password = PASSWORD;
      expect(await refusal(url.href)).toContain('database "there_is_none" does not exist');
    });
  });

  describe("a Postgres server in trouble", () => {
    let database: TestDatabase;
    let proxy: TcpProxy;
    let store: Store;

    beforeAll(async () => {
      database = await TestDatabase.create(server);
      proxy = await TcpProxy.start(new URL(database.url));
      store = await open(database.via(proxy.port));
    });
    afterAll(async () => {
      await store.close();
      await proxy.close();
      await database.drop();
    });

    const read = () => store.identities.findByIds(["idn_any"]);
    /** As many calls at once as there are connections, so that each is in use. */
    const readOnAll = () => Promise.all(Array.from({ length: MAX_CONNECTIONS }, read));

    it("heals by itself when the server ended every connection", async () => {
      await readOnAll();
      expect(await database.terminateConnections()).toBeGreaterThan(0);
      await setTimeout(50);
      expect(await readOnAll()).toEqual(Array(MAX_CONNECTIONS).fill([]));
    });

    it("answers STORE_UNAVAILABLE to what is under way when the server ends its connection", async () => {
      const lock = await holdTable(database);
      const waiting = expectUnavailable(read());
      await lock.untilSomebodyWaits();
      expect(await database.terminateWaiting()).toBe(1);
      await waiting;
      await lock.release();
      expect(await read()).toEqual([]);
    });

    it("answers STORE_UNAVAILABLE while it cannot be reached, and the next call after that works", async () => {
      await readOnAll();
      proxy.cut();
      await expectUnavailable(read());
      await expectUnavailable(store.check());
      await Promise.all(Array.from({ length: 50 }, () => expectUnavailable(read())));
      proxy.mend();
      expect(await read()).toEqual([]);
      await store.check();
    });

    it("answers STORE_UNAVAILABLE in seconds when the network goes silent, and then works on new connections only", async () => {
      await readOnAll();
      await store.check();
      proxy.silence();
      await Promise.all([expectUnavailable(read()), expectUnavailable(read())]);
      proxy.mend();
      // One connection was idle all the time and is silent without anybody having noticed, and so is that of the trail.
      await store.check();
      expect(await readOnAll()).toEqual(Array(MAX_CONNECTIONS).fill([]));
    });

    it("answers STORE_UNAVAILABLE in seconds when all connections are busy", async () => {
      const lock = await holdTable(database);
      await Promise.all(Array.from({ length: MAX_CONNECTIONS * 4 }, () => expectUnavailable(read())));
      await lock.release();
      expect(await read()).toEqual([]);
    });

    it("answers STORE_UNAVAILABLE for writes while it is read-only, as a stand-by is", async () => {
      await database.ask(`alter database ${database.name} set default_transaction_read_only = on`);
      await database.terminateConnections();
      await setTimeout(50);
      const who = { issuer: "https://i.example.com", subject: "sam" };
      await expectUnavailable(store.identities.claim(who, "idn_read_only", 1));
      expect(await read()).toEqual([]);
      await database.ask(
        `begin; set transaction read write; alter database ${database.name} reset default_transaction_read_only; commit`,
      );
      await database.terminateConnections();
      await setTimeout(50);
      expect(await store.identities.claim(who, "idn_read_only", 1)).toMatchObject({ id: "idn_read_only" });
    });

    it("stays a mistake of ours when a statement is wrong", async () => {
      await database.ask("alter table identities rename to elsewhere");
      const error: unknown = await read().catch((thrown: unknown) => thrown);
      await database.ask("alter table elsewhere rename to identities");
      expect(error).not.toBeInstanceOf(GatewayError);
      expect(error).toMatchObject({ code: "42P01" });
      expect(await read()).toEqual([]);
    });
  });

  describe("a statement whose plan a Postgres server keeps", () => {
    const TEXT = "select $1::text as said";
    let database: TestDatabase;
    let session: Kysely<never>;

    const open = (prepared = TEXT) =>
      new Kysely<never>({
        dialect: openPostgres({
          url: database.url,
          maxConnections: 1,
          queueSize: 1,
          purpose: "requests",
          prepared: [prepared],
        }),
      });
    const ask = async (text: string, values: readonly string[] = [], on = session) =>
      (await on.executeQuery(CompiledQuery.raw(text, [...values]))).rows;
    const plans = () => ask("select statement from pg_prepared_statements");

    beforeAll(async () => {
      database = await TestDatabase.create(server);
    });
    beforeEach(() => {
      session = open();
    });
    afterEach(() => session.destroy());
    afterAll(() => database.drop());

    it("is prepared once, and no other is", async () => {
      for (const said of ["one", "two"]) expect(await ask(TEXT, [said])).toEqual([{ said }]);
      await ask("select $1::text as other", ["one"]);
      expect(await plans()).toEqual([{ statement: TEXT }]);
    });

    it("is planned each time from when a pooler's session has lost what was prepared", async () => {
      expect(await ask(TEXT, ["one"])).toEqual([{ said: "one" }]);
      await ask("deallocate all");
      expect(await ask(TEXT, ["two"])).toEqual([{ said: "two" }]);
      const queries = vi.spyOn(Client.prototype, "query");
      expect(await ask(TEXT, ["three"])).toEqual([{ said: "three" }]);
      expect(queries).toHaveBeenCalledOnce();
      queries.mockRestore();
      expect(await plans()).toEqual([]);
    });

    it("is planned each time from when a pooler's session has what another has prepared", async () => {
      await ask(TEXT, ["one"]);
      const [{ name }] = (await ask("select name from pg_prepared_statements")) as [{ name: string }];
      expect(name).toMatch(/^acs_token_gateway_[0-9a-f]{30}$/);
      const other = open();
      await ask(`prepare ${name} as select 'of another'`, [], other);
      for (const said of ["two", "three"]) expect(await ask(TEXT, [said], other)).toEqual([{ said }]);
      await other.destroy();
    });

    it("has its own errors, after which it is still prepared", async () => {
      const insert = "insert into narrow values ($1)";
      await ask("create table narrow (text text check (length(text) < 5))");
      const other = open(insert);
      await ask(insert, ["one"], other);
      await expect(ask(insert, ["too long"], other)).rejects.toMatchObject({ code: "23514" });
      await ask(insert, ["two"], other);
      expect(await ask("select text from narrow", [], other)).toEqual([{ text: "one" }, { text: "two" }]);
      expect(await ask("select statement from pg_prepared_statements", [], other)).toEqual([{ statement: insert }]);
      await other.destroy();
    });
  });

  describe("the trail on a Postgres server", () => {
    let database: TestDatabase;
    let store: Store;

    beforeAll(async () => {
      database = await TestDatabase.create(server);
      store = await open(database.url);
    });
    afterAll(async () => {
      await store.close();
      await database.drop();
    });

    const read = () => store.identities.findByIds(["idn_any"]);

    async function recordSomething(writer: string, { audit } = store): Promise<void> {
      const one = new TestWriter(writer);
      one.add(1);
      await one.appendTo(audit);
    }

    it("notes a writer and adds its records by one statement, which is prepared", async () => {
      // Has its connection made.
      await store.check();
      const queries = vi.spyOn(Client.prototype, "query");
      await recordSomething("noted");
      const asked = queries.mock.calls.map(([query]) => query as unknown);
      queries.mockRestore();
      expect(asked).toEqual([expect.objectContaining({ name: expect.any(String) })]);
      expect(await database.ask("select writer, written_at::int from audit_writers")).toEqual([
        { writer: "noted", written_at: 1 },
      ]);
    });

    it("notes no writer whose records cannot be added", async () => {
      await recordSomething("double");
      const other = await open(database.url);
      const writer = new TestWriter("double");
      writer.add(10_000);
      await expect(writer.appendTo(other.audit)).rejects.toMatchObject({ code: "23505" });
      await other.close();
      expect(await database.ask("select written_at::int from audit_writers where writer = 'double'")).toEqual([
        { written_at: 1 },
      ]);
      await database.ask("delete from audit_events");
    });

    it("leaves it to the record that follows to sync what a minted token leaves in its row, and that alone", async () => {
      const who = { issuer: "https://i.example.com", subject: "minted" };
      const { id } = await store.identities.claim(who, "idn_minted", 1);
      const binding = { communicationUserId: "8:acs:1", resource: "r", revocations: 0, tokenIssuedAt: null };
      await store.identities.bind(id, binding, 1);
      await noteCommits(database, "update on identities");
      expect(await store.identities.recordIssue(id, 0, 2)).toMatchObject({ lastTokenIssuedAt: 2 });
      expect(await store.identities.revoke(id, ["ACTIVE"], 3)).toMatchObject({ tokensValidAfter: 3 });
      expect(await database.ask("select how from synced")).toEqual([{ how: "off" }, { how: "on" }]);
      await database.ask("drop trigger noted on identities");
    });

    it.each([
      ["off", "on"],
      ["local", "local"],
      ["remote_apply", "remote_apply"],
    ])("waits for the disk with each commit, and for no less than the database says: %s", async (said, kept) => {
      const other = await TestDatabase.create(server);
      await other.ask(`alter database ${other.name} set synchronous_commit = ${said}`);
      const opened = await open(other.url);
      await noteCommits(other, "insert on audit_events");
      await noteCommits(other, "insert on identities");
      await recordSomething("first", opened);
      await opened.identities.claim({ issuer: "https://i.example.com", subject: "sam" }, "idn_sam", 1);
      await other.terminateConnections();
      await setTimeout(50);
      await recordSomething("by a new connection", opened);
      expect(await other.ask("select how from synced")).toEqual(Array(3).fill({ how: kept }));
      await opened.close();
      await other.drop();
    });

    it("is not written over a connection that cannot be told to wait for the disk", async () => {
      const opened = await open(database.url);
      const fails = (...args: unknown[]) => (args.at(-1) as (error: Error) => void)(new Error("no"));
      const queries = vi.spyOn(Client.prototype, "query").mockImplementationOnce(fails);
      await expectUnavailable(recordSomething("untold", opened));
      expect(queries).toHaveBeenCalledOnce();
      queries.mockRestore();
      await recordSomething("told", opened);
      await opened.close();
      expect(await database.ask("delete from audit_events returning writer")).toEqual([{ writer: "told" }]);
    });

    it("writes the trail while reads hold all other connections and more of them wait", async () => {
      const lock = await holdTable(database);
      const reads = Array.from({ length: MAX_CONNECTIONS * 4 }, () => expectUnavailable(read()));
      await lock.untilSomebodyWaits();
      await recordSomething("while-reads-wait");
      await Promise.all(reads);
      await lock.release();
      expect(await database.ask("select id from audit_events")).toEqual([{ id: "aud_while-reads-wait_000000000001" }]);
    });

    it("writes the trail while more read it by user than may wait for a connection", async () => {
      const small = await open(database.url, 2);
      const count = () => small.auditReader.count({ identityId: "idn_any" }, 10).catch(() => "refused");
      const reads = Array.from({ length: 100 }, count);
      const writer = new TestWriter("while-others-read-it");
      writer.add(1);
      await writer.appendTo(small.audit);
      expect(await Promise.all(reads)).toContain("refused");
      await small.close();
    });

    it("lets as many wait for a connection as are to, and refuses the next one at once", async () => {
      const queueSize = 2;
      const small = await open(database.url, queueSize);
      const lock = await holdTable(database);
      const ended: string[] = [];
      const ask = () => small.identities.findByIds(["idn_any"]);
      const patient = Array.from({ length: MAX_CONNECTIONS + queueSize }, async () => {
        expect(await ask()).toEqual([]);
        ended.push("patient");
      });
      await lock.untilSomebodyWaits();
      await expectUnavailable(ask()).then(() => ended.push("refused"));
      await lock.release();
      await Promise.all(patient);
      expect(ended[0]).toBe("refused");
      await small.close();
    });

    it("gives up a record that cannot be written before it gives up a read, so that the next record can be", async () => {
      const lock = await holdTable(database, "audit_events");
      const ended: string[] = [];
      const reading = expectUnavailable(store.auditReader.findByIds(["aud_any"])).then(() => ended.push("read"));
      await lock.untilSomebodyWaits();
      await expectUnavailable(recordSomething("locked-out")).then(() => ended.push("record"));
      await reading;
      await lock.release();
      expect(ended).toEqual(["record", "read"]);
      await recordSomething("after-the-lock");
    });

    it("is not ready while the trail's connection does not answer", async () => {
      const lock = await holdTable(database, "audit_events");
      const ended: string[] = [];
      const writing = expectUnavailable(recordSomething("not-ready")).then(() => ended.push("record"));
      await lock.untilSomebodyWaits();
      const checking = store.check().then(() => ended.push("check"));
      await setTimeout(500);
      expect(ended).toEqual([]);
      await Promise.all([writing, checking]);
      await lock.release();
    });
  });
}

async function expectUnavailable(call: Promise<unknown>): Promise<void> {
  const started = performance.now();
  const error: unknown = await call.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(GatewayError);
  expect(error).toMatchObject({ code: "STORE_UNAVAILABLE", retryAfterSeconds: expect.any(Number) });
  expect(performance.now() - started).toBeLessThan(LONGEST_CALL_MS);
}

/** What a commit with such a change waits for is then in the table `synced`. */
async function noteCommits(database: TestDatabase, change: string): Promise<void> {
  await database.ask(
    `create table if not exists synced (how text);
    create or replace function note() returns trigger language plpgsql as $$
      begin insert into synced values (current_setting('synchronous_commit')); return new; end $$;
    create constraint trigger noted after ${change} deferrable initially deferred for each row execute function note()`,
  );
}

/** Locks a table against everybody else, as a schema change does, until released or ended. */
async function holdTable(database: TestDatabase, table = "identities") {
  const session = await database.session();
  await session.ask(`begin; lock table ${table} in access exclusive mode`);
  return {
    untilSomebodyWaits: async () => {
      for (let tries = 0; tries < 200; tries++) {
        if ((await database.countWaiting()) > 0) return;
        await setTimeout(10);
      }
      throw new Error("nobody waits for the table");
    },
    release: async () => await session.close(),
  };
}
