import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CHECK_IDS } from "../../src/commands/doctor/examination.js";
import type { Cli } from "../fixtures/cli.js";
import { DATABASES, Operator } from "../fixtures/operator.js";
import { POSTGRES_URL } from "../fixtures/postgres.js";
import { redisUrl, TEST_REDIS_URL, WHY_SKIPPED } from "../fixtures/redis.js";
import { NO_SMALL_DISK, SmallDisk } from "../fixtures/small-disk.js";
import { OwnRedis } from "../soak/servers.js";

const NO_REDIS = spawnSync("redis-server", ["--version"]).status !== 0;

interface Check {
  readonly id: string;
  readonly about: string | null;
  readonly status: "ok" | "warn" | "fail" | "skip";
  readonly message: string;
  readonly cure: string | null;
  readonly milliseconds: number;
}

interface Document {
  readonly format: number;
  readonly startedAt: string;
  readonly result: string;
  readonly counts: Record<string, number>;
  readonly checks: readonly Check[];
}

let operator: Operator;
beforeAll(async () => {
  operator = await Operator.start("sqlite");
  await operator.withStore(async () => {});
});
afterAll(() => operator.close());
afterEach(async () => {
  operator.issuer.outage = undefined;
  operator.issuer.keyOutage = undefined;
  await operator.clearFaults();
});

async function examine(changes: Record<string, string> = {}, args: readonly string[] = [], by = operator) {
  const { code, stdout, stderr } = await by.run(["doctor", "--json", ...args], changes);
  const document = JSON.parse(stdout) as Document;
  const found = (id: string) => document.checks.filter((check) => check.id === id);
  return { code, stderr, document, found };
}

/** One that was free a moment ago, and none of those that `fetch` does not go to. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A configuration that is as shipped but for one section. */
function configuredWith(name: string, section: string): string {
  const shipped = readFileSync("gateway.yaml", "utf8");
  const file = operator.path(`${name}.yaml`);
  const head = shipped.slice(shipped.indexOf("issuers:"), shipped.indexOf("auth:"));
  const policy = shipped.slice(shipped.indexOf("policy:"), shipped.indexOf("limits:"));
  writeFileSync(file, `${head}\n${policy}\n${section}\n`);
  return file;
}

const failed = (about: string | null, message: RegExp) =>
  expect.objectContaining({ about, status: "fail", message: expect.stringMatching(message), cure: expect.any(String) });
const warned = (message: RegExp) =>
  expect.objectContaining({ status: "warn", message: expect.stringMatching(message), cure: expect.any(String) });
const skipped = expect.objectContaining({ status: "skip", cure: null });

describe.each(DATABASES)("doctor, where all is well, on %s", (kind) => {
  let well: Operator;
  beforeAll(async () => {
    well = await Operator.start(kind);
    await well.withStore(async () => {});
  });
  afterAll(() => well.close());

  it("says so in lines, with exit code 0, and has changed nothing", async () => {
    const { code, stdout, stderr } = await well.run(["doctor"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^ok {4}service.access +acs.connectionString: is accepted \(\d+ ms\)$/m);
    expect(stdout).toMatch(/^ok {4}store.writable +may write to each table \(\d+ ms\)$/m);
    expect(stdout).toMatch(/\n\n\d+ checks: \d+ ok, \d with a warning, 0 failed, \d+ skipped\n$/);
    expect(await well.identitiesAtService()).toEqual([]);
    expect(await well.ask("select * from audit_writers")).toEqual([]);
  });

  it("says so in one document of a shape that stays", async () => {
    const { code, document } = await examine({}, [], well);
    expect(code).toBe(0);
    const ids = document.checks.map(({ id }) => id);
    expect(ids).toEqual([
      ...["configuration", "keys", "server.publicUrl", "issuer.discovery", "issuer.keys", "issuer.clock"],
      ...(kind === "sqlite" ? ["store.space", "store.file"] : []),
      ...["store.connection", "store.encoding", "store.schema", "store.writable", "store.keys", "store.migrations"],
      "store.clock",
      ...["redis.connection", "service.reachable", "service.access", "audit.checkpoints", "documents"],
    ]);
    expect(Object.keys(document)).toEqual(["format", "startedAt", "result", "counts", "checks"]);
    expect(document.format).toBe(1);
    expect(new Date(document.startedAt).toISOString()).toBe(document.startedAt);
    const count = (status: string) => document.checks.filter((check) => check.status === status).length;
    expect(document.counts).toEqual({ ok: count("ok"), warn: count("warn"), fail: 0, skip: count("skip") });
    for (const check of document.checks) {
      expect(Object.keys(check)).toEqual(["id", "about", "status", "message", "cure", "milliseconds"]);
      expect(check.cure === null).toBe(check.status === "ok" || check.status === "skip");
    }
    // Postgres without Redis is worth a word.
    expect(document.result).toBe(kind === "sqlite" ? "ok" : "warn");
  });

  it("with --write makes an identity, uses it and deletes it, each timed", async () => {
    const { code, document, found, stderr } = await examine({}, ["--write"], well);
    expect(code).toBe(0);
    const life = ["service.create", "service.issue", "service.revoke", "service.delete"];
    expect(life.flatMap(found).map(({ status }) => status)).toEqual(["ok", "ok", "ok", "ok"]);
    expect(document.checks.every(({ milliseconds }) => Number.isInteger(milliseconds))).toBe(true);
    const [made] = await well.identitiesAtService();
    expect(made?.deleted).toBe(true);
    expect(stderr).toBe(`made the identity ${made?.id}, which is deleted again in a moment\n`);
  });
});

it("has each of its checks in the documentation, and there is no other", () => {
  const [, rest = ""] = readFileSync("docs/commands.md", "utf8").split("## doctor");
  const [section = ""] = rest.split("\n## ");
  const rows = section.split("\n").filter((line) => /^\| `/.test(line));
  const documented = rows.flatMap((row) => [...(row.split("|")[1]?.matchAll(/`([^`]+)`/g) ?? [])].map(([, id]) => id));
  expect(documented.sort()).toEqual([...CHECK_IDS].sort());
});

describe("doctor and a configuration that is wrong", () => {
  it("ends with exit code 2 and a sentence for each fault, as every command does, and in the document too", async () => {
    const changes = { PORT: "x", LOG_LEVEL: "loud" };
    expect(await operator.run(["doctor"], changes)).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(/^gateway.yaml:\d+: server.port must be [^\n]+\n[^\n]+log.level [^\n]+\n$/),
    });
    const { code, document } = await examine(changes);
    expect(code).toBe(2);
    expect(document).toMatchObject({ result: "fail", counts: { ok: 0, fail: 2 } });
    expect(document.checks).toEqual(
      [/^server.port must be/, /^log.level must be/].map((message) =>
        expect.objectContaining({ id: "configuration", status: "fail", message: expect.stringMatching(message) }),
      ),
    );
  });

  it.each([[["--jsn"]], [["now"]]])("prints the usage for %j", async (args) => {
    expect(await operator.run(["doctor", ...args])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^acs-token-gateway: .+; --help lists commands and options\n$/),
    });
  });
});

describe("doctor and an issuer", () => {
  const about = () => operator.issuer.url;

  it("that cannot be reached, or names another, of which nothing more can be found out", async () => {
    for (const [change, message] of [
      [
        { OIDC_ISSUER: "http://127.0.0.1:9" },
        /:9\/.well-known\/openid-configuration cannot be fetched: .*ECONNREFUSED/,
      ],
      [{ OIDC_ISSUER: `${about()}/` }, new RegExp(`names another issuer: "${about()}"$`)],
    ] as const) {
      const { code, found } = await examine(change);
      expect(code).toBe(1);
      expect(found("issuer.discovery")).toEqual([failed(change.OIDC_ISSUER, message)]);
      expect([...found("issuer.keys"), ...found("issuer.clock")]).toEqual([skipped, skipped]);
    }
  });

  it("that does not answer is waited for no longer than a check may take", { timeout: 30_000 }, async () => {
    operator.issuer.outage = { hangs: true };
    const { code, found } = await examine();
    expect(code).toBe(1);
    expect(found("issuer.discovery")).toEqual([failed(about(), /^no answer within 5 s$/)]);
    expect(found("service.access")).toMatchObject([{ status: "ok" }]);
  });

  it("that publishes no key, or none for the configured algorithms", async () => {
    operator.issuer.keyOutage = { body: '{"keys":[{"kty":"oct","k":"AAAA"}]}' };
    expect((await examine()).found("issuer.keys")).toEqual([failed(about(), /no key that can be used \(not a public/)]);
    operator.issuer.keyOutage = undefined;
    const file = configuredWith("algorithms", "");
    writeFileSync(file, readFileSync(file, "utf8").replace("[RS256, PS256, ES256, EdDSA]", "[RS256]"));
    const { code, found } = await examine({}, ["--config", file]);
    expect(code).toBe(1);
    expect(found("issuer.keys")).toEqual([failed(about(), /^none of its 1 keys is for RS256$/)]);
  });

  it("whose clock is another, for tokens would be refused, or end early", async () => {
    const at = (seconds: number) => ({ headers: { date: new Date(Date.now() + seconds * 1000).toUTCString() } });
    // By the time that it takes to ask, the one grows smaller and the other larger. A date names the second that has begun.
    operator.issuer.outage = at(600);
    const behind = await examine();
    expect(behind.found("issuer.clock")).toEqual([failed(about(), /clock is (59\d|600) s behind the issuer's/)]);
    expect(behind.code).toBe(1);
    operator.issuer.outage = at(-601);
    const before = await examine();
    expect(before.found("issuer.clock")).toEqual([warned(/clock is 60\d s before the issuer's/)]);
    expect(before.code).toBe(0);
    // An answer that was kept on the way says for how long.
    operator.issuer.outage = { headers: { ...at(-600).headers, age: "600" } };
    expect((await examine()).found("issuer.clock")).toMatchObject([{ status: "ok" }]);
  });
});

describe("doctor and the database", () => {
  it("that is not there yet makes none", async () => {
    const file = operator.path("later/gateway.db");
    const { code, found } = await examine({ DATABASE_URL: `sqlite:${file}` });
    expect(code).toBe(0);
    expect(found("store.file")).toMatchObject([{ status: "ok", message: expect.stringContaining("first start") }]);
    expect(existsSync(operator.path("later"))).toBe(false);
  });

  it("that cannot be there, or is no database", async () => {
    expect((await examine({ DATABASE_URL: "sqlite:/dev/null/gateway.db" })).found("store.file")).toEqual([
      failed("/dev/null/gateway.db", /./),
    ]);
    writeFileSync(operator.path("text.db"), "this is no database, however long one makes it ".repeat(100));
    const { code, found } = await examine({ DATABASE_URL: `sqlite:${operator.path("text.db")}` });
    expect(code).toBe(1);
    expect(found("store.connection")).toEqual([failed(null, /file is not a database/)]);
    expect(found("store.writable")).toEqual([skipped]);
  });

  it.each([
    ["older", "delete from kysely_migration where name = (select max(name) from kysely_migration)", "warn"],
    ["too new", "insert into kysely_migration values ('9999-breaking-later', '2026-01-01')", "fail"],
    ["none", "drop table kysely_migration", "ok"],
  ])("whose schema is %s is told, and not written to", async (state, sql, status) => {
    const other = await Operator.start("sqlite");
    await other.withStore(async () => {});
    await other.ask(sql);
    const tables = "select name, sql from sqlite_master order by name";
    const before = await other.ask(tables);
    const { found } = await examine({}, [], other);
    expect(found("store.schema"), state).toMatchObject([{ status }]);
    expect(found("store.writable")).toEqual([skipped]);
    expect(await other.ask(tables)).toEqual(before);
    expect(await other.ask("select * from audit_writers")).toEqual([]);
    await other.close();
  });

  it("whose schema is newer than this version's and can be used is told, and tried", async () => {
    const other = await Operator.start("sqlite");
    await other.withStore(async () => {});
    await other.ask("insert into kysely_migration values ('9999-later', '2026-01-01')");
    const { found } = await examine({}, [], other);
    expect([found("store.schema"), found("store.writable")]).toMatchObject([[{ status: "warn" }], [{ status: "ok" }]]);
    await other.close();
  });

  it("whose file may only be read", async () => {
    const other = await Operator.start("sqlite");
    await other.withStore(async () => {});
    // Root may write whatever the mode says; a database that somebody else is writing to will do.
    const { DatabaseSync } = await import("node:sqlite");
    const busy = new DatabaseSync(other.path("gateway.db"));
    busy.exec("begin immediate");
    const { code, found } = await examine({}, [], other);
    busy.close();
    expect(code).toBe(1);
    expect(found("store.writable")).toEqual([failed(null, /database is locked/)]);
    await other.close();
  });

  describe.skipIf(POSTGRES_URL === undefined)("on a server", () => {
    let other: Operator;
    beforeAll(async () => {
      other = await Operator.start("postgres");
      await other.withStore(async () => {});
    });
    afterAll(() => other.close());

    it("where the user may read and not write, nor change the schema", async () => {
      const role = `${other.database?.name}_reader`;
      await other.ask(`create role ${role} login; grant select on all tables in schema public to ${role}`);
      const url = new URL(other.env.DATABASE_URL ?? "");
      url.username = role;
      const { code, found } = await examine({ DATABASE_URL: url.href }, [], other);
      await other.ask(`drop owned by ${role}; drop role ${role}`);
      expect(code).toBe(1);
      expect(found("store.writable")).toEqual([failed(null, /permission denied for table/)]);
      expect(found("store.migrations")).toEqual([failed(null, /permission denied for schema/)]);
    });

    it("that is in another encoding than UTF-8", async () => {
      const name = `${other.database?.name}_latin`;
      await other.database?.ask(
        `create database ${name} template template0 encoding 'LATIN1' locale_provider libc locale 'C'`,
      );
      const url = new URL(other.env.DATABASE_URL ?? "");
      url.pathname = name;
      const { code, found } = await examine({ DATABASE_URL: url.href }, [], other);
      await other.database?.ask(`drop database ${name}`);
      expect(code).toBe(1);
      expect(found("store.encoding")).toEqual([failed(null, /^LATIN1, which cannot hold/)]);
      expect(found("store.schema")).toMatchObject([{ status: "ok", message: expect.stringContaining("first start") }]);
    });

    it("that does not answer, without its password", async () => {
      const { code, found, document } = await examine({
        DATABASE_URL: "postgres://gateway:not-to-be-printed@127.0.0.1:1/identities",
      });
      expect(code).toBe(1);
      expect(found("store.connection")).toEqual([failed(null, /ECONNREFUSED/)]);
      expect(JSON.stringify(document)).not.toContain("not-to-be-printed");
    });
  });
});

describe(`doctor and Redis${WHY_SKIPPED}`, () => {
  it("that is away, which is no reason not to look at the rest", async () => {
    const { code, found } = await examine({ REDIS_URL: "redis://:a-password-of-redis@127.0.0.1:9" });
    expect(code).toBe(1);
    expect(found("redis.connection")).toEqual([failed(null, /ECONNREFUSED/)]);
    for (const id of ["redis.version", "redis.memory", "redis.writable", "redis.clock"])
      expect(found(id), id).toEqual([skipped]);
    expect(found("service.access")).toMatchObject([{ status: "ok" }]);
  });

  it.skipIf(!TEST_REDIS_URL)(
    "that is there: version, memory, clock, and a key that it leaves no trace of",
    async () => {
      const { code, found } = await examine({ REDIS_URL: redisUrl() });
      expect(code).toBe(0);
      expect(found("redis.version")).toMatchObject([
        { status: "ok", message: expect.stringMatching(/^(Redis|Valkey) \d/) },
      ]);
      expect(found("redis.writable")).toMatchObject([{ status: "ok" }]);
      expect(found("redis.clock")).toMatchObject([{ status: "ok" }]);
      expect(found("redis.memory")).toHaveLength(1);
      const client = new Redis(redisUrl());
      expect(await client.keys("acs-token-gateway:doctor:*")).toEqual([]);
      client.disconnect();
    },
  );

  it.skipIf(NO_REDIS)("that takes no writes, as a replica and one that is full: it is not for the clocks", async () => {
    const redis = await OwnRedis.start(operator.folder);
    const client = new Redis(redis.url);
    await client.replicaof("127.0.0.1", 9);
    const replica = await examine({ REDIS_URL: redis.url });
    expect(replica.code).toBe(1);
    expect(replica.found("redis.writable")).toEqual([failed(null, /READONLY/)]);
    expect(replica.found("redis.clock")).toEqual([skipped]);
    await client.replicaof("NO", "ONE");
    await client.config("SET", "maxmemory-policy", "noeviction");
    await client.config("SET", "maxmemory", "1");
    const full = await examine({ REDIS_URL: redis.url });
    expect(full.found("redis.connection")).toMatchObject([{ status: "ok" }]);
    expect(full.found("redis.memory")).toEqual([warned(/noeviction: once it is full/)]);
    expect(full.found("redis.writable")).toEqual([failed(null, /^OOM/)]);
    expect(full.found("redis.clock")).toMatchObject([{ status: "ok" }]);
    client.disconnect();
    await redis.stop("SIGTERM");
  });

  it.skipIf(!TEST_REDIS_URL)("that does not let it in", async () => {
    const url = new URL(redisUrl());
    [url.username, url.password] = ["nobody-there", "a-wrong-password"];
    const { code, found } = await examine({ REDIS_URL: url.href });
    expect(code).toBe(1);
    expect(found("redis.connection")).toEqual([failed(null, /WRONGPASS/)]);
  });
});

describe("doctor and the service", () => {
  const withKey = (key: string) => `endpoint=${operator.emulator.endpoint};accesskey=${key}`;
  const WRONG = Buffer.from("a-key-that-the-resource-does-not-have").toString("base64");

  it("that cannot be reached", async () => {
    const { code, found } = await examine(
      { ACS_CONNECTION_STRING: `endpoint=http://127.0.0.1:${await closedPort()}/;accesskey=${WRONG}` },
      ["--write"],
    );
    expect(code).toBe(1);
    expect(found("service.reachable")).toEqual([failed(null, /ECONNREFUSED/)]);
    expect([...found("service.access"), ...found("service.create"), ...found("service.delete")]).toEqual([
      skipped,
      skipped,
      skipped,
    ]);
  });

  it("that refuses one of two keys, each of which is looked at by itself", async () => {
    const { code, found } = await examine({ ACS_SECONDARY_CONNECTION_STRING: withKey(WRONG) });
    expect(code).toBe(1);
    expect(found("service.access")).toEqual([
      expect.objectContaining({ about: "acs.connectionString", status: "ok" }),
      failed("acs.secondaryConnectionString", /Denied 401/),
    ]);
  });

  it("that refuses the only key, and is asked for nothing more", async () => {
    const { code, found } = await examine({ ACS_CONNECTION_STRING: withKey(WRONG) }, ["--write"]);
    expect(code).toBe(1);
    expect(found("service.access")).toEqual([failed("acs.connectionString", /Denied 401/)]);
    expect(found("service.create")).toEqual([skipped]);
  });

  it("whose role is not enough, or that has too much to do", async () => {
    await operator.fault({ operation: "issueAccessToken", kind: "status", status: 403 });
    expect((await examine()).found("service.access")).toEqual([failed("acs.connectionString", /Forbidden 403/)]);
    await operator.fault({ operation: "issueAccessToken", kind: "status", status: 429, retryAfterSeconds: 7 });
    const busy = await examine();
    expect(busy.found("service.access")).toEqual([warned(/fewer calls/)]);
    expect(busy.code).toBe(0);
  });

  it("that is out of order, or does not answer the call: that is no fault of the key", {
    timeout: 60_000,
  }, async () => {
    for (const [fault, message] of [
      [{ kind: "status", status: 503 }, /out of order/],
      [{ kind: "hang" }, /did not answer in time/],
    ] as const) {
      await operator.fault({ operation: "issueAccessToken", ...fault });
      const { code, found } = await examine();
      expect(code).toBe(1);
      expect(found("service.reachable")).toMatchObject([{ status: "ok" }]);
      expect(found("service.access")).toEqual([failed("acs.connectionString", message)]);
      expect(found("service.access")[0]?.cure).toMatch(/^see whether the service has an outage/);
    }
    await operator.fault({ operation: "issueAccessToken", kind: "status", status: 401, code: "Denied" });
    expect((await examine()).found("service.access")[0]?.cure).toMatch(/^copy the connection string again/);
  });

  it("is none when a server answers that has no such path", async () => {
    const server = createServer((_, response) => response.writeHead(404).end());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const { connectionString, endpoint } = operator.emulator;
    const { code, found } = await examine({
      ACS_CONNECTION_STRING: connectionString.replace(new URL(endpoint).host, `127.0.0.1:${port}`),
    });
    server.close();
    expect(code).toBe(1);
    expect(found("service.access")).toEqual([failed("acs.connectionString", /404/)]);
  });

  it("that fails in the middle has the identity deleted all the same", async () => {
    for (const operation of ["issueAccessToken", "revokeAccessTokens"]) {
      const access = operation === "issueAccessToken" ? [{ operation, kind: "delay", delayMs: 1 }] : [];
      for (const fault of [...access, { operation, kind: "status", status: 500 }]) await operator.fault(fault);
      const { code, found } = await examine({}, ["--write"]);
      expect(code).toBe(1);
      const steps = ["service.create", "service.issue", "service.revoke", "service.delete"].flatMap(found);
      const failing = operation === "issueAccessToken" ? 1 : 2;
      expect(steps.map(({ status }) => status)).toEqual(steps.map((_, index) => (index === failing ? "fail" : "ok")));
    }
    expect((await operator.identitiesAtService()).filter(({ deleted }) => !deleted)).toEqual([]);
  });

  it("that will not delete the identity at first is asked again, and in the end it is named", async () => {
    await operator.fault({ operation: "deleteIdentity", kind: "status", status: 503, times: 3 });
    expect((await examine({}, ["--write"])).found("service.delete")).toMatchObject([{ status: "ok" }]);
    await operator.fault({ operation: "deleteIdentity", kind: "status", status: 503, times: 4 });
    const { code, found } = await examine({}, ["--write"]);
    const left = (await operator.identitiesAtService()).filter(({ deleted }) => !deleted);
    expect({ code, left: left.length }).toEqual({ code: 1, left: 1 });
    const [{ message, cure }] = found("service.delete") as [Check];
    expect(message).toContain(`${left[0]?.id} is left over`);
    expect(cure).toContain(`--user ${left[0]?.id}`);
  });

  it("when somebody ends it in the middle, deletes the identity before it does", async () => {
    await operator.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 1 });
    await operator.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 1500 });
    const before = (await operator.identitiesAtService()).length;
    const cli: Cli = operator.start(["doctor", "--write"]);
    await expect.poll(() => cli.stderr).toMatch(/^made the identity/);
    cli.kill("SIGINT");
    expect(await cli.ended()).toBe(1);
    expect(cli.stdout).toMatch(/^skip {2}service.revoke +stopped$/m);
    const made = (await operator.identitiesAtService()).slice(before);
    expect(made.map(({ deleted }) => deleted)).toEqual([true]);
  });

  it("when somebody ends it before an identity is made, makes none, and is no success", async () => {
    await operator.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 1500 });
    const before = await operator.calls();
    const cli: Cli = operator.start(["doctor", "--write"]);
    await expect.poll(() => operator.calls(), { timeout: 10_000 }).not.toEqual(before);
    cli.kill("SIGINT");
    expect(await cli.ended()).toBe(1);
    expect(cli.stdout).toMatch(/^skip {2}service.create +stopped$/m);
  });
});

describe("doctor and where the audit trail goes besides", () => {
  it("says of each sink and of the checkpoints whether they can be written to, and writes nothing", async () => {
    execFileSync("mkfifo", [operator.path("required.pipe"), operator.path("other.pipe")]);
    writeFileSync(operator.path("there.jsonl"), "");
    mkdirSync(operator.path("folder"));
    const to = (name: string, required: boolean) => `{ to: ${operator.path(name)}, required: ${required} }`;
    const sinks = [to("there.jsonl", true), to("new.jsonl", true), to("no/folder.jsonl", false), to("folder", true)];
    const pipes = [to("required.pipe", true), to("other.pipe", false)];
    const file = configuredWith(
      "sinks",
      `audit: { checkpoints: ${operator.path("no/checkpoints.jsonl")}, sinks: [${[...sinks, ...pipes].join(", ")}] }`,
    );
    const { code, found } = await examine({}, ["--config", file]);
    expect(code).toBe(1);
    expect(found("audit.sink").map(({ about, status }) => [about?.slice(operator.folder.length + 1), status])).toEqual([
      ["there.jsonl", "ok"],
      ["new.jsonl", "ok"],
      ["no/folder.jsonl", "fail"],
      ["folder", "fail"],
      ["required.pipe", "fail"],
      ["other.pipe", "warn"],
    ]);
    expect(found("audit.checkpoints")).toEqual([failed(null, /ENOENT/)]);
    expect(readFileSync(operator.path("there.jsonl"), "utf8")).toBe("");
    expect(readdirSync(operator.folder)).not.toContain("new.jsonl");
  });

  it.skipIf(NO_SMALL_DISK)(`that has no room, though it can be opened, takes no record${NO_SMALL_DISK}`, async () => {
    const disk = SmallDisk.mount(1);
    try {
      const [sink, checkpoints] = ["there.jsonl", "checkpoints.jsonl"].map((name) => join(disk.folder("audit"), name));
      writeFileSync(sink ?? "", "");
      disk.fill();
      const file = configuredWith(
        "full",
        `audit: { checkpoints: ${checkpoints}, sinks: [{ to: ${sink}, required: true }] }`,
      );
      const { code, found } = await examine({}, ["--config", file]);
      expect(code).toBe(1);
      expect(found("audit.sink")).toEqual([failed(sink ?? "", /^can be written to, and 0 MB are free for it$/)]);
      expect(found("audit.checkpoints")).toEqual([failed(null, /^is not there yet, and can be made, and 0 MB are/)]);
    } finally {
      disk.close();
    }
  });

  it("sends an address for checkpoints a line with --write alone, and does not name it", async () => {
    const bodies: string[] = [];
    let status = 204;
    const server = createServer((request, response) => {
      request.on("data", (chunk) => bodies.push(String(chunk)));
      request.on("end", () => response.writeHead(status).end());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks/a-secret-path`;
    const changes = { AUDIT_CHECKPOINTS: address };
    expect((await examine(changes)).found("audit.checkpoints")).toEqual([skipped]);
    expect(bodies).toEqual([]);
    const sent = await examine(changes, ["--write"]);
    expect(sent.found("audit.checkpoints")).toMatchObject([{ status: "ok" }]);
    expect(bodies).toEqual(['{"test":"acs-token-gateway doctor"}']);
    status = 500;
    const refused = await examine(changes, ["--write"]);
    expect(refused.found("audit.checkpoints")).toEqual([failed(null, /answered 500/)]);
    for (const { document } of [sent, refused]) expect(JSON.stringify(document)).not.toContain("a-secret-path");
    server.close();
  });
});

describe("doctor and trusted documents", () => {
  it("looks into each manifest, and at all of them together", async () => {
    const write = (name: string, content: unknown) => {
      writeFileSync(operator.path(name), JSON.stringify(content));
      return operator.path(name);
    };
    const sound = write("sound.json", { one: "{ viewer { allowedScopes } }" });
    const files = [
      sound,
      write("other.json", { two: "{ __typename }" }),
      write("unknown-field.json", { three: "{ nothing }" }),
      write("list.json", []),
      operator.path("missing.json"),
    ];
    const configure = (manifests: readonly string[]) =>
      configuredWith("documents", `graphql: { trustedDocuments: { mode: log, manifests: [${manifests.join(", ")}] } }`);
    const { code, found } = await examine({}, ["--config", configure(files)]);
    expect(code).toBe(1);
    expect(found("documents")).toEqual([
      expect.objectContaining({ about: files[0], status: "ok", message: "1 documents, mode log" }),
      expect.objectContaining({ about: files[1], status: "ok" }),
      failed(files[2] ?? "", /would be refused/),
      failed(files[3] ?? "", /is not an object/),
      failed(files[4] ?? "", /cannot be read \(ENOENT\)/),
    ]);
    const twin = write("twin.json", { one: "{ viewer { maxTokenLifetimeMinutes } }" });
    const together = await examine({}, ["--config", configure([sound, twin])]);
    expect(together.found("documents").at(-1)).toEqual(failed("all together", /two different documents/));
  });
});

describe("doctor and the public address", () => {
  it("is content with an address at which the gateway answers, and warns of others", async () => {
    const gateway = operator.start(["serve"]);
    const [, url = ""] = await gateway.printed(/"url":"([^"]+)"/);
    const judge = async (changes: Record<string, string>) => (await examine(changes)).found("server.publicUrl");
    expect(await judge({ PUBLIC_URL: url })).toMatchObject([{ status: "ok" }]);
    expect(await judge({ PUBLIC_URL: `${url}/graphql` })).toEqual([warned(/ends in \/graphql/)]);
    expect(await judge({ PUBLIC_URL: url, HOST: "0.0.0.0" })).toEqual([warned(/is this machine/)]);
    expect(await judge({ HOST: "0.0.0.0" })).toEqual([warned(/^none, though clients come from elsewhere/)]);
    gateway.kill("SIGTERM");
    await gateway.ended();
    expect(await judge({ PUBLIC_URL: url })).toEqual([warned(/^no gateway answers/)]);
  });
});
