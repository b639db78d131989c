import type { IncomingMessage } from "node:http";
import { ask } from "../outgoing.js";

/** Entra ID's key set has some 15 KB. */
const MAX_BYTES = 256 * 1024;
const HEADERS = { accept: "application/json, application/jwk-set+json", "accept-encoding": "identity" };

/**
 * What is at an address. Rejects for anything but a 200, as it is, of at most 256 KB: what is compressed may be of any size.
 */
export async function fetchBytes(address: string, deadline: AbortSignal): Promise<Buffer> {
  const response = await ask(address, { headers: HEADERS }, deadline);
  try {
    const { statusCode, headers } = response;
    if (statusCode !== 200) throw new Error(`${address} answered ${statusCode}`);
    if ((headers["content-encoding"] ?? "identity") !== "identity") throw new Error(`${address} answered compressed`);
    return await readLimited(response, address);
  } finally {
    response.destroy();
  }
}

/**
 * By the clock of whoever answers there: the answer's `Date` (RFC 9110 §6.6.1) and what its `Age` in caches adds to it
 * (RFC 9111 §5.1), ms since 1970 in whole seconds. Undefined when it does not say.
 */
export async function fetchDate(address: string, deadline: AbortSignal): Promise<number | undefined> {
  const response = await ask(address, { headers: HEADERS }, deadline);
  response.destroy();
  const { headers } = response;
  const date = Date.parse(headers.date ?? "");
  const age = Number(headers.age ?? 0);
  return Number.isNaN(date) || Number.isNaN(age) ? undefined : date + age * 1000;
}

async function readLimited(response: IncomingMessage, address: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BYTES) throw new Error(`${address} has more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}
