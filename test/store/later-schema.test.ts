import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DATABASES, Operator } from "../fixtures/operator.js";

/** As after an update that was taken back. */
describe.each(DATABASES)("a database that a later version has changed, on %s", (kind) => {
  let operator: Operator;
  beforeEach(async () => {
    operator = await Operator.start(kind);
    await operator.withStore(async () => {});
  });
  afterEach(() => operator.close());

  const migrated = async (name: string) =>
    await operator.ask(`insert into kysely_migration (name, timestamp) values ('${name}', '2100-01-01')`);

  it("is worked on as it is, with a line in the log", async () => {
    await migrated("9999-something-later");
    const gateway = operator.start(["serve"]);
    const [, url] = await gateway.printed(/"url":"([^"]+)"/);
    expect((await fetch(`${url}/health/ready`)).status).toBe(200);
    expect(gateway.stdout).toContain("the database's schema is of a later version of the gateway");
    gateway.kill("SIGTERM");
    expect(await gateway.ended()).toBe(0);
    expect((await operator.run(["audit", "verify"])).code).toBe(0);
  });

  it("is refused where the later version says that no earlier one can use it", async () => {
    await migrated("9998-something-later");
    await migrated("9999-breaking-names");
    const { code, stdout, stderr } = await operator.run(["serve"]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(
      /^A later version of the gateway has changed the schema of the database .+ so that this version cannot use it: run the later version\.\n$/,
    );
    expect((await operator.run(["audit", "verify"])).code).toBe(2);
  });
});
