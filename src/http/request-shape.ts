/**
 * What a request's head must be like, beyond what Node's parser holds it to: nothing that a proxy in front could read in
 * another way (RFC 9112 §11.2). A connection that brought such a request is closed.
 */
import type { IncomingMessage } from "node:http";
import { json, type WholeAnswer } from "./answer.js";

/** A token of 8 KB, a proof and a client certificate fit, and what proxies add. */
export const MAX_HEAD_BYTES = 32 * 1024;
const MAX_HEADERS = 100;

/** Node keeps one of them and drops the rest, so that two readers of the same request may see different ones. */
const SINGLE = new Set(["host", "content-length", "transfer-encoding", "content-type"]);

/** Undefined for a request that can be read in one way only. */
export function refuseShape(request: IncomingMessage): WholeAnswer | undefined {
  const { httpVersion, headers, rawHeaders } = request;
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return refuse(505, "HTTP/1.1 is spoken here.");
  if (rawHeaders.length > 2 * MAX_HEADERS) return refuse(431, `A request may have ${MAX_HEADERS} headers.`);
  const repeated = repeatedHeader(rawHeaders);
  if (repeated !== undefined) return refuse(400, `The header ${repeated} is there twice.`);
  // RFC 9112 §3.2
  if (httpVersion === "1.1" && headers.host === undefined) return refuse(400, "The header host is missing.");
  const { "transfer-encoding": coding } = headers;
  if (coding === undefined) return undefined;
  // RFC 9112 §6.1, both
  if (httpVersion === "1.0") return refuse(400, "HTTP/1.0 has no transfer-encoding.");
  if (coding.toLowerCase() !== "chunked") return refuse(501, "The only transfer-encoding is chunked.");
  return undefined;
}

function refuse(status: number, error: string): WholeAnswer {
  return json(status, { error }, { connection: "close" });
}

/** Names and values take turns in `rawHeaders`. */
function repeatedHeader(rawHeaders: readonly string[]): string | undefined {
  const seen = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? "";
    if (!SINGLE.has(name)) continue;
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}
