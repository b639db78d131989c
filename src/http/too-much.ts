/**
 * What a request is told that the gateway does not begin, for it has too much to do. Made once, in every variant: a refusal
 * costs what Node's server takes for it, an eighth of an answer, and little more.
 *
 * Clients that do not wait could still keep the gateway busy with refusals alone. So a connection that was refused is not
 * read for a while; what it sends meanwhile waits in the system.
 */
import type { IncomingMessage } from "node:http";
import { GatewayError } from "../errors.js";
import { errorBody } from "../graphql/errors.js";
import type { Answer } from "./answer.js";
import { isLong } from "./body.js";
import { wholeType } from "./media-type.js";

/** A crowd that is sent away together does not come back together. */
const LONGEST_SECONDS = 5;
/** No longer than any client is told to wait: behind a proxy the connection's next request may be somebody else's. */
const UNREAD_MS = 1000;
export const TOO_MUCH = "The gateway has too many requests under way; nothing was done for this one.";

/** `random`: 0 ≤ x < 1 */
export function createRefusal(random: () => number): (request: IncomingMessage) => Answer {
  const variants = Array.from({ length: LONGEST_SECONDS }, (_, index) => variantsOf(index + 1));
  return (request) => {
    const { kept, closed } = variants[Math.floor(random() * LONGEST_SECONDS)] ?? variantsOf(LONGEST_SECONDS);
    const mediaType = wholeType(request.headers.accept);
    // A short body is thrown away as it comes; a long one is not worth taking for that.
    if (isLong(request)) return closed[mediaType];
    request.once("close", () => leaveUnread(request));
    return kept[mediaType];
  };
}

function leaveUnread({ socket }: IncomingMessage): void {
  if (socket.destroyed) return;
  socket.pause();
  setTimeout(() => socket.resume(), UNREAD_MS).unref();
}

function variantsOf(retryAfterSeconds: number) {
  const body = errorBody(new GatewayError("UPSTREAM_UNAVAILABLE", TOO_MUCH, { retryAfterSeconds }));
  const answer = (mediaType: string, more: Record<string, string>): Answer => ({
    status: 503,
    headers: { "content-type": `${mediaType}; charset=utf-8`, "retry-after": String(retryAfterSeconds), ...more },
    body,
  });
  const answers = (more: Record<string, string>) => ({
    "application/json": answer("application/json", more),
    "application/graphql-response+json": answer("application/graphql-response+json", more),
  });
  return { kept: answers({}), closed: answers({ connection: "close" }) };
}
