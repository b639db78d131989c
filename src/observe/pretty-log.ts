/** Log lines for people, on a terminal. */
import { prettyFactory } from "pino-pretty";
import { printable } from "../text.js";

interface Lines {
  write(line: string): void;
}

/** Takes JSON lines, whose secrets are hidden by then. */
export function prettyLines(to: Lines, hasColors: boolean): Lines {
  const pretty = prettyFactory({ colorize: hasColors, singleLine: true, translateTime: "HH:MM:ss.l" });
  return { write: (line) => to.write(pretty(fieldsOf(line))) };
}

/** A line is no JSON any more where a number looked like a secret; it is shown as it is then. */
function fieldsOf(line: string): unknown {
  try {
    return JSON.parse(line, harmless);
  } catch {
    return printable(line.trimEnd());
  }
}

function harmless(_: string, value: unknown): unknown {
  return typeof value === "string" ? printable(value) : value;
}
