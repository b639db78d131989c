/**
 * A request of the platform, sent on to a port of this process. The gateway's HTTP server reads it as it reads any other, so that
 * no limit, header or refusal has to be made a second time for this place.
 */
import { type IncomingMessage, type OutgoingHttpHeaders, request as open } from "node:http";
import { buffer } from "node:stream/consumers";
import type { HttpRequest, HttpResponseInit } from "@azure/functions";
import { MAX_BODY_BYTES } from "../http/body.js";

interface Target {
  /** Such as http://127.0.0.1:4000. */
  readonly url: string;
  /** Given to the request unless it has one. */
  readonly requestId: string;
}

/** Of one connection (RFC 9110 §7.6.1), which here ends before; and what is counted anew. */
const OF_THE_CONNECTION = new Set([
  ...["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"],
  ...["content-length", "date"],
]);

/** Rejects when the port does not answer. */
export async function forward(request: HttpRequest, target: Target): Promise<HttpResponseInit> {
  const { pathname, search } = new URL(request.url);
  const headers = { "x-request-id": target.requestId, ...Object.fromEntries(headersOf(request)) };
  const body = await readBody(request);
  return await send(target.url, { method: request.method, path: `${pathname}${search}`, headers }, body);
}

/** The platform's host hands over a body only when its length was said, and the request without it otherwise. */
export function hasLostItsBody({ headers, body }: HttpRequest): boolean {
  return body === null && headers.has("transfer-encoding");
}

/** Asks a port for something of its own. */
export async function fetchFrom(url: string, path: string): Promise<HttpResponseInit> {
  return await send(url, { method: "GET", path, headers: { host: new URL(url).host } }, Buffer.alloc(0));
}

interface Head {
  readonly method: string;
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
}

async function send(url: string, head: Head, body: Buffer): Promise<HttpResponseInit> {
  const { hostname, port } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const length = body.length > 0 ? { "content-length": body.length } : {};
  // A connection of its own costs less here than the doubt whether a kept one is still there.
  const options = { ...head, hostname, port, headers: { ...head.headers, ...length }, agent: false, setHost: false };
  // A refusal may come before the whole request was taken, and the connection break after it.
  open(options, resolve).once("error", reject).end(body);
  const answer = await promise;
  return { status: answer.statusCode ?? 500, headers: answerHeaders(answer), body: await buffer(answer) };
}

function headersOf({ headers }: HttpRequest): [string, string][] {
  return [...headers.entries()].filter(([name]) => !OF_THE_CONNECTION.has(name));
}

function answerHeaders({ headers }: IncomingMessage): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => !OF_THE_CONNECTION.has(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, [value].flat().join(", ")]));
}

/** As much as it takes for a body that is too long to be one. */
async function readBody({ body }: HttpRequest): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_BODY_BYTES) break;
  }
  return Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES + 1);
}
