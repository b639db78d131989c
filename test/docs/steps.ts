import { readFileSync } from "node:fs";
import type { CodeBlock } from "./markdown.js";
import { isForOperations, pages } from "./pages.js";

/** A command block of an operator's page. */
export interface Step {
  /** Such as `docs/operations.md:12`. */
  readonly place: string;
  readonly text: string;
}

/** All of them, by the page's name and the heading that they stand under. */
const steps: ReadonlyMap<string, readonly Step[]> = new Map(
  [...pages]
    .filter(([file]) => isForOperations(file))
    .flatMap(([file, { blocks }]) => {
      const shell = blocks.filter(({ language }) => language === "sh");
      return [...Map.groupBy(shell, (block) => `${nameOf(file)}: ${headingOf(file, block)}`)].map(
        ([section, found]) => [section, found.map(({ line, text }) => ({ place: `${file}:${line}`, text }))] as const,
      );
    }),
);

const left = new Set([...steps.values()].flat().map(({ place }) => place));

/** The steps of a section, in order; each has to be run. */
export function stepsOf(section: string): readonly Step[] {
  const found = steps.get(section);
  if (found === undefined) throw new Error(`there is no section "${section}": ${[...steps.keys()].join(", ")}`);
  return found;
}

export function markAsRun({ place }: Step): void {
  left.delete(place);
}

/** Those that nobody has run. */
export const stepsLeft = (): string[] => [...left];

function nameOf(file: string): string {
  return file.replace(/^docs\/(incidents\/)?(.*)\.md$/, "$2");
}

function headingOf(file: string, { line }: CodeBlock): string {
  const before = readFileSync(file, "utf8").split("\n").slice(0, line);
  return before.findLast((text) => /^#+ /.test(text))?.replace(/^#+ /, "") ?? "";
}
