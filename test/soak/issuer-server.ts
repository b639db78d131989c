/** A thread of its own that publishes an issuer's keys, so that it answers whatever the run is busy with. Node runs it as it is. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { parentPort } from "node:worker_threads";

export interface Published {
  readonly keys: readonly object[];
  readonly outage: "refuses" | "hangs" | "none";
}

let published: Published = { keys: [], outage: "none" };
parentPort?.on("message", (message: Published) => {
  published = message;
});

const server = createServer((request, response) => {
  const { keys, outage } = published;
  if (outage === "hangs") return;
  if (outage === "refuses") {
    response.writeHead(503).end();
    return;
  }
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const isMetadata = request.url?.startsWith("/.well-known/") === true;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(isMetadata ? { issuer, jwks_uri: `${issuer}/jwks` } : { keys }));
});
server.listen(0, "127.0.0.1", () => parentPort?.postMessage((server.address() as AddressInfo).port));
