import type { IncomingMessage } from "node:http";
import type { Handler } from "../../http/routes.js";
import { isLoopbackName } from "../loopback.js";

/** Readable by web pages of this machine, whose port nobody knows beforehand; never by others. */
export function forPagesHere(handler: Handler): Handler {
  return async (request, requestId) => {
    const headers = {
      vary: "Origin",
      ...(isFromHere(request) && { "access-control-allow-origin": request.headers.origin }),
    };
    if (request.method === "OPTIONS") {
      const preflight = {
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "content-type, accept",
      };
      return { status: 204, headers: { ...headers, ...preflight }, body: "" };
    }
    const answer = await handler(request, requestId);
    return { ...answer, headers: { ...answer.headers, ...headers } };
  };
}

function isFromHere({ headers: { origin } }: IncomingMessage): boolean {
  const hostname = origin === undefined ? undefined : URL.parse(origin)?.hostname;
  return hostname !== undefined && isLoopbackName(hostname);
}
