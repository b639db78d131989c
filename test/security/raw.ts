import { connect } from "node:net";
import type { Rig } from "../fixtures/rig.js";
import { ISSUE } from "./attack.js";

/** Sends a request with header lines that no HTTP client would; the whole answer as text. */
export async function rawRequest(
  rig: Rig,
  lines: readonly (readonly [name: string, value: string])[],
): Promise<string> {
  const { hostname, port } = new URL(rig.gateway.url);
  const socket = connect(Number(port), hostname);
  const head = [
    "POST /graphql HTTP/1.1",
    `host: ${hostname}:${port}`,
    "connection: close",
    "content-type: application/json",
    `content-length: ${ISSUE.length}`,
    ...lines.map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${ISSUE}`);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}
