import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { Dev } from "../fixtures/dev.js";
import type { CodeBlock, Page } from "./markdown.js";
import { isForOperations, pages } from "./pages.js";

/**
 * A reader with a shell. The blocks in `sh` and `ts run` of a page are run from top to bottom, in one shell and with a `dev`
 * of the page's own at its side, and then once more, as by a reader who comes back. Each has to end well, with answers that
 * have no errors. `sh CODE` is a block whose answers have this error and no other. A block `yaml NAME.yaml` is a file that
 * `dev` is started with.
 */
const hasCurl = spawnSync("curl", ["--version"]).status === 0;
const MARK = "---- block ";
const TYPESCRIPT = `'${process.execPath}' --import '${import.meta.resolve("tsx")}'`;

type Addresses = readonly (readonly [written: string, real: string])[];

const isRun = ({ language, note }: CodeBlock) => language === "sh" || (language === "ts" && note === "run");
const runnable = [...pages].filter(([file, { blocks }]) => !isForOperations(file) && blocks.some(isRun));

describe.runIf(hasCurl)("what the pages have a reader run, with dev beside it", () => {
  it.concurrent.each(runnable)("%s", { timeout: 120_000 }, async (_, page) => {
    // In the project, so that its packages are found.
    const programs = mkdtempSync(".docs-");
    const dev = await Dev.start(configurationOn(page));
    try {
      for (const _ of ["at first", "once more"]) {
        const { code, stdout, stderr } = await runScript(scriptOf(page, addressesOf(dev), programs), dev.folder);
        expect([code, stderr], `${stdout}\n${stderr}`).toEqual([0, ""]);
        expect(problemsIn(page, stdout)).toEqual([]);
      }
    } finally {
      await dev.close();
      rmSync(programs, { recursive: true });
    }
  });
});

function configurationOn({ blocks }: Page): { name: string; text: string } | undefined {
  const file = blocks.find(({ language, note }) => language === "yaml" && note.endsWith(".yaml"));
  return file && { name: file.note, text: file.text };
}

/** Where the pages say that things are, and where they are now. */
function addressesOf({ url, issuer, service, admin }: Dev): Addresses {
  const real = [url, issuer, service, admin].map((address) => new URL(address).host);
  return [4000, 4001, 4002, 9464].map((port, index) => [`127.0.0.1:${port}`, real[index] ?? ""]);
}

function scriptOf({ blocks }: Page, addresses: Addresses, programs: string): string {
  const parts = blocks.filter(isRun).map(({ language, line, text }) => {
    const real = withReal(text, addresses);
    if (language === "sh") return `echo; echo '${MARK}${line}'\n${real}\n`;
    const file = resolve(programs, `line-${line}.ts`);
    writeFileSync(file, real);
    return `echo; echo '${MARK}${line}'\n${TYPESCRIPT} '${file}'\n`;
  });
  return `set -eu\n${parts.join("")}`;
}

/** Two steps, so that no real address is taken for a written one. */
function withReal(text: string, addresses: Addresses): string {
  const marked = addresses.reduce((so, [written], index) => so.replaceAll(written, `\0${index}\0`), text);
  return addresses.reduce((so, [, real], index) => so.replaceAll(`\0${index}\0`, real), marked);
}

async function runScript(
  script: string,
  cwd: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const shell = spawn("sh", ["-c", script], { cwd });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    shell[name].on("data", (chunk) => {
      output[name] += chunk;
    });
  }
  const code = await new Promise<number | null>((done) => shell.once("close", done));
  return { code, ...output };
}

function problemsIn({ blocks }: Page, stdout: string): string[] {
  const outputs = new Map(stdout.split(MARK).map((part) => [Number.parseInt(part, 10), part]));
  return blocks.filter(isRun).flatMap(({ language, line, note, text }) => {
    const output = outputs.get(line);
    if (output === undefined) return [`line ${line} was not reached`];
    const codes = codesIn(output);
    const expected = language === "sh" && note !== "" ? [note] : [];
    if (codes.join() !== expected.join()) return [`line ${line} has the errors [${codes}]: ${output}`];
    return isQuiet(text) || /\bdata\b/.test(output) || expected.length > 0
      ? []
      : [`line ${line} has no answer: ${output}`];
  });
}

/** Whether a block asks nothing, or only for a variable. */
function isQuiet(text: string): boolean {
  return !text.split("\n\n").some((part) => part.includes("/graphql") && !/^\w+=\$\(/.test(part));
}

/** The codes of errors and user errors in the answers, each once. */
function codesIn(output: string): string[] {
  // curl ends no line.
  const lines = output
    .replaceAll("}{", "}\n{")
    .replace(/^data: /gm, "")
    .split("\n");
  const answers = lines.filter((line) => line.startsWith("{")).map(readAnswer);
  return [...new Set(answers.flatMap(findCodes))];
}

function readAnswer(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}

function findCodes(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(findCodes);
  if (typeof value !== "object" || value === null) return [];
  const { errors, userErrors } = value as { errors?: unknown[]; userErrors?: unknown[] };
  const own = [...(errors ?? []), ...(userErrors ?? [])].map((error) => {
    const { code, extensions } = error as { code?: string; extensions?: { code?: string } };
    return code ?? extensions?.code ?? "unknown";
  });
  return [...own, ...Object.values(value).flatMap(findCodes)];
}
