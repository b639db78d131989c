import { once } from "node:events";
import { Agent, request as ask, createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { ClientErrors } from "../../src/http/client-errors.js";

it("keeps nothing of the last request of a connection that is idle", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const clients = new ClientErrors({}, () => {});
  const requests: WeakRef<IncomingMessage>[] = [];
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    requests.push(new WeakRef(request));
    const { socket } = request;
    clients.begin(request, response);
    response.once("close", () => clients.end(socket));
    request.resume().once("end", () => response.end("{}"));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const agent = new Agent({ keepAlive: true });
  const { port } = server.address() as AddressInfo;
  for (let count = 0; count < 3; count++) {
    const [response] = (await once(ask({ agent, port, method: "POST" }).end("{}"), "response")) as [IncomingMessage];
    await once(response.resume(), "end");
  }
  await expect
    .poll(async () => {
      await setImmediate();
      collect();
      return requests.filter((request) => request.deref() !== undefined).length;
    })
    .toBe(0);
  agent.destroy();
  server.close();
});
