import type { Writable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";

/** What waits for a reader of the log, in bytes. */
const MOST_WAITING = 1 << 18;

export interface LogOutput {
  write(line: string): void;
  /** Writes what waits for the end of the turn: for a process that does not reach it. */
  flush(): void;
}

/**
 * Where log lines go that share a stream with others, each in one piece. A reader that stalls holds up nobody: lines beyond a
 * bound are dropped, and the next one that fits is preceded by one that says how many.
 */
export function logOutput(stream: Writable, now: () => number): LogOutput {
  let dropped = 0;
  let lines = "";
  const flush = () => {
    if (lines !== "") stream.write(lines);
    lines = "";
  };
  // Whoever read it has gone, which is no reason to end.
  stream.on("error", () => {});
  return {
    flush,
    write: (line) => {
      if (stream.writableLength + lines.length > MOST_WAITING) {
        dropped += 1;
        return;
      }
      // All that one turn of the event loop brings is one write.
      if (lines === "") setImmediate(flush);
      if (dropped > 0) lines += sayDropped(dropped, now());
      dropped = 0;
      lines += line;
    },
  };
}

function sayDropped(lines: number, now: number): string {
  return `${JSON.stringify({ level: 40, time: new Date(now).toISOString(), lines, msg: "log lines dropped" })}\n`;
}

/** Resolves when the stream has let go of everything, or after so many milliseconds. */
export async function drained(stream: Writable, milliseconds: number): Promise<void> {
  // Lines of this turn are written in the next.
  await nextTurn();
  await new Promise<void>((resolve) => {
    stream.write("", () => resolve());
    setTimeout(resolve, milliseconds).unref();
  });
}
