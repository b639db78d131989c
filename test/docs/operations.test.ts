import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterEach, describe, expect, it } from "vitest";
import { POSTGRES_URL } from "../fixtures/postgres.js";
import { Plant } from "./plant.js";
import { stepsLeft, stepsOf } from "./steps.js";

/** The operator's pages, step by step, as they stand there; what happens between the steps is the test's. */
const missing = ["curl", "jq", "psql", "pg_dump", "pg_restore", "redis-server", "redis-cli", "sqlite3"].filter(
  (program) => spawnSync(program, ["--version"]).status !== 0,
);
const WHY = [...(POSTGRES_URL ? [] : ["TEST_POSTGRES_URL"]), ...missing];
const leftOut = WHY.length === 0 ? "" : ` (left out: there is no ${WHY.join(", ")})`;

describe.skipIf(leftOut)(`the operator's pages${leftOut}`, { timeout: 300_000 }, () => {
  let plant: Plant;
  afterEach(() => plant.close());

  const file = (name: string) => join(plant.folder, name);
  const newKey = () => randomBytes(32).toString("base64");

  it("lead through a first look and an update", async () => {
    plant = await Plant.start("postgres");
    const [look] = stepsOf("operations: Something is wrong");
    expect(await plant.run(look)).toMatch(/\b0 failed[\s\S]*"status":"ready"/);
    const [update] = stepsOf("operations: Update");
    expect(await plant.run(update)).toMatch(/^ok store\.schema is this version's$[\s\S]*, whole$/m);
  });

  it("lead through a back-up and a restore on Postgres", async () => {
    plant = await Plant.start("postgres");
    const [alice, bob, carol, dave] = await Promise.all(
      ["alice", "bob", "carol", "dave"].map(async (subject) => ({ subject, ...(await plant.issue(subject)) })),
    );
    const [backUp] = stepsOf("operations: On Postgres");
    expect(await plant.run(backUp)).toContain("TABLE DATA public identities");
    const [tryIt] = stepsOf("operations: Try it");
    expect(await plant.run(tryIt)).toMatch(/, whole$/m);

    // What the back-up does not know.
    await plant.manage(`revokeAccessTokens(input: { identityId: "${alice?.id}" })`);
    await plant.manage(`suspendIdentity(input: { identityId: "${bob?.id}" })`);
    await plant.manage(`deleteIdentity(input: { identityId: "${carol?.id}" })`);
    await plant.manage(`suspendIdentity(input: { identityId: "${dave?.id}" })`);
    await plant.manage(`reinstateIdentity(input: { identityId: "${dave?.id}" })`);
    const zoe = await plant.issue("zoe");
    await plant.stopGateway();

    const [save, restore, forget, judge, find, again, bring, check] = stepsOf("operations: Restore");
    await plant.run(save);
    // Who does not make a new database loses nothing of the old one.
    await expect(plant.run(restore)).rejects.toThrow("already exists");
    expect(await plant.database?.ask("select 1 from identities where subject = 'zoe'")).toHaveLength(1);
    await plant.moveToNewDatabase();
    await plant.run(restore);
    expect(Number(await plant.run(forget))).toBeGreaterThan(0);
    expect(await plant.run(judge)).toMatch(/^not whole: /);
    renameSync(file("checkpoints.jsonl"), file("checkpoints-before.jsonl"));
    // As of several instances, of which one was killed within a line.
    const lines = readFileSync(file("trail.jsonl"), "utf8").trimEnd().split("\n");
    writeFileSync(file("trail.jsonl"), `${lines.toReversed().join("\n")}\n{"id":"aud_to`);
    await plant.startGateway();
    // As the page warns.
    const revived = await plant.issue("bob");
    expect(revived).toMatchObject({ codes: [], userId: bob?.userId });
    await plant.run(find);
    const todo = readFileSync(file("again.txt"), "utf8").trimEnd().split("\n");
    expect(todo).toEqual(todo.toSorted());
    expect(new Set(todo.map((line) => line.replace(/^\d{13} /, "")))).toEqual(
      new Set([
        `revokeAccessTokens ${alice?.id}`,
        `suspendIdentity ${bob?.id}`,
        `reinstateIdentity ${dave?.id}`,
        `suspendIdentity ${dave?.id}`,
        `deleteIdentity ${carol?.id}`,
      ]),
    );
    expect(await plant.run(again)).toMatch(/^all \d+ are done$/m);
    expect((await plant.issue("bob")).codes).toEqual(["IDENTITY_SUSPENDED"]);
    await expect.poll(() => plant.isActive(revived.token)).toBe(false);
    expect(await plant.run(bring)).toMatch(/\b1 added\b/);
    expect((await plant.issue("zoe")).userId).toBe(zoe.userId);
    for (const user of [alice, dave]) expect((await plant.issue(user?.subject ?? "")).userId).toBe(user?.userId);
    await expect.poll(async () => (await plant.issue("carol")).codes).toEqual([]);
    expect(await plant.run(check)).toMatch(/, whole$[\s\S]*"pendingServiceWork":\[/m);
  });

  it("lead through a back-up and a restore on SQLite", async () => {
    plant = await Plant.start("sqlite");
    const alice = await plant.issue("alice");
    const [backUp] = stepsOf("operations: On SQLite");
    expect(await plant.run(backUp)).toMatch(/^ok$/m);
    await plant.issue("bob");
    await plant.stopGateway();
    const backUps = readdirSync(plant.folder).filter((name) => /^gateway-\d{13}\.db$/.test(name));
    expect(backUps).toHaveLength(1);
    copyFileSync(file(backUps[0] ?? ""), file("data/gateway.db"));
    for (const name of ["gateway.db-wal", "gateway.db-shm"]) rmSync(file(`data/${name}`), { force: true });
    await plant.startGateway();
    expect(await plant.issue("alice")).toMatchObject({ codes: [], userId: alice.userId });
    expect(existsSync(file("data/keys.json"))).toBe(true);
  });

  it("lead through a change of the access key, in peace and after a leak", async () => {
    plant = await Plant.start("postgres");
    const before = await plant.issue("alice");
    const { emulator, changes } = plant;
    // The one that is to be changed comes second, and in the end the new one does.
    changes.ACS_CONNECTION_STRING = emulator.secondaryConnectionString;
    changes.ACS_SECONDARY_CONNECTION_STRING = emulator.connectionString;
    await plant.restartGateway();
    const meanwhile = await plant.issue("alice");
    await plant.control("POST", "/keys/rotate", { key: "primary" });
    expect([await plant.isActive(before.token), await plant.isActive(meanwhile.token)]).toEqual([false, true]);
    changes.ACS_SECONDARY_CONNECTION_STRING = emulator.connectionString;
    await plant.restartGateway();
    const [tried] = stepsOf("operations: The access key");
    expect((await plant.run(tried)).match(/^ok /gm)).toHaveLength(2);

    // The one that is in use now has leaked.
    changes.ACS_CONNECTION_STRING = emulator.connectionString;
    changes.ACS_SECONDARY_CONNECTION_STRING = "";
    await plant.restartGateway();
    await plant.control("POST", "/keys/rotate", { key: "secondary" });
    expect(await plant.isActive(meanwhile.token)).toBe(false);
    const after = await plant.issue("alice");
    expect(await plant.isActive(after.token)).toBe(true);
    changes.ACS_SECONDARY_CONNECTION_STRING = emulator.secondaryConnectionString;
    await plant.restartGateway();
    const [access, refused] = stepsOf("leaked-key: The access key");
    expect((await plant.run(access)).match(/^ok /gm)).toHaveLength(2);
    expect(await plant.run(refused)).toBe("gateway_access_key_switches_total 0\n");
  });

  it("lead through a change of the keys of cache and trail, in peace and after a leak", async () => {
    plant = await Plant.start("postgres");
    const { token } = await plant.issue("alice");
    expect((await plant.issue("alice")).token).toBe(token);
    plant.changes.TOKEN_CACHE_KEY = newKey();
    await plant.restartGateway();
    const [forget] = stepsOf("leaked-key: TOKEN_CACHE_KEY");
    expect(Number(await plant.run(forget))).toBeGreaterThan(0);
    expect((await plant.issue("alice")).token).not.toBe(token);

    await plant.stopGateway();
    const [publicKey, verify] = stepsOf("operations: The audit key");
    const earlier = (await plant.run(publicKey)).trim();
    plant.changes.AUDIT_KEY = newKey();
    plant.configure("", `, earlierKeys: ["${earlier}"]`);
    await plant.startGateway();
    await plant.issue("bob");
    await plant.stopGateway();
    expect(await plant.run(verify)).toMatch(/with a checkpoint.*, whole$/m);
    const [leaked] = stepsOf("leaked-key: AUDIT_KEY");
    expect(await plant.run(leaked)).toMatch(/, whole$/m);
  });

  it("lead through an issuer that is down, and one whose key has leaked", async () => {
    plant = await Plant.start("postgres");
    const caller = await plant.issuer.sign("alice");
    const ask = async () => (await plant.ask(caller, "{ viewer { permissions } }")).codes;
    expect(await ask()).toEqual([]);
    plant.issuer.outage = { status: 503 };
    await expect.poll(ask).toEqual(["KEYS_UNAVAILABLE"]);
    await expect.poll(() => plant.log).toContain("issuer keys not fetched");
    const [look, age] = stepsOf("issuer-down: The issuer is down");
    expect(await plant.run(look)).toMatch(/^fail issuer\.discovery /m);
    expect(Number((await plant.run(age)).match(/\} (\S+)/)?.[1])).toBeGreaterThan(1);
    plant.issuer.outage = undefined;
    await expect.poll(ask, { timeout: 20_000 }).toEqual([]);

    const { keys } = plant.issuer;
    plant.issuer.keys = keys.map((key) => ({ ...key, kid: "another" }));
    await plant.restartGateway();
    const [shown] = stepsOf("leaked-key: An issuer's signing key");
    expect(await plant.run(shown)).toBe("another\n");
    expect(await ask()).toEqual(["UNAUTHENTICATED"]);
  });

  it("lead through passwords that have leaked, with all connections ended", async () => {
    plant = await Plant.start("postgres");
    const { userId, token } = await plant.issue("alice");
    const [end] = stepsOf("operations: Passwords of Postgres and Redis");
    const [postgres, redis] = (await plant.run(end)).split("\n").map(Number);
    expect(postgres).toBeGreaterThan(0);
    expect(redis).toBeGreaterThan(0);
    // Until then there is no cache, and a token that is asked for is a new one.
    await expect.poll(() => plant.log).toContain("redis back");
    await expect.poll(() => plant.issue("alice"), { timeout: 20_000 }).toMatchObject({ codes: [], userId, token });
  });

  it("lead through an operator's caller token that has leaked", async () => {
    plant = await Plant.start("postgres");
    const { id } = await plant.issue("alice");
    await plant.manage(`suspendIdentity(input: { identityId: "${id}" })`);
    const [done, over] = stepsOf("leaked-key: An operator's caller token");
    expect(await plant.run(done)).toMatch(new RegExp(`^\\d+ IDENTITY_SUSPENDED ${id} `, "m"));
    expect(await plant.run(over)).toContain("IDENTITY_MANAGE");
  });

  it("lead through a service that is down", async () => {
    plant = await Plant.start("postgres");
    const { id } = await plant.issue("alice");
    await plant.control("POST", "/faults", { operation: "*", kind: "status", status: 503, times: 10_000 });
    const crowd = Array.from({ length: 60 }, (_, number) => plant.issue(`user ${number}`));
    const codes = new Set((await Promise.all(crowd)).flatMap((answer) => answer.codes));
    expect(codes).toEqual(new Set(["UPSTREAM_UNAVAILABLE"]));
    await plant.manage(`revokeAccessTokens(input: { identityId: "${id}" })`);
    const [look, over] = stepsOf("service-down: The service is down");
    const seen = await plant.run(look);
    expect(seen).toMatch(/^gateway_service_breaker_open 1$/m);
    expect(seen).toMatch(/^gateway_service_work_pending 1$/m);
    expect(seen).toMatch(/^fail service\./m);
    expect(plant.log).toContain("service outage: calls are held back until a probe is answered");
    await plant.control("DELETE", "/faults");
    await expect.poll(async () => (await plant.issue("alice")).codes, { timeout: 40_000 }).toEqual([]);
    expect(await plant.run(over)).toContain('"pendingServiceWork":[]');
  });

  it("lead through a Redis that is lost", async () => {
    plant = await Plant.start("postgres");
    const { token } = await plant.issue("alice");
    await plant.stopRedis();
    expect((await plant.issue("alice")).codes).toEqual([]);
    const [look, over] = stepsOf("redis-lost: Redis is lost");
    expect(await plant.run(look)).toMatch(/"name":"redis","optional":true,"ok":false[\s\S]*^fail redis\.connection /m);
    expect(plant.log).toContain("redis lost");
    await plant.startRedis();
    await expect.poll(() => plant.log, { timeout: 20_000 }).toContain("redis back");
    expect(await plant.run(over)).toMatch(/^PONG\ngateway_limits_counted_here_total [1-9]/);
    const again = await plant.issue("alice");
    expect([again.codes, again.token === token, (await plant.issue("alice")).token]).toEqual([[], false, again.token]);
  });

  it("lead through a store that is lost", async () => {
    plant = await Plant.start("postgres");
    const { userId } = await plant.issue("alice");
    await letConnect(plant, false);
    expect((await plant.issue("alice")).codes).toEqual(["STORE_UNAVAILABLE"]);
    const [look, server, over] = stepsOf("store-lost: The store is lost");
    expect(await plant.run(look)).toMatch(/"name":"store","ok":false[\s\S]*^fail store\.connection /m);
    await letConnect(plant, true);
    expect(await plant.run(server)).toMatch(/^\d+ kB\|\d+$|^\d+ MB\|\d+$/m);
    await expect.poll(async () => (await plant.issue("alice")).userId, { timeout: 20_000 }).toBe(userId);
    await expect.poll(async () => (await fetch(`${plant.adminUrl}/health/ready`)).status).toBe(200);
    expect(await plant.run(over)).toMatch(/^200$[\s\S]*, whole$/m);
  });

  it("lead through an audit chain that is broken", async () => {
    plant = await Plant.start("postgres");
    await plant.issue("alice");
    await plant.issue("alice");
    await plant.restartGateway();
    await plant.database?.ask("update audit_events set request_id = 'forged' where action = 'TOKEN_REUSED'");
    const [keep, verdict, compare, extent, copy] = stepsOf("audit-chain-broken: The audit chain is broken");
    await plant.run(keep);
    expect(await plant.run(verdict)).toMatch(/^not whole: .* its hash/m);
    const compared = await plant.run(compare);
    expect(compared).toMatch(/"action":"TOKEN_REUSED"[\s\S]*TOKEN_REUSED/);
    expect(Number(await plant.run(extent))).toBe(2);
    expect(readFileSync(file("differences.txt"), "utf8")).toContain("forged");
    expect(await plant.run(copy)).toMatch(/, whole$/m);
    expect((await plant.issue("bob")).codes).toEqual([]);
  });

  it("say how much a user and a cached token take up at most", async () => {
    plant = await Plant.start("postgres");
    const count = 400;
    // One after the other: when several wait for room at once, Postgres takes a hundred pages ahead, which so few users do not fill.
    for (let number = 0; number < count; number++) await plant.issue(`user-${number}@example.com`);
    const [size] =
      (await plant.database?.ask<{ bytes: string }>(
        "select pg_total_relation_size('identities') + pg_total_relation_size('provisioning_attempts') as bytes",
      )) ?? [];
    expect(Number(size?.bytes) / count).toBeLessThan(4096);
    const usage = spawnSync("sh", [
      "-c",
      `redis-cli -u '${plant.env().REDIS_URL}' --scan --pattern 'acs-token-gateway:tokens:*' | head -n 20 | xargs -n 1 redis-cli -u '${plant.env().REDIS_URL}' memory usage`,
    ]);
    const sizes = usage.stdout.toString().trim().split("\n").map(Number);
    expect(sizes).toHaveLength(20);
    expect(Math.max(...sizes)).toBeLessThan(2048);
  });

  it("have no other step, so that each was run", async () => {
    expect(stepsLeft()).toEqual([]);
  });
});

/** Whether anybody may connect to the database; nobody's connection stays. */
async function letConnect({ database }: Plant, isAllowed: boolean): Promise<void> {
  const client = new Client({ connectionString: POSTGRES_URL });
  await client.connect();
  await client.query(`alter database ${database?.name} with allow_connections ${isAllowed}`);
  await client.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database?.name}'`);
  await client.end();
}
