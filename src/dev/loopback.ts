import type { IncomingMessage } from "node:http";
import { type Answer, json } from "../http/answer.js";
import type { Handler } from "../http/routes.js";

/** Whether a request was sent to a loopback name, and not to another that was made to point here (DNS rebinding). */
export function isLoopbackHost(request: IncomingMessage): boolean {
  return isLoopbackName((request.headers.host ?? "").replace(/:\d+$/, ""));
}

/** As a host stands in an address: IPv6 in brackets. */
export function isLoopbackName(host: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(host);
}

/** Answers to loopback names only. */
export function onLoopback(answer: () => Promise<Answer>): Handler {
  return async (request) => {
    if (isLoopbackHost(request)) return await answer();
    return json(403, { error: "This is answered on http://127.0.0.1 and http://localhost only." });
  };
}
