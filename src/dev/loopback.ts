import type { IncomingMessage } from "node:http";
import { type Answer, json } from "../http/answer.js";
import type { Handler } from "../http/routes.js";

/**
 * Whether a request comes from this machine, which a header cannot say, and to a loopback name, not to another that was made to
 * point here (DNS rebinding).
 */
export function isFromHere({ headers, socket }: IncomingMessage): boolean {
  return isLoopbackName((headers.host ?? "").replace(/:\d+$/, "")) && isLoopbackAddress(socket.remoteAddress);
}

/** Of all 127.0.0.0/8 (RFC 1122 §3.2.1.3), also as IPv6 has it. */
function isLoopbackAddress(address = ""): boolean {
  return address === "::1" || /^(::ffff:)?127\./.test(address);
}

/** As a host stands in an address: IPv6 in brackets. */
export function isLoopbackName(host: string): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(host);
}

/** For programs of this machine, by loopback names only. */
export function onLoopback(answer: () => Promise<Answer>): Handler {
  return async (request) => {
    if (isFromHere(request)) return await answer();
    return json(403, {
      error: "This is answered on http://127.0.0.1 and http://localhost only, of the machine itself.",
    });
  };
}
