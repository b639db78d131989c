import type { IncomingMessage } from "node:http";
import { type Answer, json } from "./answer.js";

export type Handler = (request: IncomingMessage, requestId: string) => Promise<Answer>;

/** By path, without the query. */
export type Routes = ReadonlyMap<string, Handler>;

export async function route(routes: Routes, request: IncomingMessage, requestId: string): Promise<Answer> {
  const handler = routes.get(pathOf(request.url));
  if (handler === undefined)
    return json(404, { error: `There is nothing at this path. Try ${[...routes.keys()].join(", ")}.` });
  return await handler(request, requestId);
}

/** For what is only looked at. */
export function getOnly(handler: Handler): Handler {
  return async (request, requestId) => {
    if (request.method === "GET" || request.method === "HEAD") return await handler(request, requestId);
    return json(405, { error: "This is served by GET and HEAD only." }, { allow: "GET, HEAD" });
  };
}

/** Of either form; the host in an absolute one counts for as little as the header does (RFC 9112 §3.2.2). */
export function pathOf(target = "/"): string {
  const path = target.replace(/^https?:\/\/[^/?#]*/i, "").split("?", 1)[0];
  return path || "/";
}
