import { type Document, LineCounter, parseDocument } from "yaml";
import type { Fault, Report } from "./fault.js";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A file's content with the environment filled in, not yet checked. */
export interface RawConfig {
  readonly value: unknown;
  readonly faults: readonly Fault[];
  /** The line, from 1, that holds the value at this path, or the nearest thing above it. */
  lineOf(path: readonly PropertyKey[]): number | undefined;
}

/**
 * Parses the YAML text and replaces `${NAME}` and `${NAME:-default}` in its values. Environment values are put in after
 * parsing, so they can never add structure. A value that ends up empty, when it had a reference, counts as null; one
 * whose variable is missing stays as it was written, so that the rest of the file can be checked in the same go. What the
 * text leaves out is taken from the defaults, references and all.
 */
export function readConfig(text: string, env: Environment, defaults: Section): RawConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineOf = (path: readonly PropertyKey[]): number | undefined => {
    for (let length = path.length; length > 0; length--) {
      const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined;
      if (node?.range) return lines.linePos(node.range[0]).line;
    }
    return undefined;
  };
  if (document.errors.length > 0) {
    const faults = document.errors.map((error) => ({
      path: "",
      line: lines.linePos(error.pos[0]).line,
      // The parser's own message quotes the text, which may be a secret.
      message: `is not YAML: ${error.code.toLowerCase().replaceAll("_", " ")}`,
    }));
    return { value: undefined, faults, lineOf };
  }
  const faults: Fault[] = [];
  const own = toPlain(document, faults);
  const value = fillIn(isSection(own) ? overlay(defaults, own) : own, [], env, (path, message) => {
    faults.push({ path: formatPath(path), line: lineOf(path), message });
  });
  return { value, faults, lineOf };
}

type Section = Readonly<Record<string, unknown>>;

/** What a file that leaves a section or a setting out gets: all of the shipped file but who is let in, and to what. */
export function readDefaults(shipped: string): Section {
  const { issuers: _, policy: __, ...sections } = parseDocument(shipped).toJS() as Record<string, unknown>;
  return sections;
}

function toPlain(document: Document, faults: Fault[]): unknown {
  try {
    const plain: unknown = document.toJS();
    // What refers to itself has no end.
    JSON.stringify(plain);
    return plain;
  } catch {
    faults.push({
      path: "",
      message: "has an alias (*name) without its anchor, too many of them, or one within its own",
    });
    return undefined;
  }
}

function isSection(value: unknown): value is Section {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function overlay(below: Section, above: Section): Section {
  const merged = Object.entries(above).map(([key, value]) => {
    const under = Object.hasOwn(below, key) ? below[key] : undefined;
    return [key, isSection(under) && isSection(value) ? overlay(under, value) : value];
  });
  return { ...below, ...Object.fromEntries(merged) };
}

/** `issuers[0].audience` */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");
}

function fillIn(value: unknown, path: readonly PropertyKey[], env: Environment, report: Report): unknown {
  if (typeof value === "string") return fillInText(value, path, env, report);
  if (Array.isArray(value)) return value.map((item, index) => fillIn(item, [...path, index], env, report));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, fillIn(item, [...path, key], env, report)]),
    );
  }
  return value;
}

const REFERENCE = /\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}/g;

function fillInText(text: string, path: readonly PropertyKey[], env: Environment, report: Report): string | null {
  if (!text.includes("${")) return text;
  const filled = text.replace(REFERENCE, (reference, name: string, fallback: string | undefined) => {
    const value = env[name] || fallback;
    if (value === undefined) report(path, `needs the environment variable ${name}, which is not set`);
    return value ?? reference;
  });
  if (text.replace(REFERENCE, "").includes("${")) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it shows how a reference is written
    report(path, "has a reference that is neither ${NAME} nor ${NAME:-default}, in capitals");
  }
  return filled === "" ? null : filled;
}
