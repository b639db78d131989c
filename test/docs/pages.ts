import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type CodeBlock, type Page, parsePage } from "./markdown.js";

const FOLDERS = ["docs", "examples"];

/** Every page for users and contributors, by its path from the project's folder. */
export const pages: ReadonlyMap<string, Page> = new Map(
  [...pagesIn("."), ...FOLDERS.flatMap((folder) => pagesIn(folder, true))].map((file) => [
    file,
    parsePage(readFileSync(file, "utf8")),
  ]),
);

/** Those whose commands are run by operations.test.ts, in production's surroundings, and not beside `dev`. */
export const isForOperations = (file: string): boolean => /^docs\/(operations\.md|incidents\/)/.test(file);

/** All blocks of a language, each with where it is, as an editor takes it. */
export function blocksIn(...languages: readonly string[]): [place: string, block: CodeBlock][] {
  return [...pages].flatMap(([file, { blocks }]) =>
    blocks
      .filter(({ language }) => languages.includes(language))
      .map((block): [string, CodeBlock] => [`${file}:${block.line}`, block]),
  );
}

function pagesIn(folder: string, recursive = false): string[] {
  const files = readdirSync(folder, { recursive, encoding: "utf8" });
  return files.filter((file) => file.endsWith(".md")).map((file) => join(folder, file));
}
