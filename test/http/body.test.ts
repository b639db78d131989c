import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import type { GatewayError } from "../../src/errors.js";
import type { Answer } from "../../src/http/answer.js";
import { readBytes, readJson } from "../../src/http/body.js";
import { listen } from "../../src/http/server.js";
import { RawConnection } from "../fixtures/raw.js";

it.each([
  ["in the middle of its body", '{"query":'],
  ["behind its body", '{"query":"{ a }"}'],
])("a request whose client broke off %s, before that was asked for, does not keep anybody waiting", async (_, body) => {
  const begun = Promise.withResolvers<void>();
  const failed = Promise.withResolvers<unknown>();
  const handler = async (request: Parameters<typeof readJson>[0]): Promise<Answer> => {
    begun.resolve();
    if (!request.closed) await new Promise<void>((resolve) => request.once("close", resolve));
    await readJson(request).then(() => failed.resolve(undefined), failed.resolve);
    return { status: 200, headers: {}, body: "" };
  };
  const listener = await listen({
    host: "127.0.0.1",
    port: 0,
    portVariable: "PORT",
    routes: new Map([["/", handler]]),
    clientTimeoutMs: 1000,
    keepAliveMs: 1000,
    maxConnections: 10,
    fixedHeaders: {},
    onRefused: () => {},
    onFailure: () => {},
  });
  const connection = await RawConnection.open(listener.url);
  connection.send(`POST / HTTP/1.1\r\nhost: gateway\r\ncontent-length: 17\r\n\r\n${body}`);
  await begun.promise;
  connection.socket.resetAndDestroy();
  expect((await failed.promise) as GatewayError).toMatchObject({ code: "BAD_REQUEST" });
  await listener.close();
});

it("a body that comes byte by byte takes little more memory than it has bytes", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const read = Promise.withResolvers<Buffer>();
  const listener = await listen({
    host: "127.0.0.1",
    port: 0,
    portVariable: "PORT",
    routes: new Map([
      [
        "/",
        async (request) => {
          request.on("data", (chunk: Buffer) => {
            arrived += chunk.length;
          });
          read.resolve(await readBytes(request));
          return { status: 200, headers: {}, body: "" };
        },
      ],
    ]),
    clientTimeoutMs: 60_000,
    keepAliveMs: 1000,
    maxConnections: 10,
    fixedHeaders: {},
    onRefused: () => {},
    onFailure: (_, error) => read.reject(error),
  });
  let arrived = 0;
  const connection = await RawConnection.open(listener.url);
  connection.send("POST / HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n\r\n");
  const heap = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = heap();
  connection.send("1\r\nx\r\n".repeat(60_000));
  await expect.poll(() => arrived, { timeout: 20_000 }).toBe(60_000);
  expect(heap() - before).toBeLessThan(3_000_000);
  connection.send("0\r\n\r\n");
  expect((await read.promise).toString()).toBe("x".repeat(60_000));
  connection.close();
  await listener.close();
});
