import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import type { CheckpointSink } from "./checkpoint.js";

/** Adds to the file, made at the first line; a line is on disk once it resolves. */
export function fileSink(file: string): CheckpointSink {
  return async (line) => {
    const handle = await open(file, "a+", 0o600);
    try {
      const isTorn = !["", "\n"].includes(await lastCharacter(handle));
      await handle.appendFile(`${isTorn ? "\n" : ""}${line}\n`);
      await handle.datasync();
    } finally {
      await handle.close();
    }
  };
}

/** A crash or a full disk may have left half a line, which must not spoil the next one. */
async function lastCharacter(handle: FileHandle): Promise<string> {
  const { size } = await handle.stat();
  if (size === 0) return "";
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer.toString("latin1");
}

/** For standard output, or whatever collects it. */
export function streamSink(stream: NodeJS.WritableStream): CheckpointSink {
  return async (line) => {
    if (!stream.write(`${line}\n`)) await once(stream, "drain");
  };
}
