import type { IncomingMessage } from "node:http";

/** Whether a request was sent to a loopback name, and not to another that was made to point here (DNS rebinding). */
export function isLoopbackHost(request: IncomingMessage): boolean {
  const host = (request.headers.host ?? "").replace(/:\d+$/, "");
  return ["localhost", "127.0.0.1", "[::1]"].includes(host);
}
