import { RawConnection } from "../fixtures/raw.js";
import type { Rig } from "../fixtures/rig.js";
import { ISSUE } from "./attack.js";

/** Asks for a token with header lines that no HTTP client would send; the whole answer as text. */
export async function rawRequest(
  rig: Rig,
  lines: readonly (readonly [name: string, value: string])[],
): Promise<string> {
  const head = [
    "POST /graphql HTTP/1.1",
    `host: ${new URL(rig.gateway.url).host}`,
    "connection: close",
    "content-type: application/json",
    `content-length: ${ISSUE.length}`,
    ...lines.map(([name, value]) => `${name}: ${value}`),
  ];
  return await RawConnection.exchange(rig.gateway.url, `${head.join("\r\n")}\r\n\r\n${ISSUE}`);
}
