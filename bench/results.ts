/** RESULTS.md: a section for each suite, in which a run replaces those of its own suites and leaves the others. */
import type { Measured, Suite, Table } from "./suite.js";

interface Section {
  readonly name: string;
  readonly suite: Suite;
  readonly measured: Measured;
  /** When, by which command, on what. */
  readonly circumstances: string;
}

const HEAD = `# Results of npm run bench

Each section is what the last run of its suite wrote. Ratios hold elsewhere, absolute figures do not. A ratio is of two
figures of the same round; given are the median of all rounds and, in brackets, the least and the most.
`;

export function renderSection({ name, suite, measured, circumstances }: Section): string {
  const notes = measured.notes.map((note) => `- ${note}`).join("\n");
  return [`## ${name}`, suite.about.trim(), ...measured.tables.map(renderTable), notes, circumstances]
    .filter((part) => part !== "")
    .join("\n\n");
}

function renderTable({ title, columns, rows }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = line(columns.map((_, column) => (column === 0 ? "---" : "---:")));
  return [`**${title}**\n`, line(columns), rule, ...rows.map(line)].join("\n");
}

/** `names` is all suites, in the order of the file. */
export function mergeSections(
  previous: string,
  rendered: ReadonlyMap<string, string>,
  names: readonly string[],
): string {
  const kept = previous.split(/^(?=## )/m).map((section) => section.trim());
  const sections = names.flatMap(
    (name) => rendered.get(name) ?? kept.find((section) => section.startsWith(`## ${name}\n`)) ?? [],
  );
  return `${[HEAD.trim(), ...sections].join("\n\n")}\n`;
}
