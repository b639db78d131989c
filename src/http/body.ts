import type { IncomingMessage } from "node:http";
import { GatewayError } from "../errors.js";
import { parseStrictJson } from "../json.js";

export const MAX_BODY_BYTES = 64 * 1024;

/** Thrown for a body over the limit, which is answered 413 and not read to its end. */
export class BodyTooLarge extends GatewayError {
  constructor() {
    super("BAD_REQUEST", `The body must have at most ${MAX_BODY_BYTES} bytes.`);
  }
}

/** Thrown for a body that does not arrive while others need its place. */
export class BodyTooSlow extends GatewayError {
  constructor() {
    super("UPSTREAM_UNAVAILABLE", "The body has not arrived in time, and there is no room to wait for it.");
  }
}

/** The client went away before its request was whole. Nobody reads the answer. */
class BodyCutOff extends GatewayError {
  constructor() {
    super("BAD_REQUEST", "The body ended too soon.");
  }
}

/** Whether a body is over the limit, or may be: one in chunks has no length. */
export function isLong({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > MAX_BODY_BYTES;
}

/** The request's JSON. Throws BAD_REQUEST for anything that is not JSON in UTF-8, or could be read in two ways. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const bytes = await readBytes(request);
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new GatewayError("BAD_REQUEST", `The body is not what it has to be, JSON in UTF-8: ${error.message}.`);
  }
}

/** The whole body. Throws BAD_REQUEST for one that is too long or was cut off. */
export async function readBytes(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) throw new BodyTooLarge();
  // It has told already that it is closed.
  if (request.destroyed) throw new BodyCutOff();
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const body = new Gathered();
  request.on("data", (chunk: Buffer) => {
    if (body.length + chunk.length <= MAX_BODY_BYTES) {
      body.add(chunk);
      return;
    }
    // The rest is not read.
    request.pause();
    reject(new BodyTooLarge());
  });
  let isWhole = false;
  request.once("end", () => {
    isWhole = true;
    resolve(body.bytes);
  });
  // Even one that has arrived is not handed over any more. Every request is closed in the end, and an error costs its stack.
  const cutOff = (why?: unknown) => {
    if (!isWhole) reject(why instanceof GatewayError ? why : new BodyCutOff());
  };
  request.once("error", cutOff);
  request.once("close", () => cutOff());
  return await promise;
}

/** Whoever reads the body waits for it no longer. */
export function giveUp(request: IncomingMessage): void {
  request.emit("error", new BodyTooSlow());
}

const NOTHING = Buffer.alloc(0);

/** In one buffer: a body may arrive byte by byte, and a buffer for each takes a hundred times its memory. */
class Gathered {
  #room: Buffer = NOTHING;
  length = 0;

  get bytes(): Buffer {
    return this.#room.length === this.length ? this.#room : this.#room.subarray(0, this.length);
  }

  add(chunk: Buffer): void {
    const length = this.length + chunk.length;
    // Nearly all come in one.
    if (this.length === 0) this.#room = chunk;
    else {
      if (length > this.#room.length) this.#room = Buffer.concat([this.bytes], 2 * length);
      chunk.copy(this.#room, this.length);
    }
    this.length = length;
  }
}
