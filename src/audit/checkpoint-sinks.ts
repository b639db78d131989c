import { once } from "node:events";
import { open } from "node:fs/promises";
import type { CheckpointSink } from "./checkpoint.js";
import { endsWithinLine } from "./torn-line.js";

/** Adds to the file, made at the first line; a line is on disk once it resolves. */
export function fileSink(file: string): CheckpointSink {
  return async (line) => {
    const handle = await open(file, "a+", 0o600);
    try {
      const begin = (await endsWithinLine(handle)) ? "\n" : "";
      await handle.appendFile(`${begin}${line}\n`);
      await handle.datasync();
    } finally {
      await handle.close();
    }
  };
}

/** For standard output, or whatever collects it. */
export function streamSink(stream: NodeJS.WritableStream): CheckpointSink {
  return async (line) => {
    if (!stream.write(`${line}\n`)) await once(stream, "drain");
  };
}
