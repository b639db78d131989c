import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { fetchBytes } from "../../src/auth/fetch-bytes.js";

const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n";

it("an address that changes the protocol is refused, and the process lives on", async () => {
  const server = createServer(({ socket }) => socket.write(SWITCH));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await expect(fetchBytes(`http://127.0.0.1:${port}/`, AbortSignal.timeout(10_000))).rejects.toThrow(
    "changed the protocol",
  );
  server.closeAllConnections();
  server.close();
});
