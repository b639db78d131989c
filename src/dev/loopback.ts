import type { IncomingMessage } from "node:http";

/** Whether a request was sent to a loopback name, and not to another that was made to point here (DNS rebinding). */
export function isLoopbackHost(request: IncomingMessage): boolean {
  return isLoopbackName((request.headers.host ?? "").replace(/:\d+$/, ""));
}

/** As a host stands in an address: IPv6 in brackets. */
export function isLoopbackName(host: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(host);
}
