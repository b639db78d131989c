import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { Outcome } from "./answer.js";
import { ServiceError, validationError } from "./errors.js";

/** A request read whole. `url` is the request target exactly as it came, because that is what is signed. */
export interface Received {
  readonly method: string;
  readonly url: string;
  /** The path as it came, percent-encoding untouched. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export type JsonObject = Readonly<Record<string, unknown>>;

const BODY_LIMIT_BYTES = 64 * 1024;

/** Undefined when the client went away before its request was whole. */
export async function receive(request: IncomingMessage): Promise<Received | undefined> {
  const body = await readBody(request);
  if (body === undefined) return undefined;
  const url = request.url ?? "/";
  const mark = url.indexOf("?");
  return {
    method: request.method ?? "GET",
    url,
    path: mark < 0 ? url : url.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1)),
    headers: request.headers,
    body,
  };
}

/** An absent body and the JSON value null both read as undefined. */
export function readJson(body: Buffer): JsonObject | undefined {
  if (body.length === 0) return undefined;
  const value = parseJson(body);
  if (value === null) return undefined;
  if (typeof value === "object" && !Array.isArray(value)) return value as JsonObject;
  throw validationError("The request body must be a JSON object.", "body");
}

export function respond(request: IncomingMessage, response: ServerResponse, outcome: Outcome): void {
  if (outcome === "hang") return;
  if (outcome === "drop") {
    request.socket.destroy();
    return;
  }
  const length = outcome.status === 204 ? {} : { "content-length": String(Buffer.byteLength(outcome.body)) };
  response.writeHead(outcome.status, { ...outcome.headers, ...length });
  response.end(outcome.body);
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw validationError("The request body is not valid JSON.", "body");
  }
}

function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= BODY_LIMIT_BYTES) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      reject(bodyTooLarge());
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("close", () => resolve(undefined));
  });
}

/** No recording shows what the service says here; the front door's own limits are far above this one. */
function bodyTooLarge(): ServiceError {
  return new ServiceError({
    status: 413,
    code: "RequestBodyTooLarge",
    message: `The request body is over ${BODY_LIMIT_BYTES} bytes.`,
    headers: { connection: "close" },
  });
}
