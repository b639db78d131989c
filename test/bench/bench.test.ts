import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseAnswer } from "../../bench/connection.js";
import { median, spread } from "../../bench/figures.js";
import { verdict } from "../../bench/goals.js";
import { mergeSections, renderSection } from "../../bench/results.js";
import type { BenchOptions, Measured, Suite } from "../../bench/suite.js";
import { audit } from "../../bench/suites/audit.js";
import { cold } from "../../bench/suites/cold.js";
import { identities } from "../../bench/suites/identities.js";
import { memory } from "../../bench/suites/memory.js";
import { overload } from "../../bench/suites/overload.js";
import { trail } from "../../bench/suites/trail.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gateway-bench-test-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
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
  say: () => {},
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

/** It waits for servers to be built, to start and to settle: half a minute, and several times that on a slow machine. */
const PATIENCE_MS = 240_000;

describe("the benchmark", () => {
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
