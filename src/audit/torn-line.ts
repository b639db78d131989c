import type { FileHandle } from "node:fs/promises";

/** Whether the file ends in half a line, as a crash or a full disk leaves it, to which the next one would be glued. */
export async function endsWithinLine(handle: FileHandle): Promise<boolean> {
  const { size } = await handle.stat();
  if (size === 0) return false;
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer.toString("latin1") !== "\n";
}
