/** As much of Markdown as the project's pages use: fenced code, headings and links. */

export interface CodeBlock {
  readonly language: string;
  /** What stands behind the language. */
  readonly note: string;
  readonly text: string;
  /** Of the opening fence, from 1. */
  readonly line: number;
}

export interface Page {
  readonly blocks: readonly CodeBlock[];
  /** Names of headings, as in `#how-fast-it-is`. */
  readonly anchors: ReadonlySet<string>;
  readonly links: readonly Link[];
  /** The page without its code blocks. */
  readonly prose: string;
}

interface Link {
  readonly target: string;
  readonly line: number;
}

const FENCE = /^( *)```+(\S*) ?(.*)$/;

export function parsePage(text: string): Page {
  const lines = text.split("\n");
  const blocks: CodeBlock[] = [];
  const prose: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const [, indent, language = "", note = ""] = FENCE.exec(lines[at] ?? "") ?? [];
    if (indent === undefined) {
      prose.push(lines[at] ?? "");
      continue;
    }
    const end = lines.findIndex((line, index) => index > at && line.trim() === "```");
    if (end < 0) throw new Error(`the code block in line ${at + 1} has no end`);
    const inside = lines.slice(at + 1, end).map((line) => line.replace(indent, ""));
    blocks.push({ language, note: note.trim(), text: inside.join("\n"), line: at + 1 });
    prose.push(...lines.slice(at, end + 1).map(() => ""));
    at = end;
  }
  return { blocks, anchors: anchorsOf(prose), links: linksOf(prose), prose: prose.join("\n") };
}

/** As GitHub makes them. */
function anchorsOf(lines: readonly string[]): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const line of lines) {
    const [, heading] = /^#{1,6} (.+)$/.exec(line) ?? [];
    if (heading === undefined) continue;
    const name = slug(heading);
    let unique = name;
    for (let count = 1; anchors.has(unique); count++) unique = `${name}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

function slug(heading: string): string {
  const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, "")
    .replaceAll(" ", "-");
}

/** Also where the text or the link goes on in the next line. */
function linksOf(lines: readonly string[]): Link[] {
  const text = lines.join("\n").replace(/`[^`\n]*`/g, (code) => "x".repeat(code.length));
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(({ 1: target = "", index }) => ({
    target,
    line: text.slice(0, index).split("\n").length,
  }));
}
