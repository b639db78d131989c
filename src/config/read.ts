import { LineCounter, parseDocument } from "yaml";
import type { Fault } from "./fault.js";

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
 * whose variable is missing stays as it was written, so that the rest of the file can be checked in the same go.
 */
export function readConfig(text: string, env: Environment): RawConfig {
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
  const value = fillIn(document.toJS(), [], env, (path, message) => {
    faults.push({ path: formatPath(path), line: lineOf(path), message });
  });
  return { value, faults, lineOf };
}

/** `issuers[0].audience` */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");
}

type Report = (path: readonly PropertyKey[], message: string) => void;

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
  return filled === "" ? null : filled;
}
