import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { linesOf } from "../../src/commands/lines.js";

const folder = mkdtempSync(join(tmpdir(), "gateway-lines-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function linesIn(content: string): Promise<string[]> {
  const file = join(folder, "lines.txt");
  writeFileSync(file, content);
  const lines: string[] = [];
  for await (const { text } of linesOf(file)) lines.push(text);
  return lines;
}

it("tells lines without their ends, whatever chunks they are read in", async () => {
  const lines = Array.from({ length: 3000 }, (_, number) => `${number} ${"é".repeat(number % 200)}`);
  for (const end of ["\n", "\r\n"]) {
    expect(await linesIn(lines.map((line) => `${line}${end}`).join(""))).toEqual(lines);
    expect(await linesIn(lines.join(end))).toEqual(lines);
  }
  expect(await linesIn("")).toEqual([]);
});

it("passes over the mark that some tools put before UTF-8, and over nothing like it elsewhere", async () => {
  expect(await linesIn("\ufeffone\n\ufefftwo\n")).toEqual(["one", "\ufefftwo"]);
  expect(await linesIn("one \ufeff\n")).toEqual(["one \ufeff"]);
});

it("keeps no more than the beginning of a line that is too long to be ours, and reads on behind it", async () => {
  const lines = await linesIn(`one\n${"x".repeat(2 ** 26)}\ntwo\n`);
  expect(lines).toEqual(["one", "x".repeat(2 ** 20), "two"]);
});
