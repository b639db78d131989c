import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEmulator } from "../../src/emulator/emulator.js";
import { Cli } from "../fixtures/cli.js";
import { POSTGRES_URL } from "../fixtures/postgres.js";
import { type OldDatabase, restorePostgres, restoreService, restoreSqlite } from "../fixtures/versions/database.js";
import { Surroundings } from "../fixtures/versions/surroundings.js";
import { EARLIER_VERSIONS, type Version, worksOnPostgres } from "../fixtures/versions/versions.js";

const ISSUE = `mutation { issueAccessToken(input: { scopes: [CHAT] }) {
  accessToken { token identity { id communicationUserId } } userErrors { code } } }`;

const onSqlite = EARLIER_VERSIONS.map((version) => [version.schema, "SQLite", version] as const);
const onPostgres = EARLIER_VERSIONS.filter(worksOnPostgres).map(
  (version) => [version.schema, "Postgres", version] as const,
);

if (POSTGRES_URL === undefined) {
  describe.skip("databases of earlier versions on Postgres (left out: TEST_POSTGRES_URL is not set)", () =>
    it("", () => {}));
}

describe.each([...onSqlite, ...(POSTGRES_URL ? onPostgres : [])])(
  "a database as %s left it on %s",
  (_, kind, version) => {
    let old: Awaited<ReturnType<typeof restore>>;
    let gateway: Awaited<ReturnType<Surroundings["serve"]>>;

    beforeAll(async () => {
      old = await restore(version, kind);
      gateway = await old.surroundings.serve({ DATABASE_URL: old.database.url });
    });
    afterAll(async () => {
      gateway.cli.kill("SIGTERM");
      await gateway.cli.ended();
      await old.close();
    });

    const issue = async (subject: string) =>
      await old.surroundings.ask(gateway.url, await old.surroundings.token(subject), ISSUE);
    const manage = async (query: string) =>
      await old.surroundings.ask(gateway.url, await old.surroundings.admin(), query);

    it("has each user's identity, and a token for it", async () => {
      for (const subject of ["alice", "dave"]) {
        const { data, codes } = await issue(subject);
        expect(codes).toEqual([]);
        expect(data.issueAccessToken.accessToken.identity.communicationUserId).toBe(old.userId(subject));
      }
    });

    it("keeps out who is suspended, and gives a new identity to who was deleted or never got one", async () => {
      expect((await issue("bob")).codes).toEqual(["IDENTITY_SUSPENDED"]);
      for (const subject of ["carol", "erin"]) {
        const { data, codes } = await issue(subject);
        expect(codes).toEqual([]);
        expect(old.userIds()).not.toContain(data.issueAccessToken.accessToken.identity.communicationUserId);
      }
    });

    it("has what was promised carried out", async () => {
      await expect
        .poll(async () => (await manage("{ pendingServiceWork { tries } }")).data.pendingServiceWork)
        .toEqual([]);
      expect((await issue("frank")).data.issueAccessToken.accessToken?.identity.communicationUserId).toBe(
        old.userId("frank"),
      );
      const { identities } = (await old.surroundings.control("GET", "/identities?limit=1000")) as {
        identities: { id: string; deleted: boolean }[];
      };
      const isDeleted = (id: string | undefined) => identities.find((identity) => identity.id === id)?.deleted;
      expect([isDeleted(old.userId("grace")), isDeleted(old.userId("alice"))]).toEqual([true, false]);
    });

    it("is listed for operators", async () => {
      const { data } = await manage(
        "{ identities(first: 100) { nodes { id status } } provisioningAttemptsInDoubt { id } }",
      );
      const statuses = new Map(
        data.identities.nodes.map(({ id, status }: { id: string; status: string }) => [id, status]),
      );
      expect([...statuses.keys()]).toEqual(expect.arrayContaining(old.identities.map(({ id }) => id)));
      expect(statuses.get(old.idOf("bob"))).toBe("SUSPENDED");
      expect(data.provisioningAttemptsInDoubt.map(({ id }: { id: string }) => id)).toEqual(old.inDoubt);
    });

    it("has its trail, whole, and goes on with it", async () => {
      const { data, codes } = await manage("{ auditEvents(first: 100) { nodes { id action } } }");
      expect(codes).toEqual([]);
      expect(data.auditEvents.nodes.map(({ id }: { id: string }) => id)).toEqual(expect.arrayContaining(old.records));
      const env = old.surroundings.environment({ DATABASE_URL: old.database.url });
      const verified = await Cli.run(["audit", "verify"], { cwd: old.surroundings.folder, env });
      expect([verified.code, verified.stdout]).toEqual([0, expect.stringContaining("whole")]);
    });
  },
);

/** With the service and the issuer that it was used with. */
async function restore(version: Version, kind: "SQLite" | "Postgres") {
  const folder = mkdtempSync(join(tmpdir(), "gateway-upgrade-"));
  const file = join(folder, "service.db");
  restoreService(version, file);
  const emulator = await startEmulator({ host: "127.0.0.1", port: 0, file, latency: "none", rateLimits: false });
  const surroundings = await Surroundings.start(folder, emulator);
  const resource = new URL(emulator.endpoint).host;
  const database: OldDatabase =
    kind === "Postgres"
      ? await restorePostgres(version, POSTGRES_URL ?? "", resource)
      : restoreSqlite(version, join(folder, "gateway.db"), resource);
  const identities = await database.ask<{ id: string; subject: string; communication_user_id: string; status: string }>(
    "select * from identities",
  );
  const find = (subject: string) => identities.find((identity) => identity.subject === subject);
  const isThere = async (table: string) =>
    await database.ask(`select 1 from ${table}`).then(
      () => true,
      () => false,
    );
  const idsIn = async (table: string, condition = "1 = 1") =>
    (await isThere(table))
      ? (await database.ask<{ id: string }>(`select id from ${table} where ${condition}`)).map(({ id }) => id)
      : [];
  return {
    surroundings,
    database,
    identities,
    inDoubt: await idsIn("provisioning_attempts", "state = 'IN_DOUBT'"),
    records: await idsIn("audit_events"),
    idOf: (subject: string) => find(subject)?.id,
    userId: (subject: string) => find(subject)?.communication_user_id,
    userIds: () => identities.map(({ communication_user_id }) => communication_user_id),
    close: async () => {
      await surroundings.close();
      await database.drop();
      rmSync(folder, { recursive: true });
    },
  };
}
