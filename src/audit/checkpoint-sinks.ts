import { open } from "node:fs/promises";
import { ask } from "../outgoing.js";
import type { CheckpointSink } from "./checkpoint.js";
import { StreamOutput } from "./sink-outputs.js";
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

/** Rejects when it cannot be written to, which is better known before the first line. */
export async function tryFile(file: string): Promise<void> {
  await (await open(file, "a", 0o600)).close();
}

/** For standard output, or whatever collects it. */
export function streamSink(stream: NodeJS.WritableStream): CheckpointSink {
  const output = new StreamOutput(stream);
  return async (line) => {
    await output.write(Buffer.from(`${line}\n`));
  };
}

/**
 * Sends each line by POST; it is kept once the answer is a 2xx. No error names the address, which may hold a key.
 */
export function addressSink(address: string, timeoutMs: number): CheckpointSink {
  const headers = { "content-type": "application/json" };
  return async (line) => {
    const response = await ask(address, { method: "POST", headers, body: line }, AbortSignal.timeout(timeoutMs));
    response.destroy();
    const { statusCode = 0 } = response;
    if (statusCode < 200 || statusCode > 299) throw new Error(`the address for checkpoints answered ${statusCode}`);
  };
}
