import { open } from "node:fs/promises";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
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

/** For standard output, or whatever collects it. */
export function streamSink(stream: NodeJS.WritableStream): CheckpointSink {
  const output = new StreamOutput(stream);
  return async (line) => {
    await output.write(Buffer.from(`${line}\n`));
  };
}

/**
 * Sends each line by POST; it is kept once the answer is a 2xx. A redirect is none: it may lead where nobody has looked.
 * No error names the address, which may hold a key.
 */
export function addressSink(address: string, timeoutMs: number): CheckpointSink {
  return async (line) => {
    const status = await post(address, line, AbortSignal.timeout(timeoutMs));
    if (status < 200 || status > 299) throw new Error(`the address for checkpoints answered ${status}`);
  };
}

/** The status of the answer. Not by `fetch`, for the reason that `fetchBytes` gives. */
function post(address: string, line: string, signal: AbortSignal): Promise<number> {
  const request = address.startsWith("http:") ? requestHttp : requestHttps;
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(line) };
  return new Promise((resolve, reject) => {
    // A connection of its own: it is a rare call, and one kept alive may be dead by then.
    const sent = request(address, { method: "POST", agent: false, headers, signal });
    sent.on("error", reject);
    sent.on("upgrade", (_, socket) => {
      // The socket is let go of then, so that neither an error nor the abort is heard.
      socket.on("error", () => {}).destroy();
      reject(new Error("the protocol was changed"));
    });
    sent.on("response", (response) => {
      response.on("error", () => {});
      response.destroy();
      resolve(response.statusCode ?? 0);
    });
    sent.end(line);
  });
}
