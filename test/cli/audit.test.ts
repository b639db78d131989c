import { generateKeyPairSync, randomBytes } from "node:crypto";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ChainEnd } from "../../src/audit/chain.js";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import { Retention } from "../../src/audit/retention.js";
import { signEnd } from "../../src/audit/signed-end.js";
import { Secret } from "../../src/config/secret.js";
import { describePublicKey } from "../../src/config/signing-keys.js";
import { openStore } from "../../src/store/store.js";
import { TestWriter } from "../fixtures/audit.js";
import { Cli } from "../fixtures/cli.js";
import { NO_SMALL_DISK, SmallDisk } from "../fixtures/small-disk.js";

/** More than one batch of the walk. */
const COUNT = 1200;
const START = Date.parse("2026-01-01T00:00:00Z");
const ACTOR = { issuer: "https://issuer.example.com", subject: "alice" };

const NO_PLAIN_TABLE =
  "audit_events is no table, or triggers, rules or row security may have its readers get other records";

const folder = mkdtempSync(join(tmpdir(), "gateway-cli-audit-"));
const file = join(folder, "gateway.db");
const writers = [new TestWriter("one"), new TestWriter("two")];
let tampered = 0;

beforeAll(async () => {
  const store = await openStore({ kind: "sqlite", file });
  for (const [index, writer] of writers.entries()) {
    for (let number = 0; number < COUNT; number++) {
      writer.add(START + number * 1000, { actor: ACTOR, scopes: ["CHAT"], reason: index === 0 ? "because" : null });
    }
    await writer.appendTo(store.audit);
  }
  await store.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Nothing of the service or an issuer: who checks the trail need not be let in there. */
function environment(database = file, changes: Record<string, string> = {}): Record<string, string> {
  return { ...changes, DATABASE_URL: `sqlite:${database}` };
}

async function run(args: readonly string[], database = file, changes: Record<string, string> = {}) {
  return await Cli.run(["audit", ...args], { cwd: folder, env: environment(database, changes) });
}

/** A copy of the database, changed. */
function tamper(sql: string): string {
  const copy = join(folder, `tampered-${tampered++}.db`);
  copyFileSync(file, copy);
  const database = new DatabaseSync(copy, { defensive: false });
  database.exec(sql);
  database.close();
  return copy;
}

const path = (name: string) => join(folder, name);
const linesIn = (text: string) => text.trimEnd().split("\n");

describe("audit verify", () => {
  it("says how much there is and that it is whole, and on standard error that it is done", async () => {
    expect(await run(["verify"])).toEqual({
      code: 0,
      stdout: "2400 records of 2 writers, whole\n",
      stderr: expect.stringMatching(
        `^(\\d+ records\\n)*2400 records, and now the indexes, in about 1 s\\n2400 records of the database ${file}, done\\nNo checkpoints were looked at: .+ --checkpoints\\.\\n$`,
      ),
    });
  });

  const tamperings: [string, string, string][] = [
    [
      "edited",
      "update audit_events set request_id = 'x' where id = 'aud_two_000000000007'",
      "two, sequence 7: record aud_two_000000000007: its hash",
    ],
    [
      "edited in a personal value",
      "update audit_events set reason = 'x' where id = 'aud_one_000000000003'",
      "one, sequence 3: record aud_one_000000000003: its reason",
    ],
    [
      "removed",
      "delete from audit_events where id = 'aud_one_000000001100'",
      "one, sequence 1100: record aud_one_000000001100: it is missing",
    ],
    [
      "given another's place",
      "update audit_events set hash = (select hash from audit_events where id = 'aud_two_000000000009') where id = 'aud_two_000000000008'",
      "two, sequence 8: record aud_two_000000000008: its hash",
    ],
    [
      "inserted",
      "create temp table one as select * from audit_events where id = 'aud_one_000000001200'; update one set id = 'aud_one_000000001201', sequence = 1201; insert into audit_events select * from one",
      "one, sequence 1201: record aud_one_000000001201: its hash",
    ],
    [
      "there twice, in a table made anew",
      "create table anew as select * from audit_events; drop table audit_events; alter table anew rename to audit_events; create table twin as select * from audit_events where id = 'aud_one_000000001000'; update twin set reason = 'other'; insert into audit_events select * from twin",
      "one, sequence 1000: record aud_one_000000001000: it",
    ],
    [
      "put under another id",
      "update audit_events set id = 'zzz' where id = 'aud_two_000000001200'",
      "record zzz: it is not as the gateway writes records",
    ],
  ];
  it.each(tamperings)("names a record that was %s, with exit code 1", async (_, sql, place) => {
    const { code, stdout } = await run(["verify"], tamper(sql));
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining(place) });
    expect(stdout).toMatch(/^not whole: [^\n]+\n$/);
  });

  it("says in one line that the database cannot be read to its end, with exit code 2, and calls nothing whole", async () => {
    const copy = tamper("");
    const bytes = readFileSync(copy);
    writeFileSync(copy, bytes.fill(0xff, bytes.length / 2));
    expect(await run(["verify"], copy)).toEqual({
      code: 2,
      stdout: "",
      stderr: `The database ${copy} cannot be read any further (database disk image is malformed): see to it that it answers, or restore a back-up. Begin again.\n`,
    });
  });

  it("shows what somebody has put there as text, and not as a terminal's commands", async () => {
    const id =
      "'aud_' || char(13) || char(10) || char(27) || '[2K7 records of 1 writers, whole' || char(155) || '8m' || char(8238)";
    const { code, stdout } = await run(
      ["verify"],
      tamper(`update audit_events set id = ${id} where id = 'aud_one_000000000001'`),
    );
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: expect.stringMatching(
        /^not whole: record aud_\ufffd\ufffd\ufffd\[2K7 records of 1 writers, whole\ufffd8m\ufffd: .+\n$/,
      ),
    });
  });

  it("tells that a record is kept from those who read along an index that does not have it", async () => {
    const named = "name = 'audit_events_identity_action'";
    const leaveOut = `
      update audit_events set listed = 1;
      pragma writable_schema = on;
      create temp table was as select sql from sqlite_schema where ${named};
      update sqlite_schema set sql = sql || ' and sequence <> 7' where ${named};
      pragma writable_schema = reset;
      reindex audit_events_identity_action;
      pragma writable_schema = on;
      update sqlite_schema set sql = (select sql from was) where ${named}`;
    expect(await run(["verify"], tamper(leaveOut))).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /^not whole: record in the database file: SQLite finds: row \d+ missing from index audit_events_identity_action\n$/,
      ),
    });
  });

  it("says of how many records the actor or the reason is erased, for nothing else tells who did that", async () => {
    const erase =
      "update audit_events set reason = null, reason_salt = null where writer = 'one' and sequence in (1, 2); update audit_events set actor_issuer = null, actor_subject = null, actor_salt = null where id in ('aud_one_000000000002', 'aud_two_000000000003')";
    expect(await run(["verify"], tamper(erase))).toMatchObject({
      code: 0,
      stdout: "2400 records of 2 writers, 3 records with erased values, whole\n",
    });
  });

  it("does not make a database where there is none, which would be whole", async () => {
    const missing = path("missing.db");
    const { code, stdout, stderr } = await run(["verify"], missing);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(`There is no database ${missing}`);
    expect(existsSync(missing)).toBe(false);
  });

  it.each([
    ["without the table", "drop table audit_events", "there is no table audit_events"],
    ["without what was dropped", "drop table audit_dropped", "there is no table audit_dropped"],
    ["without any", "drop table audit_events; drop table kysely_migration", "there is no table kysely_migration"],
    [
      "with a view in its place",
      "alter table audit_events rename to kept; create view audit_events as select * from kept",
      NO_PLAIN_TABLE,
    ],
    [
      "with a trigger",
      "create trigger it before insert on AUDIT_EVENTS begin select raise(ignore); end",
      NO_PLAIN_TABLE,
    ],
    [
      "of an older version",
      "delete from kysely_migration where name = '0003-audit-events'",
      "its schema is older than this version of the gateway",
    ],
    [
      "of a version that is too new",
      "insert into kysely_migration values ('9999-breaking-later', '2026-01-01')",
      "its schema is too new for this version of the gateway",
    ],
  ])("leaves a database %s as it is, and does not call it whole", async (_, sql, why) => {
    const database = tamper(sql);
    const before = readFileSync(database);
    for (const command of ["verify", "export"]) {
      const { code, stdout, stderr } = await run([command], database);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toBe(
        `The audit trail in the database ${database} cannot be read (${why}): ${why === NO_PLAIN_TABLE ? "take those away" : "use the version of the gateway that serves it"}, restore a back-up, or name another with DATABASE_URL.\n`,
      );
    }
    expect(readFileSync(database).equals(before)).toBe(true);
  });

  it.each([
    [[]],
    [["check"]],
    [["verify", "--all"]],
    [["export", "--since", "yesterday"]],
    [["export", "--since", "1"]],
    [["export", "--since", "2026-02-01T00:00:00Z", "--until", "2026-01-01T00:00:00Z"]],
  ])("prints the usage with exit code 2 for %j", async (args) => {
    const { code, stderr } = await run(args);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/^acs-token-gateway: .+; --help lists commands and options\n$/),
    });
  });
});

describe("audit export", () => {
  it("prints every record, and verifies without a configuration or a database", async () => {
    const { code, stdout } = await run(["export"]);
    expect(code).toBe(0);
    expect(linesIn(stdout)).toHaveLength(2 * COUNT);
    writeFileSync(path("all.jsonl"), stdout);
    expect(await Cli.run(["audit", "verify", "--export", "all.jsonl"], { cwd: folder })).toMatchObject({
      code: 0,
      stdout: "2400 records of 2 writers, whole\n",
    });
    writeFileSync(path("edited.jsonl"), stdout.replace('"requestId":"req"', '"requestId":"other"'));
    expect(await run(["verify", "--export", "edited.jsonl"])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("writer one, sequence 1: record aud_one_000000000001: its hash"),
    });
    writeFileSync(path("broken.jsonl"), stdout.slice(0, -10));
    expect(await run(["verify", "--export", "broken.jsonl"])).toMatchObject({
      code: 1,
      stdout: "not whole: record in line 2400: the file ends within a record: the export broke off\n",
    });
    for (const foreign of [`${stdout.slice(0, -10)}\n`, `${stdout.trimEnd().slice(0, -1)},"more":1}`]) {
      writeFileSync(path("foreign.jsonl"), foreign);
      expect(await run(["verify", "--export", "foreign.jsonl"])).toMatchObject({
        code: 1,
        stdout: "not whole: record in line 2400: it is not as the gateway writes records\n",
      });
    }
  });

  it("is not whole for having nothing in its file", async () => {
    writeFileSync(path("empty.jsonl"), "");
    expect(await Cli.run(["audit", "verify", "--export", "empty.jsonl"], { cwd: folder })).toEqual({
      code: 2,
      stdout: "",
      stderr: "The file empty.jsonl has no record: name another with --export.\n",
    });
  });

  it("is not whole with a line that is longer than any of ours", async () => {
    const { stdout } = await run(["export"]);
    writeFileSync(path("long.jsonl"), `${linesIn(stdout)[0]}${" ".repeat(2 ** 21)}\n`);
    expect(await run(["verify", "--export", "long.jsonl"])).toMatchObject({
      code: 1,
      stdout: "not whole: record in line 1: it is not as the gateway writes records\n",
    });
  });

  it("verifies whatever was written as a reason, and when its lines have got another system's ends", async () => {
    const odd = path("odd.db");
    const store = await openStore({ kind: "sqlite", file: odd });
    const writer = new TestWriter("one");
    for (const reason of ["x\u2028y", "x\u2029y", "x\ry", "x\r\ny"]) writer.add(START, { reason });
    await writer.appendTo(store.audit);
    await store.close();
    const { stdout } = await run(["export"], odd);
    for (const text of [stdout, stdout.replaceAll("\n", "\r\n"), `\ufeff${stdout}`, stdout.trimEnd()]) {
      writeFileSync(path("odd.jsonl"), text);
      expect(await run(["verify", "--export", "odd.jsonl"])).toMatchObject({
        code: 0,
        stdout: "4 records of 1 writers, whole\n",
      });
    }
  });

  it("goes on where it was broken off, into the same file", async () => {
    const whole = (await run(["export"])).stdout;
    const begun = linesIn(whole).slice(0, 1500);
    writeFileSync(path("resumed.jsonl"), `${begun.join("\n")}\n`);
    const { id } = JSON.parse(begun.at(-1) ?? "") as { id: string };
    expect(await run(["export", "--after", id, "--out", "resumed.jsonl"])).toMatchObject({ code: 0, stdout: "" });
    expect(readFileSync(path("resumed.jsonl"), "utf8")).toBe(whole);
    expect(await run(["export", "--after", "aud_none"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("There is no record aud_none"),
    });
  });

  it("says when it is stopped how to go on, with exit code 1, and the parts one after the other are the whole", async () => {
    const stopped = Cli.start(["audit", "export"], { cwd: folder, env: environment() });
    await stopped.printed(/\n/);
    // By and by the pipe is full.
    stopped.stall();
    stopped.kill("SIGINT");
    await setTimeout(100);
    stopped.resume();
    expect(await stopped.ended()).toBe(1);
    const lines = linesIn(stopped.stdout);
    const { id } = JSON.parse(lines.at(-1) ?? "") as { id: string };
    expect(stopped.stderr).toMatch(
      new RegExp(`^(\\d+ records\n)*${lines.length} records, stopped. Go on with --after ${id}, into another file.\n$`),
    );
    const { stdout } = await run(["export", "--after", id]);
    expect(lines.length).toBeLessThan(2 * COUNT);
    expect(stopped.stdout + stdout).toBe((await run(["export"])).stdout);
  });

  it(`says on a full disk how much of its file is whole, and how to go on${NO_SMALL_DISK}`, async (test) => {
    test.skip(NO_SMALL_DISK !== "");
    const disk = SmallDisk.mount(1);
    try {
      const out = join(disk.folder("exports"), "trail.jsonl");
      const { code, stderr } = await run(["export", "--out", out]);
      const written = readFileSync(out, "utf8");
      const whole = written.slice(0, written.lastIndexOf("\n") + 1);
      const { id } = JSON.parse(linesIn(whole).at(-1) ?? "") as { id: string };
      expect(written).not.toBe(whole);
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: expect.stringMatching(
          new RegExp(
            `^(\\d+ records\n)*The file ${out} cannot be written \\(ENOSPC\\): make room, or name another. It has ${linesIn(whole).length} whole records, up to ${id}, and the beginning of a line: cut that off. Go on with --after ${id}, into another file.\n$`,
          ),
        ),
      });
      const rest = join(disk.folder("exports"), "rest.jsonl");
      expect((await run(["export", "--after", id, "--out", rest])).stderr).toMatch(
        new RegExp(`It has 0 whole records.* Go on with --after ${id}, into another file.\n$`),
      );
      expect(whole + (await run(["export", "--after", id])).stdout).toBe((await run(["export"])).stdout);
    } finally {
      disk.close();
    }
  });

  it("leaves no file behind where the database, or the record to go on after, is not there, so that a retry can name it", async () => {
    const args = ["export", "--out", "retried.jsonl"];
    expect(await run(args, path("none.db"))).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^There is no database/),
    });
    expect(await run([...args, "--after", "aud_none"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("check --after"),
    });
    expect(existsSync(path("retried.jsonl"))).toBe(false);
    expect(await run(args)).toMatchObject({ code: 0 });
  });

  it("does not go on in a file that ends within a line, and --help says what going on is for", async () => {
    const torn = (await run(["export"])).stdout.slice(0, 5000);
    writeFileSync(path("torn.jsonl"), torn);
    expect(await run(["export", "--after", writers[0]?.idAt(1) ?? "", "--out", "torn.jsonl"])).toMatchObject({
      code: 2,
      stderr: "The file torn.jsonl ends within a line: remove that line, and go on after the one before it.\n",
    });
    expect(readFileSync(path("torn.jsonl"), "utf8")).toBe(torn);
    expect((await run(["--help"])).stdout).toMatch(/--after ID [^-]+ Not for a later export/);
  });

  it("leaves out what is outside the times that were asked for, and such a part verifies", async () => {
    const args = ["--since", "2026-01-01T00:00:10Z", "--until", "2026-01-01T00:00:20Z", "--out", "part.jsonl"];
    expect(await run(["export", ...args])).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^(\d+ records\n)*20 records of the database .+, done\n$/),
    });
    expect(await run(["verify", "--export", "part.jsonl"])).toMatchObject({
      code: 0,
      stdout: "20 records of 2 writers, 2 of them without their beginning of 20 records, whole\n",
    });
    expect(await run(["export", "--out", "part.jsonl"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("part.jsonl cannot be written (EEXIST)"),
    });
  });

  it("leaves no hole where a clock was set back, also when it goes on", async () => {
    const steps = path("steps.db");
    const store = await openStore({ kind: "sqlite", file: steps });
    const writer = new TestWriter("one");
    for (const seconds of [25, 0, 10, -100, 12, 20, 15]) writer.add(START + seconds * 1000);
    await writer.appendTo(store.audit);
    await store.close();
    const args = ["export", "--since", "2026-01-01T00:00:10Z", "--until", "2026-01-01T00:00:20Z"];
    const sequences = async (...more: readonly string[]) =>
      linesIn((await run([...args, ...more], steps)).stdout).map((line) => JSON.parse(line).sequence);
    expect(await sequences()).toEqual([3, 4, 5]);
    expect(await sequences("--after", writer.idAt(2))).toEqual([4, 5]);
    await run([...args, "--out", "steps.jsonl"], steps);
    expect(await run(["verify", "--export", "steps.jsonl"])).toMatchObject({
      code: 0,
      stdout: "3 records of 1 writers, 1 of them without their beginning of 2 records, whole\n",
    });
  });

  it("ends with exit code 1 at a record that it cannot tell", async () => {
    const { code, stderr } = await run(
      ["export"],
      tamper("update audit_events set sequence = 2000 where id = 'aud_one_000000000002'"),
    );
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining("record aud_one_000000000002 cannot be exported"),
    });
  });
});

describe.skipIf(!existsSync("/dev/full"))("a result that cannot be written", () => {
  const led = (args: readonly string[], redirection: string) =>
    Cli.runInShell(["audit", ...args], redirection, { cwd: folder, env: environment() });
  const cannot = (name: string, code: string) => ({
    code: 2,
    stderr: expect.stringMatching(
      new RegExp(
        `^(\\d+ records(, and now the indexes, in about 1 s| of the database .+, done)?\n)*${name} cannot be written \\(${code}\\): [^\n]+\\.\n$`,
      ),
    ),
  });

  it.each([
    ["a few", "aud_two_000000001190"],
    ["many", "aud_one_000000000001"],
  ])("ends the export of %s records with exit code 2, in one line", async (_, after) => {
    expect(await run(["export", "--after", after, "--out", "/dev/full"])).toMatchObject(
      cannot("The file /dev/full", "ENOSPC"),
    );
    const { code, stderr } = led(["export", "--after", after], "> /dev/full");
    expect({ code, stderr }).toEqual(cannot("Standard output", "ENOSPC"));
    expect(stderr).toContain("go on with --after and the id of the last whole one");
  });

  it("is no success of a verification", () => {
    expect(led(["verify"], "> /dev/full")).toMatchObject(cannot("Standard output", "ENOSPC"));
  });

  it("says in one line that its reader went away", () => {
    const { stdout, stderr } = led(["export"], "| head -n 1");
    expect(linesIn(stdout)).toHaveLength(1);
    expect(stderr).toMatch(/^Standard output cannot be written \(EPIPE\): [^\n]+\.\n$/);
  });
});

describe("audit fingerprint", () => {
  const key = Buffer.alloc(32, 9).toString("base64");
  const print = (input: string, env = environment(file, { AUDIT_KEY: key })) => {
    writeFileSync(path("token.txt"), input);
    return Cli.runInShell(["audit", "fingerprint"], "< token.txt", { cwd: folder, env });
  };

  it("prints what stands in the trail for a token, whatever stands around it", () => {
    const fingerprint = createFingerprint(new Secret(key))("aaa.bbb.ccc");
    for (const input of ["aaa.bbb.ccc", "\n  aaa.bbb.ccc\r\n"]) {
      expect(print(input)).toEqual({ code: 0, stdout: `${fingerprint}\n`, stderr: "" });
    }
  });

  it("takes one token and nothing else", () => {
    for (const input of ["", "aaa.bbb.ccc ddd.eee.fff", "a".repeat(16_385)]) {
      expect(print(input)).toMatchObject({
        code: 2,
        stdout: "",
        stderr: expect.stringMatching(/^There is not one token/),
      });
    }
  });

  it("says that a shared database has no keys of its own", () => {
    expect(print("aaa.bbb.ccc", { DATABASE_URL: "postgres://a:b@127.0.0.1:1/c" })).toEqual({
      code: 2,
      stdout: "",
      stderr: "No keys are kept beside a Postgres database: set AUDIT_KEY.\n",
    });
  });

  it("makes no key where there is none, for no token stands in a trail by it", () => {
    const elsewhere = path("elsewhere/gateway.db");
    expect(print("aaa.bbb.ccc", environment(elsewhere))).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^There are no keys in .+: restore it from a back-up, or set AUDIT_KEY\.\n$/),
    });
    expect(existsSync(path("elsewhere"))).toBe(false);
  });
});

describe("audit verify with checkpoints", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const signingKey = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  const write = (name: string, lines: readonly string[]) => writeFileSync(path(name), `${lines.join("\n")}\n`);
  const signed = (end: ChainEnd) => signEnd("checkpoint", end, privateKey);
  const verify = (database = file) =>
    run(["verify", "--checkpoints", "checkpoints.jsonl"], database, { AUDIT_SIGNING_KEY: signingKey });

  beforeAll(() => {
    write(
      "checkpoints.jsonl",
      [...writers.map((writer) => writer.endAt(10)), ...writers.map(({ end }) => end)].map(signed),
    );
    writeFileSync(path("public.pem"), publicKey.export({ format: "pem", type: "spki" }));
  });

  it("finds the trail whole that has all that was signed", async () => {
    expect(await verify()).toMatchObject({
      code: 0,
      stdout: "2400 records of 2 writers, 2 of them with a checkpoint, whole\n",
    });
  });

  it("makes no keys where there are none, for those have signed nothing", async () => {
    const { code, stderr } = await run(["verify", "--checkpoints", "checkpoints.jsonl"]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/^There are no keys in .+--public-key\.\n$/),
    });
    expect(existsSync(path("keys.json"))).toBe(false);
  });

  it("warns of a checkpoint that is broken off, and holds the trail to the others", async () => {
    const [one = "", two = ""] = writers.map(({ end }) => signed(end));
    write("checkpoints-torn.jsonl", [one.slice(0, 50), one, two.slice(0, -1)]);
    const args = ["verify", "--checkpoints", "checkpoints-torn.jsonl", "--public-key", "public.pem"];
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `2400 records of 2 writers, 1 of them with a checkpoint, 1200 records that no checkpoint stands for, the first ${writers[1]?.idAt(0)}, whole\n`,
    });
    for (const line of [1, 3]) {
      expect(stderr).toContain(`the checkpoint in line ${line} of checkpoints-torn.jsonl is broken off`);
    }
    expect(await run(args, tamper("delete from audit_events where id = 'aud_one_000000001200'"))).toMatchObject({
      code: 1,
    });
  });

  it("says without them that it would not see an end that is cut off, and with them nothing of the kind", async () => {
    const cut = tamper("delete from audit_events where writer = 'one' and sequence > 1000");
    expect(await run(["verify"], cut)).toMatchObject({
      code: 0,
      stderr: expect.stringContaining("a chain that was cut off at its end"),
    });
    expect((await verify()).stderr).not.toContain("No checkpoints");
  });

  it("names where a chain was cut off, and a writer that is missing altogether", async () => {
    expect(await verify(tamper("delete from audit_events where writer = 'one' and sequence > 1000"))).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("writer one, sequence 1001: record aud_one_000000001001: the end is cut off"),
    });
    expect(await verify(tamper("delete from audit_events where writer = 'two'"))).toMatchObject({
      code: 1,
      stdout: expect.stringContaining(
        "writer two, sequence 1: record aud_two_000000000001: the whole writer is missing",
      ),
    });
  });

  it("says how many records no checkpoint stands for, such as invented ones, and which is the first", async () => {
    const invented = tamper("select 1");
    const store = await openStore({ kind: "sqlite", file: invented });
    const [writer, other] = [new TestWriter("three"), new TestWriter("two")];
    for (let number = 0; number < 3; number++) writer.add(START);
    for (let number = 0; number < COUNT + 1; number++)
      other.add(START + number * 1000, { actor: ACTOR, scopes: ["CHAT"] });
    await writer.appendTo(store.audit);
    await store.audit.append(other.records.slice(COUNT));
    await store.close();
    expect(await verify(invented)).toMatchObject({
      code: 0,
      stdout: `2404 records of 3 writers, 2 of them with a checkpoint, 4 records that no checkpoint stands for, the first ${writer.idAt(0)}, whole\n`,
    });
  });

  it("reads them from a log that has other lines, and takes no file that has none", async () => {
    const [one = "", two = ""] = writers.map(({ end }) => signed(end));
    // A collector's order of members, and what anybody may have a log say.
    const sorted = JSON.stringify(JSON.parse(two), Object.keys(JSON.parse(two)).sort());
    const said = ["signature", "statement", '{"statement":"checkpoint"}'].map((clientName) =>
      JSON.stringify({ level: 30, msg: "request", clientName }),
    );
    const log = ['{"level":30,"msg":"listening"}', "", ...said, one, '"statement"', sorted, '{"level":30}'];
    write("log.jsonl", log);
    const args = ["verify", "--public-key", "public.pem", "--checkpoints"];
    expect(await run([...args, "log.jsonl"])).toMatchObject({
      code: 0,
      stdout: "2400 records of 2 writers, 2 of them with a checkpoint, whole\n",
    });
    write("log.jsonl", log.slice(0, 2));
    expect(await run([...args, "log.jsonl"])).toMatchObject({
      code: 2,
      stderr: "The file log.jsonl has no checkpoint: name another with --checkpoints.\n",
    });
  });

  it("works offline, with an export and the public key alone", async () => {
    expect((await run(["export", "--out", "offline.jsonl"])).code).toBe(0);
    const args = ["--export", "offline.jsonl", "--checkpoints", "checkpoints.jsonl", "--public-key", "public.pem"];
    expect(await Cli.run(["audit", "verify", ...args], { cwd: folder })).toMatchObject({ code: 0 });
    writeFileSync(
      path("offline.jsonl"),
      linesIn(readFileSync(path("offline.jsonl"), "utf8"))
        .slice(0, -1)
        .join("\n"),
    );
    expect(await Cli.run(["audit", "verify", ...args], { cwd: folder })).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("writer two, sequence 1200: "),
    });
  });

  it("takes no checkpoint that was changed or signed with another key, and no file that is not there", async () => {
    write("checkpoints-changed.jsonl", [
      signed({ writer: "one", sequence: 3, hash: "x", at: START }).replace(":3,", ":4,"),
    ]);
    expect(
      await run(["verify", "--checkpoints", "checkpoints-changed.jsonl", "--public-key", "public.pem"]),
    ).toMatchObject({
      code: 1,
      stdout:
        "not whole: the checkpoint in line 1 of checkpoints-changed.jsonl has a signature that is not of its content\n",
    });
    const keys = { AUDIT_KEY: randomBytes(32).toString("base64") };
    expect(await run(["verify", "--checkpoints", "checkpoints.jsonl"], file, keys)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("is signed with another key"),
    });
    expect(await run(["verify", "--checkpoints", "none.jsonl"], file, keys)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^The file none.jsonl cannot be read \(ENOENT\): [^\n]+\.\n$/),
    });
    expect(await run(["verify", "--public-key", folder])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^The file .+ cannot be read \(EISDIR\): [^\n]+\.\n$/),
    });
    expect(
      await run(["verify", "--checkpoints", "checkpoints.jsonl", "--public-key", "checkpoints.jsonl"]),
    ).toMatchObject({
      code: 2,
      stderr: "The file checkpoints.jsonl does not hold an Ed25519 public key (SPKI, as PEM or as DER in base64).\n",
    });
  });
});

describe("the audit trail of which records were dropped for their age", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const signingKey = { AUDIT_SIGNING_KEY: privateKey.export({ format: "pem", type: "pkcs8" }).toString() };
  const aged = path("aged.db");
  const offline = (...args: readonly string[]) => Cli.run(["audit", "verify", ...args], { cwd: folder });
  /** Of each writer. */
  const LEFT = 200;
  const unknown = (line: number) => ({
    code: 2,
    stdout: "",
    stderr: `Records are missing, and only the key of checkpoints tells whether the gateway dropped them, as is said in line ${line}: name it with --public-key.\n`,
  });

  /** Drops all but so many of each writer. */
  async function drop(database: string, count: number): Promise<void> {
    const store = await openStore({ kind: "sqlite", file: database });
    const unexpected = (what: unknown) => expect.fail(JSON.stringify(what));
    await new Retention({
      reader: store.auditReader,
      store: store.audit,
      maxAgeMs: count * 1000,
      key: privateKey,
      earlierKeys: [],
      now: () => START + COUNT * 1000,
      elapsed: () => 0,
      observe: { dropped: () => {}, kept: unexpected, failed: unexpected, works: () => {} },
    }).dropAged();
    await store.close();
  }

  beforeAll(async () => {
    copyFileSync(file, aged);
    await drop(aged, LEFT);
    writeFileSync(path("aged.pem"), publicKey.export({ format: "pem", type: "spki" }));
    const earlier = writers[0]?.endAt(7) ?? expect.fail("none");
    const ends = [earlier, ...writers.map(({ end }) => end)];
    const lines = ends.map((end) => signEnd("checkpoint", end, privateKey));
    writeFileSync(path("aged-checkpoints.jsonl"), `${lines.join("\n")}\n`);
  });

  it("is whole, with checkpoints from before and after, and says of how many writers there were more", async () => {
    const dropped = "2000 records of 2 of them dropped for their age, the last aud_two_000000001000, from before";
    const whole = `400 records of 2 writers, 2 of them with a checkpoint, ${dropped} 2026-01-01T00:16:40.000Z, whole\n`;
    const args = ["verify", "--checkpoints", "aged-checkpoints.jsonl"];
    expect(await run(args, aged, signingKey)).toMatchObject({ code: 0, stdout: whole });
    expect(await run(["verify", "--public-key", "aged.pem"], aged)).toMatchObject({
      code: 0,
      stdout: `400 records of 2 writers, ${dropped} 2026-01-01T00:16:40.000Z, whole\n`,
    });
    const nothing = path("nothing.db");
    copyFileSync(aged, nothing);
    await drop(nothing, 0);
    expect(await run(args, nothing, signingKey)).toMatchObject({
      code: 0,
      stdout:
        "0 records of 2 writers, 2 of them with a checkpoint, 2400 records of 2 of them dropped for their age, the last aud_two_000000001200, from before 2026-01-01T00:20:00.000Z, whole\n",
    });
  });

  it("is not whole by the word of another key, and is not verified without any", async () => {
    const other = { AUDIT_KEY: randomBytes(32).toString("base64") };
    expect(await run(["verify"], aged, other)).toMatchObject({
      code: 1,
      stdout: "not whole: record of what was dropped of writer one: it is signed with another key\n",
    });
    expect(await run(["verify"], aged)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^There are no keys in .+--public-key\.\n$/),
    });
    const { keyId: _, publicKey: spki } = describePublicKey(publicKey);
    const configured = readFileSync("gateway.yaml", "utf8").replace("earlierKeys: []", `earlierKeys: ["${spki}"]`);
    writeFileSync(path("earlier.yaml"), configured);
    expect(await run(["verify", "--config", "earlier.yaml"], aged, other)).toMatchObject({ code: 0 });
  });

  it("is exported with what was dropped, verifies offline, and is held to it there", async () => {
    const { stdout } = await run(["export"], aged);
    expect(linesIn(stdout)).toHaveLength(2 * LEFT + 2);
    writeFileSync(path("aged.jsonl"), stdout);
    const args = ["--export", "aged.jsonl", "--public-key", "aged.pem", "--checkpoints", "aged-checkpoints.jsonl"];
    expect(await offline(...args)).toMatchObject({ code: 0, stdout: expect.stringContaining("400 records") });
    // Nobody vouches for the line then.
    expect(await offline("--export", "aged.jsonl")).toMatchObject({
      code: 0,
      stdout: "400 records of 2 writers, 2 of them without their beginning of 2000 records, whole\n",
    });
    const [first = "", ...rest] = linesIn(stdout);
    const forged = first.replace('"sequence":1000', '"sequence":1001');
    expect(forged).not.toBe(first);
    const cases: [readonly string[], string][] = [
      [[forged, ...rest], "record in line 1: it has a signature that is not of its content"],
      [[first, ...rest.slice(2)], "writer one, sequence 1001: record aud_one_000000001001: it is missing"],
    ];
    for (const [lines, fault] of cases) {
      writeFileSync(path("aged.jsonl"), lines.join("\n"));
      expect(await offline(...args)).toMatchObject({ code: 1, stdout: expect.stringContaining(fault) });
    }
  });

  it("says how many records are not in an export, and from when, though all that is left is signed", async () => {
    const all = linesIn((await run(["export"])).stdout);
    const line = linesIn((await run(["export"], aged)).stdout).find((each) => each.includes('"dropped"')) ?? "";
    // Retention has signed later for what was still there when the export was made.
    writeFileSync(path("thinned.jsonl"), [...all.slice(0, 900), line, ...all.slice(1000)].join("\n"));
    const args = ["--export", "thinned.jsonl", "--public-key", "aged.pem", "--checkpoints", "aged-checkpoints.jsonl"];
    expect(await offline(...args)).toMatchObject({
      code: 0,
      stdout:
        "2300 records of 2 writers, 2 of them with a checkpoint, 100 records of 1 of them dropped for their age, the last aud_one_000000001000, from before 2026-01-01T00:16:40.000Z, whole\n",
    });
  });

  it("may not be said to be by anybody in the middle of an export", async () => {
    const lines = linesIn((await run(["export"])).stdout);
    const end = writers[0]?.endAt(10) ?? expect.fail("none");
    const claim = JSON.stringify({ statement: "dropped", ...end });
    writeFileSync(path("claimed.jsonl"), [...lines.slice(0, 4), claim, ...lines.slice(10)].join("\n"));
    expect(await offline("--export", "claimed.jsonl")).toEqual(unknown(5));
    expect(await offline("--export", "claimed.jsonl", "--public-key", "aged.pem")).toMatchObject({
      code: 1,
      stdout: "not whole: record in line 5: it is none that the gateway signs\n",
    });
  });

  it("is verified with the key alone where it was exported while records were dropped", async () => {
    const all = linesIn((await run(["export"])).stdout);
    const rest = linesIn((await run(["export"], aged)).stdout);
    writeFileSync(path("meanwhile.jsonl"), [...all.slice(0, 900), ...rest].join("\n"));
    expect(await offline("--export", "meanwhile.jsonl")).toEqual(unknown(901));
    expect(await offline("--export", "meanwhile.jsonl", "--public-key", "aged.pem")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("1300 records of 2 writers, 1100 records of 2 of them dropped for their age"),
    });
  });

  it("is exported in a part, which verifies", async () => {
    const since = new Date(START + (COUNT - 50) * 1000).toISOString();
    const { stdout } = await run(["export", "--since", since], aged);
    writeFileSync(path("aged-part.jsonl"), stdout);
    expect(linesIn(stdout)).toHaveLength(2 * 50);
    expect(await offline("--export", "aged-part.jsonl")).toMatchObject({
      code: 0,
      stdout: "100 records of 2 writers, 2 of them without their beginning of 2300 records, whole\n",
    });
  });

  it("is exported on from a record that was dropped since", async () => {
    const begun = linesIn((await run(["export"])).stdout).slice(0, 700);
    writeFileSync(path("aged-resumed.jsonl"), `${begun.join("\n")}\n`);
    const args = ["export", "--after", writers[0]?.idAt(699) ?? "", "--out", "aged-resumed.jsonl"];
    expect(await run(args, aged)).toMatchObject({ code: 0 });
    expect(await offline("--export", "aged-resumed.jsonl", "--public-key", "aged.pem")).toMatchObject({
      code: 0,
      stdout:
        "1100 records of 2 writers, 1300 records of 2 of them dropped for their age, the last aud_two_000000001000, from before 2026-01-01T00:16:40.000Z, whole\n",
    });
    expect(await run(["export", "--after", "aud_one_000000001201"], aged)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("There is no record aud_one_000000001201"),
    });
  });
});
