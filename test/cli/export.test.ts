import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CSV_HEADER, readCsv, writeCsv } from "../../src/commands/mappings/csv.js";
import { inventedId, RESOURCE_ID } from "../fixtures/mappings.js";
import { DATABASES, Operator } from "../fixtures/operator.js";

const COLUMNS =
  "issuer, subject, communication_user_id, status, created_at, last_token_issued_at, tokens_valid_after, revocation_pending, resource";

/** What a spreadsheet, a CSV reader or a database could take for something else. */
const NASTY = [
  "a,b",
  'say "hi"',
  "two\nlines",
  "two\r\nlines",
  "=1+1",
  "+49",
  " spaced ",
  "\ufeffmark",
  "ü🙂",
  "'",
  "null",
  "\\",
  "\u2028",
];

describe.each(DATABASES)("export, on %s", { timeout: 90_000 }, (kind) => {
  let operator: Operator;

  beforeEach(async () => {
    operator = await Operator.start(kind);
  });
  afterEach(async () => {
    await operator.close();
  });

  async function fill(subjects: readonly string[], resource: string) {
    await operator.withStore(async ({ mappings }) => {
      const rows = subjects.map((subject, number) => ({
        identityId: `idn_${number}`,
        user: { issuer: operator.issuer.url, subject },
        communicationUserId: inventedId(),
        status: number % 5 === 0 ? ("SUSPENDED" as const) : ("ACTIVE" as const),
        createdAt: 1_700_000_000_000 + number * 1001,
        lastTokenIssuedAt: number % 3 === 0 ? null : 1_750_000_000_000 + number,
        tokensValidAfter: number % 4 === 0 ? 1_740_000_000_000 : null,
        revocationPending: number % 10 === 0,
      }));
      for (let from = 0; from < rows.length; from += 500) await mappings.add(rows.slice(from, from + 500), resource, 1);
    });
  }

  const host = () => new URL(operator.emulator.endpoint).host;
  const stored = async (of: Operator) =>
    await of.ask(`select ${COLUMNS} from identities order by communication_user_id`);

  it.each(["csv", "jsonl"])(
    "as %s is what an import into an empty database makes the same mappings of",
    async (format) => {
      const sampled = fc.sample(fc.string({ unit: "binary", minLength: 1, maxLength: 40 }), { numRuns: 300, seed: 7 });
      const subjects = [...new Set([...NASTY, ...sampled.map((text) => text.replaceAll("\0", "-"))])];
      await fill(subjects, host());
      expect(await operator.run(["export", "--out", `all.${format}`])).toMatchObject({ code: 0 });
      const other = await Operator.start(kind);
      try {
        const variables = {
          OIDC_ISSUER: operator.issuer.url,
          ACS_CONNECTION_STRING: operator.emulator.connectionString,
        };
        const command = ["import", "--file", operator.path(`all.${format}`), "--resource-id", RESOURCE_ID];
        const { code, stdout } = await other.run(command, variables);
        expect([code, stdout]).toEqual([0, expect.stringContaining(`: ${subjects.length} added`)]);
        expect(await stored(other)).toEqual(await stored(operator));
        const pending = "select communication_user_id, action from service_work order by communication_user_id";
        expect(await other.ask(pending)).toEqual(await operator.ask(pending));
        expect(await other.run(["export", "--out", `again.${format}`], variables)).toMatchObject({ code: 0 });
        expect(readFileSync(other.path(`again.${format}`))).toEqual(readFileSync(operator.path(`all.${format}`)));
      } finally {
        await other.close();
      }
    },
  );

  it("leaves out who has no identity at the service, and says so", async () => {
    await fill(["a"], host());
    // Who exports need not be let in at the service.
    const { stdout: before } = await operator.run(["export"], { ACS_CONNECTION_STRING: "", OIDC_ISSUER: "" });
    await operator.withStore(async ({ identities }) => {
      await identities.claim({ issuer: operator.issuer.url, subject: "b" }, "idn_b", 1);
      await identities.claim({ issuer: operator.issuer.url, subject: "c" }, "idn_c", 1);
      await identities.revoke("idn_c", ["PROVISIONING"], 2, "SUSPENDED");
      await identities.delete("idn_0", ["SUSPENDED"], 2, () => "hash");
    });
    const { code, stdout, stderr } = await operator.run(["export"]);
    expect([code, stdout]).toEqual([0, `${before.split("\n")[0]}\n`]);
    expect(stderr).toContain("left out: 1 users who have no identity");
    expect(stderr).toContain("left out: 1 suspended users who have no identity");
    expect(stderr).toContain("left out: 1 identities that are being deleted");
  });

  it.each(["csv", "jsonl"])("as %s goes on wherever its file was cut off", async (format) => {
    await fill([...NASTY, "last"], host());
    await operator.run(["export", "--out", `whole.${format}`]);
    const whole = readFileSync(operator.path(`whole.${format}`));
    const resume = ["export", "--out", `part.${format}`, "--resume"];
    for (const cut of [0, 5, 140, 400, whole.length - 1, whole.length]) {
      writeFileSync(operator.path(`part.${format}`), whole.subarray(0, cut));
      expect(await operator.run(resume), `cut at ${cut}`).toMatchObject({ code: 0 });
      expect(readFileSync(operator.path(`part.${format}`)).toString(), `cut at ${cut}`).toBe(whole.toString());
    }
  });

  it.each([
    ["another's", "notes\n"],
    ["one in another order", `{"issuer":"i","communicationUserId":"b"}\n{"issuer":"i","communicationUserId":"a"}\n`],
  ])("does not go on in a file that is %s, and leaves it as it is", async (_, content) => {
    await fill(["a"], host());
    writeFileSync(operator.path("some.jsonl"), content);
    const { code, stderr } = await operator.run(["export", "--out", "some.jsonl", "--resume"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("not as an export leaves it")]);
    expect(readFileSync(operator.path("some.jsonl"), "utf8")).toBe(content);
    expect(await operator.run(["export", "--out", "some.jsonl"])).toMatchObject({ code: 2 });
  });

  // A server has the same statements, and fewer rows, for the sake of the time.
  const many = kind === "postgres" ? 20_000 : 200_000;
  it(`of ${many} mappings goes on where it was killed, and takes little memory; so does an import of the file`, {
    timeout: 300_000,
  }, async () => {
    await operator.withStore(async () => {});
    const numbers =
      kind === "postgres"
        ? `select generate_series(0, ${many - 1}) as n`
        : `with recursive numbers(n) as (select 0 union all select n + 1 from numbers where n < ${many - 1}) select n from numbers`;
    const pad = kind === "postgres" ? "lpad(n::text, 12, '0')" : "printf('%012d', n)";
    await operator.ask(
      `insert into identities (id, issuer, subject, communication_user_id, status, created_at) select 'idn_' || n, 'https://gone.example.com', 'user' || n, '8:acs:${RESOURCE_ID}_' || ${pad}, 'ACTIVE', 1 from (${numbers}) as numbered`,
    );
    // Less than the rows take.
    const frugal = { NODE_OPTIONS: "--max-old-space-size=40" };
    const command = ["export", "--out", "all.jsonl", "--resume"];
    const killed = operator.start(command, frugal);
    const size = () => statSync(operator.path("all.jsonl"), { throwIfNoEntry: false })?.size ?? 0;
    while (size() < 1_000_000) await setTimeout(5);
    killed.kill("SIGKILL");
    await killed.ended();
    // As a machine may leave it that has gone down.
    truncateSync(operator.path("all.jsonl"), size() - 7);
    expect(await operator.run(command, frugal)).toMatchObject({ code: 0 });
    const lines = readFileSync(operator.path("all.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines).toHaveLength(many);
    expect(new Set(lines.map((line) => (JSON.parse(line) as { subject: string }).subject)).size).toBe(many);
    const refusing = ["import", "--file", "all.jsonl", "--resource-id", RESOURCE_ID, "--from-line", `${many - 9999}`];
    expect(await operator.run(refusing, frugal)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining(`10000 rows up to line ${many}: 0 added, 0 there already, 10000 refused\n`),
    });
  });
});

it("reads back from CSV whatever was written to it", async () => {
  const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 200 }).map((value) => value.toWellFormed());
  await fc.assert(
    fc.asyncProperty(
      fc.array(text, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 7 }),
      async (values, step) => {
        const rows = values.map((subject) => writeCsv(["i", subject, "c"]));
        const bytes = Buffer.from(["issuer,subject,communicationUserId", ...rows, ""].join("\n"));
        const found: unknown[] = [];
        for await (const { content, end } of readCsv(inPieces(bytes, step))) {
          found.push(content);
          expect(bytes[end - 1]).toBe(10);
        }
        expect(found).toEqual(values.map((subject) => ({ issuer: "i", subject, communicationUserId: "c" })));
      },
    ),
  );
});

it("names the line on which a row of CSV begins, whatever lies between rows and within quotes", async () => {
  const text =
    'issuer,subject,communicationUserId\r\n\r\ni,"two\r\nlines",c\r\ni,s,c\r\n\r\n\r\ni,"two\nlines",c\ni,s,c';
  const lines: number[] = [];
  for await (const { line } of readCsv(inPieces(Buffer.from(text), 5))) lines.push(line);
  expect(lines).toEqual([3, 5, 8, 10]);
});

async function* inPieces(bytes: Uint8Array, step: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += step) yield bytes.subarray(from, from + step);
}

it("reads no more of a line that does not end than a row may have", async () => {
  let taken = 0;
  async function* endless() {
    yield Buffer.from(`${CSV_HEADER}\n`);
    for (; taken < 1_000_000; taken += 1000) yield Buffer.alloc(1000, "a");
  }
  await expect(readCsv(endless()).next()).rejects.toThrow(
    "cannot be read from line 2 on (a row has more than 65536 bytes)",
  );
  // The streams in between take some ahead.
  expect(taken).toBeLessThan(300_000);
});
