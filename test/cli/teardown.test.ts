import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { realRows, writeRows } from "../fixtures/mappings.js";
import { DATABASES, Operator } from "../fixtures/operator.js";

const USERS = 40;

describe.each(DATABASES)("teardown, on %s", { timeout: 90_000 }, (kind) => {
  let operator: Operator;
  let confirmed: readonly string[];

  beforeEach(async () => {
    operator = await Operator.start(kind);
    const { rows, resourceId } = await realRows(operator, USERS);
    writeRows(operator.path("rows.csv"), rows);
    const imported = await operator.run(["import", "--file", "rows.csv", "--resource-id", resourceId]);
    expect(imported).toMatchObject({ code: 0 });
    confirmed = ["teardown", "--confirm", new URL(operator.emulator.endpoint).host];
  });
  afterEach(async () => {
    await operator.close();
  });

  const alive = async () => (await operator.identitiesAtService()).filter(({ deleted }) => !deleted).length;
  const count = async (sql: string) =>
    Number((await operator.ask<{ count: number }>(`select count(*) as count ${sql}`))[0]?.count);
  const deletedRows = () => count("from identities where status = 'DELETED' and subject is null");

  it("says what there is, with examples, what it will not touch, and what nobody knows, and deletes nothing", async () => {
    await operator.ask("update identities set resource = 'other.example.com' where subject in ('user0', 'user1')");
    await operator.ask("update identities set status = 'SUSPENDED' where subject = 'user2'");
    await operator.ask(
      "insert into provisioning_attempts (id, identity_id, state, started_at, lease_until, ended_at) values ('att_1', 'idn_1', 'IN_DOUBT', 1, 1, 1)",
    );
    const { code, stdout } = await operator.run(["teardown"]);
    expect(code).toBe(0);
    expect(stdout).toContain(`${USERS - 2} identities of ${confirmed[2]}`);
    expect(stdout).toContain(`${operator.issuer.url}: ${USERS - 3} ACTIVE, 1 SUSPENDED`);
    expect(stdout).toMatch(/^such as 8:acs:\S+, 8:acs:\S+, 8:acs:\S+$/m);
    expect(stdout).toContain("not touched: 2 of other.example.com");
    expect(stdout).toContain("1 attempts in doubt");
    expect(stdout).toContain("a gateway may be serving");
    expect(stdout).toContain(`teardown --confirm ${confirmed[2]}`);
    expect([await alive(), await deletedRows()]).toEqual([USERS, 0]);
    expect(await operator.run(confirmed)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("not touched: 2 of"),
    });
    expect(await alive()).toBe(2);
  });

  it("deletes nothing unless the resource's host is given in full", async () => {
    const wrong = [
      ["--confirm", "other.example.com"],
      ["--confirm", "yes"],
      ["--confirm", ""],
      ["--confirm"],
      ["--yes"],
      ["--confirm", confirmed[2] ?? "", "--reason", "x".repeat(501)],
    ];
    for (const args of wrong)
      expect(await operator.run(["teardown", ...args]), args.join(" ")).toMatchObject({ code: 2 });
    expect([await alive(), await deletedRows()]).toEqual([USERS, 0]);
  });

  it("deletes every identity, lost and surplus ones too, with two records of each, and leaves a whole trail without names", async () => {
    const [first, second] = await operator.identitiesAtService();
    await operator.ask(
      `update identities set communication_user_id = null, resource = null, status = 'PROVISIONING' where communication_user_id in ('${first?.id}', '${second?.id}')`,
    );
    await operator.ask(
      `insert into provisioning_attempts (id, identity_id, state, started_at, lease_until, ended_at, communication_user_id, resource) values ('att_1', 'idn_1', 'LOST', 1, 1, 1, '${first?.id}', '${confirmed[2]}')`,
    );
    await operator.withStore(({ work }) =>
      work.request({ communicationUserId: second?.id ?? "", action: "DELETE", identityId: null, resource: null }, 1),
    );
    const { code, stdout } = await operator.run([...confirmed, "--reason", "end of the trial"]);
    expect([code, stdout]).toEqual([0, `${USERS + 2} identities deleted, none left\n`]);
    expect([await alive(), await deletedRows()]).toEqual([0, USERS]);
    expect(
      await count("from audit_events where action = 'IDENTITY_DELETED' and client_name = 'acs-token-gateway teardown'"),
    ).toBe(2 * USERS);
    expect(await count("from audit_events where actor_subject is not null")).toBe(0);
    expect(await operator.run(["audit", "verify"])).toMatchObject({ code: 0 });
    expect(await operator.run(confirmed)).toMatchObject({ code: 0, stdout: "0 identities deleted, none left\n" });
  });

  it("goes on where it was killed or stopped, and deletes each once", async () => {
    await operator.fault({ operation: "deleteIdentity", kind: "delay", delayMs: 60, times: 1000 });
    for (const signal of ["SIGKILL", "SIGINT"] as const) {
      const before = await deletedRows();
      const run = operator.start(confirmed);
      while ((await deletedRows()) < before + 5) await setTimeout(10);
      run.kill(signal);
      expect(await run.ended()).toBe(signal === "SIGKILL" ? "SIGKILL" : 1);
      if (signal === "SIGINT")
        expect(run.stdout).toMatch(/^\d+ of \d+ deleted, \d+ left \(stopped\): run it again to go on$/m);
      expect(await deletedRows()).toBeLessThan(USERS);
    }
    await operator.clearFaults();
    expect(await operator.run(confirmed)).toMatchObject({ code: 0, stdout: expect.stringContaining("none left") });
    expect([await alive(), await deletedRows()]).toEqual([0, USERS]);
    expect(await operator.run(["audit", "verify"])).toMatchObject({ code: 0 });
  });

  it("waits for a service that refuses calls for a while, as it is told to, and fails none of them", async () => {
    await operator.fault({ operation: "deleteIdentity", kind: "status", status: 429, retryAfterSeconds: 1, times: 10 });
    await operator.fault({ operation: "deleteIdentity", kind: "status", status: 500, times: 5 });
    expect(await operator.run(confirmed)).toMatchObject({
      code: 0,
      stdout: `${USERS} identities deleted, none left\n`,
    });
    expect([await alive(), await deletedRows()]).toEqual([0, USERS]);
  });

  it("says what the service would not delete, with exit code 1, asks for little more meanwhile, and deletes it when run again", async () => {
    await operator.fault({ operation: "deleteIdentity", kind: "status", status: 403, times: 100_000 });
    const { code, stdout } = await operator.run([...confirmed, "--tries", "2"]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^not deleted: 8:acs:\S+, after \d+ tries: .+$/m);
    expect(stdout).toContain(`0 of ${USERS} deleted, ${USERS} left (the service would not delete them)`);
    await operator.clearFaults();
    expect(await operator.run(confirmed)).toMatchObject({ code: 0 });
    expect(await alive()).toBe(0);
  });
});
