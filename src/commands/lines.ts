/** Lines of text, from a file and to one or to standard output. What fails is a `StartError` that names the file. */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { endsWithinLine } from "../audit/torn-line.js";
import { StartError } from "../errors.js";

export interface Lines {
  /** Resolves when there is room for more. */
  print(line: string): Promise<void>;
  /** Resolves once every line is written; to be called before the result is taken for done. */
  close(): Promise<void>;
}

export interface Line {
  readonly text: string;
  /** False for what stands behind the last end of a line. */
  readonly isEnded: boolean;
}

/** In UTF-16 code units. No line of ours comes near it. */
const MOST_IN_A_LINE = 2 ** 20;
/** What some editors and shells put before UTF-8. */
const MARK = /^\ufeff/;

/**
 * Without their ends, LF or CRLF, and nothing else ends one: node's own reader takes U+2028, which may stand in JSON, for an
 * end. Of one that is too long to be ours, the beginning. Throws a `StartError` when the file cannot be read.
 */
export async function* linesOf(file: string): AsyncGenerator<Line> {
  let begun = "";
  let isFirst = true;
  try {
    for await (const chunk of createReadStream(file, "utf8")) {
      const [end, ...lines] = (isFirst ? chunk.replace(MARK, "") : chunk).split("\n");
      isFirst = false;
      if (begun.length < MOST_IN_A_LINE) begun = (begun + end).slice(0, MOST_IN_A_LINE);
      for (const line of lines) {
        yield { text: begun.replace(/\r$/, ""), isEnded: true };
        begun = line;
      }
    }
  } catch (error) {
    throw unusable(`The file ${file}`, "read", error);
  }
  if (begun !== "") yield { text: begun, isEnded: false };
}

/** Writes lines to a file, on from its end when `isContinued`, else to a new one. */
export async function openLines(file: string, isContinued: boolean): Promise<Lines> {
  const name = `The file ${file}`;
  const handle = await open(file, isContinued ? "a+" : "wx", 0o600).catch((error: unknown) => {
    throw unusable(name, "written", error);
  });
  if (await endsWithinLine(handle)) {
    await handle.close();
    throw new StartError(`${name} ends within a line: remove that line, and go on after the one before it.`);
  }
  const stream = handle.createWriteStream({ flush: true });
  // Only once it is closed is what was written on the disk.
  return linesTo(stream, name, () => finished(stream.end()));
}

/** The stream stays open, for it is the process's own. */
export function openStandardOutput(stream: Writable): Lines {
  const flush = () => new Promise<void>((resolve) => stream.write("", () => resolve()));
  return linesTo(stream, "Standard output", flush);
}

function linesTo(stream: Writable, name: string, end: () => Promise<void>): Lines {
  let failure: unknown;
  const fail = (error: unknown) => {
    failure ??= error;
  };
  // For good: a stream may fail between two lines, and without a listener that would be the end of the process.
  stream.on("error", fail);
  const attempt = async (work: () => Promise<unknown>) => {
    if (failure === undefined) await work().catch(fail);
    if (failure !== undefined) throw unusable(name, "written", failure);
  };
  return {
    print: (line) => attempt(async () => stream.write(`${line}\n`) || (await once(stream, "drain"))),
    close: () => attempt(end),
  };
}

const CURES: Readonly<Record<string, string>> = {
  EEXIST: "name one that is not there yet, or, where the command has an option to go on in it, say that",
  ENOSPC: "make room, or name another",
  EPIPE: "whatever read it has ended",
};

/** `name` begins the message. */
export function unusable(name: string, done: "read" | "written", error: unknown): StartError {
  const { code = "unknown error" } = error as NodeJS.ErrnoException;
  const cure = CURES[code] ?? "check its name, and what may be done there";
  return new StartError(`${name} cannot be ${done} (${code}): ${cure}.`, { cause: error });
}
