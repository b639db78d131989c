import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import type { Emulator } from "../../src/emulator/emulator.js";
import { clientOf, sendSigned, start, startForFile } from "./harness.js";

/** Writes bytes, then ends or cuts the connection; resolves with what came back once it is over. */
function write(emulator: Emulator, bytes: string | Buffer, cut = false): Promise<string> {
  return new Promise((resolve) => {
    let received = "";
    const socket = connect(emulator.port, "127.0.0.1", () => {
      socket.write(bytes, () => cut && setTimeout(() => socket.resetAndDestroy(), 10));
    });
    socket.setTimeout(100, () => socket.destroy());
    socket.on("data", (chunk) => {
      received += chunk;
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(received));
  });
}

const HOST = "Host: x\r\n";

const emulator = await startForFile();

test.each<[string, string | Buffer]>([
  ["nonsense", "\x16\x03\x01\x02\x00\r\n\r\n"],
  ["a header line of 100 KB", `POST /identities HTTP/1.1\r\n${HOST}x: ${"y".repeat(100_000)}\r\n\r\n`],
  ["a path of 10 KB", `POST /${"%41".repeat(3_000)} HTTP/1.1\r\n${HOST}\r\n`],
  ["a path of bytes", Buffer.from(`POST /\xff\xfe%00 HTTP/1.1\r\n${HOST}\r\n`, "latin1")],
  ["an absolute target", `POST http://x/identities?api-version=2023-10-01 HTTP/1.1\r\n${HOST}\r\n`],
  ["CONNECT", `CONNECT x:443 HTTP/1.1\r\n${HOST}\r\n`],
  ["an upgrade", `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`],
  ["two lengths", `POST /identities HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
  ["a bad chunk", `POST /identities HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n`],
  [
    "a request id of bytes",
    Buffer.from(`GET / HTTP/1.1\r\n${HOST}x-ms-client-request-id: \xe9\t\xff\r\n\r\n`, "latin1"),
  ],
  ["pipelined requests", `GET / HTTP/1.1\r\n${HOST}\r\n`.repeat(50)],
])("outlives %s", async (_name, bytes) => {
  await write(emulator, bytes);
  expect((await sendSigned(emulator, { path: "/identities?api-version=2023-10-01" })).status).toBe(201);
});

test("outlives bodies that are cut short", async () => {
  const head = `POST /identities?api-version=2023-10-01 HTTP/1.1\r\n${HOST}Content-Length: 5000\r\n\r\n`;
  await Promise.all(Array.from({ length: 20 }, () => write(emulator, `${head}{"a":`, true)));
  await write(emulator, `${head}{"a":`);
  await clientOf(emulator.connectionString).createUser();
});

test("answers many calls at once", async () => {
  const client = clientOf(emulator.connectionString);
  const users = await Promise.all(Array.from({ length: 100 }, () => client.createUserAndToken(["chat"])));
  expect(new Set(users.map(({ user }) => user.communicationUserId)).size).toBe(100);
  expect(new Set(users.map(({ token }) => token)).size).toBe(100);
});

test("closes at once though clients hold connections open", async () => {
  const own = await start();
  const sockets = ["", "POST /identities HTTP/1.1\r\n", `POST / HTTP/1.1\r\n${HOST}Content-Length: 9\r\n\r\n`].map(
    (bytes) => {
      const socket = connect(own.port, "127.0.0.1", () => socket.write(bytes));
      socket.on("error", () => undefined);
      return once(socket, "close");
    },
  );
  await clientOf(own.connectionString).createUser();
  const startedAt = performance.now();
  await own.close();
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  await Promise.all(sockets);
});
