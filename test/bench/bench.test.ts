import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parseAnswer } from "../../bench/connection.js";
import { median, spread } from "../../bench/figures.js";
import { verdict } from "../../bench/goals.js";
import { describeMachine } from "../../bench/machine.js";
import { record } from "../../bench/record.js";
import { mergeSections, renderSection } from "../../bench/results.js";
import type { BenchOptions, Measured, Suite } from "../../bench/suite.js";
import { audit } from "../../bench/suites/audit.js";
import { cold } from "../../bench/suites/cold.js";
import { identities } from "../../bench/suites/identities.js";
import { memory } from "../../bench/suites/memory.js";
import { overload } from "../../bench/suites/overload.js";
import { PEERS, peers } from "../../bench/suites/peers.js";
import { start } from "../../bench/suites/start.js";
import { trail } from "../../bench/suites/trail.js";

let folder: string;
/** Of what is under way. */
const said: string[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gateway-bench-test-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  said.length = 0;
});

const options = (): BenchOptions => ({
  rounds: 1,
  seconds: 0.1,
  records: 2000,
  queries: 1,
  answers: 100,
  arrivals: 60,
  connections: 20,
  identities: 3000,
  fresh: false,
  keep: false,
  postgres: undefined,
  folder,
  say: (line) => said.push(line),
});

/** A table has something in each cell that the machine can tell. */
function expectTables({ tables }: Measured, titles: readonly string[]): void {
  expect(tables.map(({ title }) => title)).toEqual(titles);
  for (const { columns, rows } of tables) {
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows) expect(row).toHaveLength(columns.length);
    for (const [, figure] of rows) expect(figure).toMatch(/^[\d,.]+/);
  }
}

/** Each of these has had its turn in the only round, and whoever waits was told so. */
function expectRounds(names: readonly string[]): void {
  for (const name of names)
    expect(
      said.filter((line) => line.includes("round 1 of 1") && line.includes(name)),
      name,
    ).toHaveLength(1);
}

/** It waits for servers to be built, to start and to settle: half a minute, and several times that on a slow machine. */
const PATIENCE_MS = 240_000;

describe("the benchmark", () => {
  it(
    "compares the gateway with every peer",
    async () => {
      const measured = await peers.measure(options());
      expectTables(measured, ["Servers", "This gateway ÷ its peers"]);
      const [servers, ratios] = measured.tables;
      const names = Object.values(PEERS).flatMap((peer) =>
        ["jose on each request", "verification remembered"].map((verification) => `${peer}, ${verification}`),
      );
      const gateways = ["this gateway, SQLite", "this gateway, SQLite, no trail"];
      expect(servers?.rows.map(([name]) => name)).toEqual([...gateways, ...names]);
      expectRounds([...gateways.map((name) => `${name}:`), ...names]);
      const goals = ratios?.rows.flatMap(([name, , goal, verdict]) => (goal === "–" ? [] : [[name, verdict]]));
      expect(goals).toEqual([
        ["SQLite ÷ Mercurius with JIT, jose on each request", expect.stringMatching(/^(not )?met$/)],
        ["SQLite ÷ Apollo on Express, jose on each request", expect.stringMatching(/^(not )?met$/)],
      ]);
      expect(measured.notes).toContain("Postgres is left out, as none answered.");
    },
    PATIENCE_MS,
  );

  it(
    "starts programs for their first token, and writes when, by which command and on what",
    async () => {
      const file = join(folder, "RESULTS.md");
      writeFileSync(file, mergeSections("", new Map([["trail", "## trail\n\nAs it was."]]), ["trail"]));
      const printed: string[] = [];
      await record({
        suites: { trail, start },
        names: ["start"],
        options: options(),
        command: "npm run bench -- start --rounds 1",
        file,
        now: () => Date.parse("2026-01-02T23:59:59Z"),
        print: (section) => printed.push(section),
      });
      const programs = ["`dev`", "`serve`", "Apollo on Express", "`node:http` alone"];
      expectRounds(programs);
      for (const line of said) expect(line).toMatch(/^start: /);
      const [section = ""] = printed;
      for (const program of programs) {
        for (const which of ["first", "later"])
          expect(section).toMatch(new RegExp(`^\\| .*${program}.*, ${which} start \\| [\\d.,]+ \\(`, "m"));
      }
      const circumstances = `Measured on 2026-01-02 by \`npm run bench -- start --rounds 1\`. ${describeMachine(undefined)}.`;
      expect(section.split("\n").at(-1)).toBe(circumstances);
      expect(readFileSync(file, "utf8")).toMatch(/^# Results of npm run bench\n/);
      expect(readFileSync(file, "utf8").endsWith(`\n\n## trail\n\nAs it was.\n\n${section}\n`)).toBe(true);
    },
    PATIENCE_MS,
  );

  it(
    "measures what the trail costs, and lets no answer without a token pass",
    async () => {
      expectTables(await audit.measure(options()), ["SQLite"]);
    },
    PATIENCE_MS,
  );

  it(
    "fills a trail that verifies, and asks it everything",
    async () => {
      expectTables(await trail.measure(options()), ["SQLite, commands", "SQLite, queries"]);
    },
    PATIENCE_MS,
  );

  it(
    "fills stores with few and many identities, whose users come",
    async () => {
      expectTables(await identities.measure(options()), ["SQLite"]);
    },
    PATIENCE_MS,
  );

  it(
    "measures what the gateway adds to the service's own time",
    async () => {
      expectTables(await cold.measure(options()), [expect.stringMatching(/^SQLite, \d+ tokens in each turn$/)]);
    },
    PATIENCE_MS,
  );

  it(
    "offers servers more than they can do",
    async () => {
      expectTables(await overload.measure(options()), ["Too much"]);
    },
    PATIENCE_MS,
  );

  it(
    "watches the memory of servers",
    async () => {
      expectTables(await memory.measure(options()), ["Along the way", "In the end"]);
    },
    PATIENCE_MS,
  );

  it("keeps the section of a suite that was not run", () => {
    const suite: Suite = { about: "What.", measure: () => Promise.reject(new Error("not here")) };
    const render = (name: string, cell: string) => {
      const measured = { tables: [{ title: "T", columns: ["a", "b"], rows: [["x", cell]] }], notes: ["A note."] };
      return new Map([[name, renderSection({ name, suite, measured, circumstances: "Then." })]]);
    };
    const first = mergeSections(mergeSections("", render("b", "1"), ["a", "b"]), render("a", "2"), ["a", "b"]);
    const second = mergeSections(first, render("a", "3"), ["a", "b"]);
    expect(first.indexOf("## a")).toBeLessThan(first.indexOf("## b"));
    expect(second).toBe(first.replace("| x | 2 |", "| x | 3 |"));
    expect(second).toContain("## b\n\nWhat.\n\n**T**\n\n| a | b |\n| --- | ---: |\n| x | 1 |\n\n- A note.\n\nThen.");
  });

  it("says whether a goal is met by the median", () => {
    expect(verdict({ is: "at least", value: 2 }, [1, 2, 3])).toBe("met");
    expect(verdict({ is: "at most", value: 1.9 }, [1, 2, 3])).toBe("not met");
    expect(verdict({ is: "at most", value: 1 }, [Number.NaN])).toBe("not met");
  });

  it("finds the end of an answer, whatever its pieces", () => {
    const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    expect(parseAnswer("HTTP/1.1 200 OK\r\nContent-Le")).toBeUndefined();
    expect(parseAnswer(`${head}Content-Length: 4\r\n\r\nabc`)).toBeUndefined();
    expect(parseAnswer(`${head}Content-Length: 4\r\n\r\nabcd`)).toEqual({ status: 200, body: "abcd" });
    expect(parseAnswer(`${head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`)).toBeUndefined();
    expect(parseAnswer(`${head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n`)?.body).toBe("abcd");
    expect(() => parseAnswer(`${head}\r\nabc`)).toThrow("without a length");
  });

  it("takes the median, the least and the most of all rounds", () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
    expect(spread([1234.5, 0.12345, 2])).toBe("2 (0.123–1,230)");
  });
});
