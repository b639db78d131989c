import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Cli } from "../fixtures/cli.js";
import { inventedId, inventedRows, type MappingRow, RESOURCE_ID, realRows, writeRows } from "../fixtures/mappings.js";
import { DATABASES, Operator } from "../fixtures/operator.js";

interface Stored {
  readonly issuer: string;
  readonly subject: string;
  readonly communication_user_id: string;
  readonly status: string;
}

describe.each(DATABASES)("import, on %s", { timeout: 90_000 }, (kind) => {
  let operator: Operator;
  let issuer: string;

  beforeEach(async () => {
    operator = await Operator.start(kind);
    issuer = operator.issuer.url;
  });
  afterEach(async () => {
    await operator.close();
  });

  async function importRows(rows: readonly MappingRow[], args: readonly string[] = []) {
    writeRows(operator.path("rows.csv"), rows);
    return await operator.run(["import", "--file", "rows.csv", "--resource-id", RESOURCE_ID, ...args]);
  }

  async function stored(): Promise<Stored[]> {
    return await operator.ask<Stored>(
      "select issuer, subject, communication_user_id, status from identities where status <> 'DELETED' order by communication_user_id",
    );
  }

  async function asked() {
    return await operator.ask(
      "select action, subject from service_work join identities on identities.id = identity_id order by subject",
    );
  }

  function reportIn(name: string) {
    const lines = readFileSync(operator.path(name), "utf8").trimEnd().split("\n");
    return lines.map((line) => JSON.parse(line) as { line?: number; code?: string; reason?: string; cure?: string });
  }

  const asStored = (rows: readonly MappingRow[]) =>
    rows
      .map((row) => ({
        issuer: row.issuer,
        subject: row.subject,
        communication_user_id: row.communicationUserId,
        status: "ACTIVE",
      }))
      .sort((one, other) => (one.communication_user_id < other.communication_user_id ? -1 : 1));

  it("takes mappings in, with an intent and an outcome of each in the trail by the command's name, and again without a change", async () => {
    const rows = inventedRows(issuer, 450);
    expect(await importRows(rows, ["--reason", "moved"])).toMatchObject({
      code: 0,
      stdout: "450 rows up to line 451: 450 added, 0 there already, 0 refused\n",
    });
    expect(await stored()).toEqual(asStored(rows));
    const records = await operator.ask<Record<string, unknown>>(
      "select phase, count(*) as count from audit_events where action = 'IDENTITY_PROVISIONED' and reason = 'moved' and actor_subject is null and client_name = 'acs-token-gateway import' group by phase order by phase",
    );
    expect(records.map(({ phase, count }) => [phase, Number(count)])).toEqual([
      ["INTENT", 450],
      ["OUTCOME", 450],
    ]);
    expect(await importRows(rows)).toMatchObject({
      code: 0,
      stdout: "450 rows up to line 451: 0 added, 450 there already, 0 refused\n",
    });
    expect(await stored()).toEqual(asStored(rows));
    expect(await operator.run(["audit", "verify"])).toMatchObject({ code: 0 });
  });

  it("has the gateway give tokens for the identities that were brought in, and make none", async () => {
    const { rows, resourceId } = await realRows(operator, 3);
    writeRows(operator.path("rows.csv"), rows);
    await operator.run(["import", "--file", "rows.csv", "--resource-id", resourceId]);
    const gateway = operator.start(["serve"]);
    const [, url = ""] = await gateway.printed(/"url":"([^"]+)"/);
    expect(await issuedFor(url, await operator.issuer.sign("user1"))).toBe(rows[1]?.communicationUserId);
    expect(await operator.identitiesAtService()).toHaveLength(3);
    gateway.kill("SIGTERM");
    expect(await gateway.ended()).toBe(0);
  });

  it("refuses each bad row by line, code and cure in a report, and takes the others", async () => {
    await importRows([{ issuer, subject: "had", communicationUserId: inventedId() }]);
    const [{ communication_user_id: taken = "" } = {}] = await stored();
    const id = inventedId();
    const bad: readonly (readonly [code: string, row: string])[] = [
      ["VALUE_MISSING", `,a,${inventedId()},,`],
      ["VALUE_MISSING", `${issuer},,${inventedId()},,`],
      ["VALUE_MISSING", `${issuer},a,,,`],
      ["ISSUER_UNKNOWN", `https://other.example.com,a,${inventedId()},,`],
      ["ISSUER_UNKNOWN", `${issuer}/,a,${inventedId()},,`],
      ["SUBJECT_INVALID", `${issuer},${"x".repeat(256)},${inventedId()},,`],
      ["SUBJECT_INVALID", `${issuer},a\0b,${inventedId()},,`],
      ["ID_INVALID", `${issuer},a,8:orgid:${RESOURCE_ID},,`],
      ["ID_INVALID", `${issuer},a,8:acs:nobody,,`],
      // As a file has it that was cut off.
      ["ID_INVALID", `${issuer},a,${inventedId().slice(0, -1)},,`],
      ["ID_OF_ANOTHER_RESOURCE", `${issuer},a,${inventedId("22222222-2222-4222-8222-222222222222")},,`],
      ["STATUS_INVALID", `${issuer},a,${inventedId()},GONE,`],
      ["TIME_INVALID", `${issuer},a,${inventedId()},,yesterday`],
      ["TIME_INVALID", `${issuer},a,${inventedId()},,2026-02-30T00:00:00Z`],
      ["ROW_INVALID", `${issuer},a,${inventedId()}`],
      ["USER_HAS_ANOTHER", `${issuer},had,${inventedId()},,`],
      ["ID_OF_ANOTHER_USER", `${issuer},a,${taken},,`],
      ["ID_OF_ANOTHER_USER", `${issuer},second,${id},,`],
      ["USER_HAS_ANOTHER", `${issuer},first,${inventedId()},,`],
    ];
    const good = [`${issuer},first,${id},,`, `${issuer},first,${id},,`, `${issuer},late,${inventedId()},SUSPENDED,`];
    const lines = [
      "issuer,subject,communicationUserId,status,createdAt",
      ...good.slice(0, 2),
      ...bad.map(([, row]) => row),
    ];
    writeFileSync(operator.path("bad.csv"), `\ufeff${[...lines, ...good.slice(2)].join("\r\n")}\r\n`);
    const command = ["import", "--file", "bad.csv", "--resource-id", RESOURCE_ID];
    expect(await operator.run([...command, "--dry-run"])).toMatchObject({ code: 1 });
    expect(await stored()).toHaveLength(1);
    const { code, stdout } = await operator.run([...command, "--report", "report.jsonl"]);
    expect([code, stdout]).toEqual([1, "22 rows up to line 23: 2 added, 1 there already, 19 refused\n"]);
    const report = reportIn("report.jsonl");
    expect(report.slice(0, -1).map((row) => [row.line, row.code])).toEqual(
      bad.map(([name], index) => [index + 4, name]),
    );
    for (const { reason, cure } of report.slice(0, -1))
      expect([reason, cure]).toEqual([expect.any(String), expect.any(String)]);
    expect(report.at(-1)).toEqual({
      format: 1,
      isDryRun: false,
      isComplete: true,
      lastLine: 23,
      added: 2,
      there: 1,
      refused: 19,
    });
    expect((await stored()).map(({ subject, status }) => [subject, status]).sort()).toEqual([
      ["first", "ACTIVE"],
      ["had", "ACTIVE"],
      ["late", "SUSPENDED"],
    ]);
    // Who is suspended here has no token that works, the ones from elsewhere too.
    expect(await asked()).toEqual([{ action: "REVOKE", subject: "late" }]);
  });

  it("refuses bad JSON lines one by one", async () => {
    const row = (changes: object) =>
      JSON.stringify({ issuer, subject: "a", communicationUserId: inventedId(), ...changes });
    const lines = [
      row({}),
      "{",
      "[]",
      '"text"',
      `{"issuer":"${issuer}","issuer":"${issuer}"}`,
      row({ subject: 7 }),
      row({ colour: "red" }),
      row({ subject: "\ud800" }),
      row({ subject: "x".repeat(70_000) }),
      "",
      row({ subject: "b", status: null, createdAt: "2020-01-31T00:00:00Z" }),
    ];
    // As some editors begin a file.
    writeFileSync(operator.path("rows.jsonl"), `\ufeff${lines.join("\n")}`);
    const { code } = await operator.run([
      ...["import", "--file", "rows.jsonl", "--resource-id", RESOURCE_ID, "--report", "report.jsonl"],
    ]);
    expect(code).toBe(1);
    expect(reportIn("report.jsonl").map(({ line, code }) => [line, code])).toEqual([
      ...[2, 3, 4, 5, 6, 7].map((line) => [line, "ROW_INVALID"]),
      [8, "SUBJECT_INVALID"],
      [9, "ROW_INVALID"],
      [undefined, undefined],
    ]);
    expect((await stored()).map(({ subject }) => subject).sort()).toEqual(["a", "b"]);
  });

  it.each([
    ["is empty", "", "is empty"],
    ["has a column that is not known", "issuer,subject,communicationUserId,colour\n", '"colour"'],
    ["lacks a column", "issuer,subject\n", "lacks a column"],
    ["has a column twice", "issuer,subject,communicationUserId,subject\n", "twice"],
    [
      "is not in UTF-8",
      Buffer.from("issuer,subject,communicationUserId\na,\xe9,b\n", "latin1"),
      "Line 2 of the file is not in UTF-8",
    ],
    ["leaves a quote open", 'issuer,subject,communicationUserId\na,"b,c\n', "no CSV from line"],
    [
      "has a line that is too long",
      `issuer,subject,communicationUserId\na,"b\nb",\na,${"b".repeat(70_000)},c\n`,
      "cannot be read from line 4 on (a row has more than 65536 bytes): shorten it, or close the quote",
    ],
    [
      "has a line without an end",
      `issuer,subject,communicationUserId\n${"b".repeat(200_000)}`,
      "cannot be read from line 2 on (a row has more than 65536 bytes): shorten it, or close the quote",
    ],
  ])("takes nothing from a file that %s, with exit code 2", async (_, content, message) => {
    writeFileSync(operator.path("rows.csv"), content);
    const { code, stderr } = await operator.run(["import", "--file", "rows.csv", "--resource-id", RESOURCE_ID]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(await stored()).toEqual([]);
  });

  it("does not guess whose the ids are, and says which resource the file has", async () => {
    writeRows(operator.path("rows.csv"), inventedRows(issuer, 1));
    const { code, stderr } = await operator.run(["import", "--file", "rows.csv"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`begins with one of ${RESOURCE_ID}`)]);
    await importRows(inventedRows(issuer, 1));
    expect(await operator.run(["import", "--file", "rows.csv"])).toMatchObject({ code: 0 });
    const other = ["import", "--file", "rows.csv", "--resource-id", "22222222-2222-4222-8222-222222222222"];
    expect(await operator.run(other)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("correct --resource-id"),
    });
  });

  it("takes users of another issuer only when that is allowed", async () => {
    const rows = [{ ...inventedRows("https://old.example.com", 1)[0], subject: "a" } as MappingRow];
    expect(await importRows(rows)).toMatchObject({ code: 1 });
    expect(await importRows(rows, ["--allow-issuer", "https://old.example.com"])).toMatchObject({ code: 0 });
    expect(await stored()).toEqual(asStored(rows));
  });

  it("does not bring a deleted user back unless that is allowed", async () => {
    const rows = inventedRows(issuer, 2);
    await importRows(rows);
    await operator.run(["teardown", "--confirm", new URL(operator.emulator.endpoint).host]);
    expect(await stored()).toEqual([]);
    const again = inventedRows(issuer, 2);
    const { code, stdout } = await importRows(again);
    expect([code, stdout.match(/USER_ERASED/g)]).toEqual([1, ["USER_ERASED", "USER_ERASED"]]);
    expect(await importRows(again, ["--allow-erased"])).toMatchObject({ code: 0 });
    expect(await stored()).toEqual(asStored(again));
  });

  it("fills the row of a user whose identity could not be made, and leaves a suspended one suspended", async () => {
    await operator.withStore(async ({ identities }) => {
      await identities.claim({ issuer, subject: "user0" }, "idn_0", 1);
      await identities.claim({ issuer, subject: "user1" }, "idn_1", 1);
      await identities.revoke("idn_1", ["PROVISIONING"], 2, "SUSPENDED");
    });
    const rows = inventedRows(issuer, 2);
    expect(await importRows(rows, ["--dry-run"])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("2 to be"),
    });
    expect(await importRows(rows)).toMatchObject({ code: 0, stdout: expect.stringContaining("2 added") });
    const found = await operator.ask("select id, communication_user_id, status from identities order by id");
    expect(found).toEqual([
      { id: "idn_0", communication_user_id: rows[0]?.communicationUserId, status: "ACTIVE" },
      { id: "idn_1", communication_user_id: rows[1]?.communicationUserId, status: "SUSPENDED" },
    ]);
    expect(await asked()).toEqual([{ action: "REVOKE", subject: "user1" }]);
  });

  it("gives an identity to one row, of several that are to have it at the same time", async () => {
    await operator.withStore(async ({ identities, mappings }) => {
      for (let round = 0; round < 10; round++) {
        const communicationUserId = inventedId();
        const rows = [1, 2].map((number) => ({
          identityId: `idn_${round}_${number}`,
          user: { issuer, subject: `user${round}_${number}` },
          communicationUserId,
          status: "ACTIVE" as const,
          createdAt: null,
          lastTokenIssuedAt: null,
          tokensValidAfter: null,
          revocationPending: false,
        }));
        for (const { user, identityId } of rows) await identities.claim(user, identityId, 1);
        const filled = await Promise.all(rows.map((row) => mappings.fill(row, "host", 2)));
        expect(filled.sort()).toEqual([false, true]);
      }
    });
  });

  it("says in a dry run what the import would, also of rows far apart, and makes no database and no table", async () => {
    const rows = inventedRows(issuer, 300);
    const first = rows[0] ?? expect.fail();
    const all = [...rows, { ...first, communicationUserId: inventedId() }, { ...first, subject: "other" }, first];
    const dry = await importRows(all, ["--dry-run"]);
    if (kind === "sqlite") expect(existsSync(operator.path("gateway.db"))).toBe(false);
    else expect(await operator.ask("select from pg_tables where schemaname = 'public'")).toEqual([]);
    const { code, stdout } = await importRows(all);
    expect(code).toBe(1);
    expect(stdout).toContain("300 added, 1 there already, 2 refused");
    const later = await importRows(all, ["--dry-run"]);
    expect(later.stdout).toBe(stdout.replace("300 added, 1 there", "0 to be added, 301 there"));
    expect(dry.stdout).toBe(stdout.replace("300 added", "300 to be added"));
  });

  it("says in one line that a dry run has no temporary folder", async () => {
    writeRows(operator.path("rows.csv"), inventedRows(issuer, 1));
    const command = ["import", "--file", "rows.csv", "--resource-id", RESOURCE_ID, "--dry-run"];
    expect(await operator.run(command, { TMPDIR: operator.path("nowhere") })).toMatchObject({
      code: 2,
      stderr: "A dry run needs a temporary folder that it may write to: name one with TMPDIR.\n",
    });
  });

  it("reads standard input, and passes over lines before --from-line", async () => {
    const rows = inventedRows(issuer, 10);
    writeRows(operator.path("rows.csv"), rows);
    const { code, stdout } = Cli.runInShell(
      ["import", "--file", "-", "--format", "csv", "--resource-id", RESOURCE_ID, "--from-line", "8"],
      "< rows.csv",
      { cwd: operator.folder, env: operator.env },
    );
    expect([code, stdout]).toEqual([0, "4 rows up to line 11: 4 added, 0 there already, 0 refused\n"]);
    expect(await stored()).toEqual(asStored(rows.slice(6)));
  });

  it("is no success when the file ends before --from-line", async () => {
    const rows = inventedRows(issuer, 10);
    expect(await importRows(rows, ["--from-line", "13"])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/(^|\n)The file ends before line 13: correct --from-line\.\n$/),
    });
    // Who was stopped behind the last one goes on there.
    expect(await importRows(rows, ["--from-line", "12"])).toMatchObject({ code: 0 });
    expect(await stored()).toEqual([]);
    expect(await importRows(rows, ["--from-line", "11"])).toMatchObject({ code: 0 });
    expect(await stored()).toEqual(asStored(rows.slice(-1)));
  });

  it("goes on where it was killed or stopped, and has each user once", async () => {
    const rows = inventedRows(issuer, 2000);
    writeRows(operator.path("rows.csv"), rows);
    const command = ["import", "--file", "rows.csv", "--resource-id", RESOURCE_ID];
    for (const signal of ["SIGKILL", "SIGINT"] as const) {
      const before = await countRows();
      const run = operator.start(command);
      while ((await countRows()) < before + 300) await setTimeout(10);
      run.kill(signal);
      expect(await run.ended()).toBe(signal === "SIGKILL" ? "SIGKILL" : 1);
      if (signal === "SIGINT") expect(run.stdout).toContain("the rest was not looked at: run it again");
      expect(await countRows()).toBeLessThan(2000);
    }
    const already = await countRows();
    expect(await operator.run(command)).toMatchObject({
      code: 0,
      stdout: `2000 rows up to line 2001: ${2000 - already} added, ${already} there already, 0 refused\n`,
    });
    expect(await stored()).toEqual(asStored(rows));
    expect(await operator.run(["audit", "verify"])).toMatchObject({ code: 0 });
  });

  it("is stopped at once while standard input has nothing for it, or nothing more", async () => {
    for (const text of [
      "",
      "issuer,subject,communicationUserId\n",
      `issuer,subject,communicationUserId\n${issuer},a,"8:`,
    ]) {
      const run = operator.start(["import", "--file", "-", "--format", "csv", "--resource-id", RESOURCE_ID]);
      run.feed(text);
      await expect.poll(() => run.stderr, { timeout: 10_000 }).toContain("stands in the audit trail");
      // It reads now, or is about to.
      await setTimeout(200);
      run.kill("SIGINT");
      expect([await run.ended(), run.stdout]).toEqual([
        1,
        "0 rows: 0 added, 0 there already, 0 refused; the rest was not looked at: run it again, or go on with --from-line\n",
      ]);
    }
  });

  async function countRows(): Promise<number> {
    try {
      return Number((await operator.ask<{ count: number }>("select count(*) as count from identities"))[0]?.count);
    } catch {
      // It has not been made yet.
      return 0;
    }
  }

  it("beside a gateway that makes identities for the same users: each has one, and the import says whose is not the file's", async () => {
    const USERS = 60;
    const { rows, resourceId } = await realRows(operator, USERS);
    writeRows(operator.path("rows.csv"), rows);
    const gateway = operator.start(["serve"]);
    const [, url = ""] = await gateway.printed(/"url":"([^"]+)"/);
    const tokens = await Promise.all(rows.map(({ subject }) => operator.issuer.sign(subject)));
    const importing = operator.run([
      "import",
      "--file",
      "rows.csv",
      "--resource-id",
      resourceId,
      "--report",
      "report.jsonl",
    ]);
    // From the last to the first, so that the two meet in the middle, whichever is quicker.
    const given: string[] = [];
    for (const token of tokens.toReversed()) given.unshift(await issuedFor(url, token));
    const { stdout } = await importing;
    const own = given.filter((id, index) => id !== rows[index]?.communicationUserId);
    expect(stdout).toContain(`${USERS - own.length} added, 0 there already, ${own.length} refused`);
    const now = await stored();
    const ofUser = new Map(now.map((row) => [row.subject, row.communication_user_id]));
    expect(now).toHaveLength(USERS);
    expect(rows.map(({ subject }) => ofUser.get(subject))).toEqual(given);
    expect(reportIn("report.jsonl").flatMap(({ code }) => code ?? [])).toEqual(own.map(() => "USER_HAS_ANOTHER"));
    // Whatever the gateway made for a user who was given the file's meanwhile is deleted again.
    const alive = async () => (await operator.identitiesAtService()).filter(({ deleted }) => !deleted).length;
    await expect.poll(alive).toBe(USERS + own.length);
    gateway.kill("SIGTERM");
    expect(await gateway.ended()).toBe(0);
    expect(await operator.run(["audit", "verify"])).toMatchObject({ code: 0 });
  });
});

/** The identity that a token was issued for. */
async function issuedFor(url: string, token: string): Promise<string> {
  const query =
    "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { identity { communicationUserId } } } }";
  const response = await fetch(`${url}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({ query }),
  });
  const text = await response.text();
  const { data } = JSON.parse(text) as {
    data?: { issueAccessToken: { accessToken?: { identity: { communicationUserId: string } } } };
  };
  return data?.issueAccessToken.accessToken?.identity.communicationUserId ?? expect.fail(text);
}
