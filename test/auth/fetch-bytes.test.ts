import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { fetchBytes } from "../../src/auth/fetch-bytes.js";

const LIMIT = 256 * 1024;

async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
}
const serve = async (answer: (response: ServerResponse) => void) =>
  await listen(createServer((_, response) => answer(response)));
/** Whatever is asked, these bytes; the connection stays. */
const say = async (bytes: string) =>
  await listen(createTcpServer((socket) => socket.on("error", () => {}).once("data", () => socket.write(bytes))));
const fetched = async (address: string, deadline = AbortSignal.timeout(10_000)) =>
  String(await fetchBytes(address, deadline));

it("what is at an address is read whole, in however many pieces it comes", async () => {
  const address = await serve((response) => {
    response.write("one, ");
    setTimeout(() => response.end("two"), 20);
  });
  expect(await fetched(address)).toBe("one, two");
});

it("an address is asked for JSON as it is, on a connection of its own", async () => {
  const seen: IncomingHttpHeaders[] = [];
  const address = await serve((response) => {
    seen.push(response.req.headers);
    response.end();
  });
  expect(await fetched(address)).toBe("");
  expect(seen).toMatchObject([
    {
      accept: "application/json, application/jwk-set+json",
      "accept-encoding": "identity",
      connection: "close",
    },
  ]);
});

it.each([201, 203, 204, 301, 302, 304, 400, 404, 500, 503])("an answer of %i is refused", async (status) => {
  const address = await serve((response) => response.writeHead(status, { location: "/elsewhere" }).end());
  await expect(fetched(address)).rejects.toThrow(`${address} answered ${status}`);
});

it("an answer that is compressed, or says so, is refused", async () => {
  const encoded = async (coding: string) =>
    await serve((response) => response.writeHead(200, { "content-encoding": coding }).end("text"));
  const address = await encoded("gzip");
  await expect(fetched(address)).rejects.toThrow(`${address} answered compressed`);
  expect(await fetched(await encoded("identity"))).toBe("text");
});

it("an answer has 256 KB at most", async () => {
  const ofLength = async (length: number) => await serve((response) => response.end("x".repeat(length)));
  expect(await fetched(await ofLength(LIMIT))).toHaveLength(LIMIT);
  const address = await ofLength(LIMIT + 1);
  await expect(fetched(address)).rejects.toThrow(`${address} has more than ${LIMIT} bytes`);
});

it.each([
  [
    "changes the protocol",
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n",
    "gave no answer",
  ],
  ["speaks another", "220 mail.example.com ESMTP\r\n", "Parse Error"],
])("an address that %s is refused at once, and the process lives on", async (_, bytes, error) => {
  await expect(fetched(await say(bytes))).rejects.toThrow(error);
});

it("an address where nobody listens is refused", async () => {
  await expect(fetched("http://127.0.0.1:9/keys")).rejects.toThrow("ECONNREFUSED");
});

it("an answer that does not come, or does not end, is waited for until the deadline", async () => {
  for (const address of [await say(""), await say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")]) {
    await expect(fetched(address, AbortSignal.timeout(100))).rejects.toThrow(/timeout|aborted/);
  }
});

it("an answer that is refused is not read on: its connection ends long before the deadline", async () => {
  let closed = false;
  const address = await serve((response) => {
    response.on("close", () => {
      closed = true;
    });
    response.writeHead(500).write("an answer that does not end");
  });
  await expect(fetched(address)).rejects.toThrow("answered 500");
  await expect.poll(() => closed, { timeout: 2000 }).toBe(true);
});

it("an address that begins with https: is asked by TLS", async () => {
  let first: number | undefined;
  const server = createTcpServer((socket) => {
    socket.once("data", (bytes) => {
      [first] = bytes;
      socket.destroy();
    });
  });
  const address = await listen(server);
  await expect(fetched(address.replace("http:", "https:"))).rejects.toThrow();
  // A handshake (RFC 8446 §5.1).
  expect(first).toBe(22);
});
