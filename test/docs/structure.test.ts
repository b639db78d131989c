import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";
import { parsePage } from "./markdown.js";
import { pages } from "./pages.js";

/** What a block of code may be in. `sh` is run by a test, `console` is not. */
const LANGUAGES = ["sh", "console", "ts", "graphql", "yaml", "json", "kotlin", "swift", "mermaid", "promql", "text"];

/** Where a link leads: a file of the project, and a place in it. */
function resolve(from: string, target: string): { file: string; anchor: string | undefined } {
  const [path = "", anchor] = target.split("#");
  return { file: path === "" ? from : normalize(join(dirname(from), path)), anchor };
}

const isOutside = (target: string) => /^(https?:|mailto:)/.test(target);

/** Pages that a page leads to. */
function leadsTo(file: string): string[] {
  const targets = pages.get(file)?.links.map(({ target }) => target) ?? [];
  return targets.filter((target) => !isOutside(target)).map((target) => resolve(file, target).file);
}

describe("the pages", () => {
  it("say of every block of code what language it is in", () => {
    const others = [...pages].flatMap(([file, { blocks }]) =>
      blocks.filter(({ language }) => !LANGUAGES.includes(language)).map(({ line }) => `${file}:${line}`),
    );
    expect(others).toEqual([]);
  });

  it("link to files and headings that are there", () => {
    const broken = [...pages].flatMap(([file, { links }]) =>
      links.flatMap(({ target, line }) => {
        if (isOutside(target)) return [];
        const to = resolve(file, target);
        if (!existsSync(to.file)) return [`${file}:${line} ${target}`];
        if (to.anchor === undefined) return [];
        const page = pages.get(to.file) ?? parsePage(readFileSync(to.file, "utf8"));
        return page.anchors.has(to.anchor) ? [] : [`${file}:${line} ${target}`];
      }),
    );
    expect(broken).toEqual([]);
  });

  it("can all be found from the README", () => {
    const found = new Set(["README.md"]);
    for (const file of found) for (const next of leadsTo(file)) if (pages.has(next)) found.add(next);
    expect([...pages.keys()].filter((file) => !found.has(file) && !file.startsWith("docs/decisions/"))).toEqual([]);
  });

  it("are all on the map", () => {
    const onMap = new Set(["docs/README.md", ...leadsTo("docs/README.md")]);
    const listed = (file: string) => onMap.has(file) || /^docs\/(decisions|errors)\/./.test(file);
    expect([...pages.keys()].filter((file) => file.startsWith("docs/") && !listed(file))).toEqual([]);
  });
});
