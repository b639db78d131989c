import { expect, it } from "vitest";
import type { GatewayError } from "../../src/errors.js";
import type { Answer } from "../../src/http/answer.js";
import { readJson } from "../../src/http/body.js";
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
