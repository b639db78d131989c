import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readProxy, useProxy } from "../src/config/proxy.js";
import { ask } from "../src/outgoing.js";
import { ForwardProxy, type Manner, PROXY_PASSWORD } from "./fixtures/forward-proxy.js";

const FAR = "https://far.example.test/";
const exemptBy = (NO_PROXY: string) =>
  readProxy({ HTTPS_PROXY: "http://proxy.example", NO_PROXY })?.exempt.filter((name) => !NEAR.includes(name));
const NEAR = ["localhost", ".localhost", "127.0.0.1", "::1", "[::1]", "169.254.169.254"];
const addressBy = (env: Record<string, string>) => readProxy(env)?.url.reveal();

describe("the proxy", () => {
  it("is the one that the environment names, in small letters before capitals", () => {
    const [one, two, three] = ["http://one.example/", "http://two.example/", "https://three.example:3128/"];
    expect(addressBy({ HTTPS_PROXY: one, https_proxy: two })).toBe(two);
    expect(addressBy({ HTTPS_PROXY: one, https_proxy: "" })).toBe(one);
    expect(addressBy({ ALL_PROXY: three, http_proxy: one })).toBe(three);
    expect(addressBy({ HTTP_PROXY: one })).toBe(one);
    expect(addressBy({ HTTPS_PROXY: " HTTP://user:%40@one.example \n" })).toBe("http://user:%40@one.example/");
    // Not asked for.
    expect(addressBy({ HTTPS_PROXY: one, ALL_PROXY: "socks5://two.example" })).toBe(one);
    expect(readProxy({ HTTPS_PROXY: " " })).toBeNull();
  });

  it.each(["proxy.example:3128", "socks5://proxy.example", "http://user:100%@proxy.example", "//proxy", "http://"])(
    "is none that is called %s",
    (address) => {
      expect(() => readProxy({ https_proxy: address })).toThrow(
        /^environment: https_proxy must be the address of an HTTP proxy, such as http:\/\/proxy\.example:3128, or be unset\.$/,
      );
    },
  );

  it("is not used for the hosts that are named, nor for what is near", () => {
    expect(exemptBy(" One.example, *.two.example,,.three.example,four.example:8080 ,[fd00::1]:80")).toEqual([
      "one.example",
      ".two.example",
      ".three.example",
      "four.example",
      "[fd00::1]",
    ]);
    expect(readProxy({ HTTPS_PROXY: "http://proxy.example", no_proxy: "a.example, *" })).toBeNull();
    const identity = { HTTPS_PROXY: "http://proxy.example", IDENTITY_ENDPOINT: "http://169.254.129.4:8081/msi/token" };
    expect(readProxy(identity)?.exempt).toEqual([...NEAR, "169.254.129.4"]);
  });

  it("is told to Microsoft's client so that it means the same", () => {
    const env = { https_proxy: "HTTP://proxy.example", ALL_PROXY: "socks5://x", NO_PROXY: "*.Two.example" };
    useProxy(readProxy(env), env);
    expect(env).toEqual({
      HTTPS_PROXY: "http://proxy.example/",
      NO_PROXY: [".two.example", ...NEAR].join(","),
    });
    const none = { HTTPS_PROXY: "http://proxy.example", NO_PROXY: "*" };
    useProxy(readProxy(none), none);
    expect(none).toEqual({ NO_PROXY: "*" });
  });
});

describe("a request by a proxy", () => {
  let proxy: ForwardProxy;
  beforeEach(async () => {
    proxy = await ForwardProxy.start();
    useProxy(readProxy({ HTTPS_PROXY: proxy.url, NO_PROXY: ".near.test" }), {});
  });
  afterEach(async () => {
    useProxy(null, {});
    await proxy.close();
  });

  const manners: [Manner, RegExp][] = [
    ["silent", /aborted/],
    ["black hole", /aborted/],
    ["refuse", /^the proxy answered 407$/],
    ["refuse and reset", /^the proxy answered 502$/],
    ["close", /socket hang up|ECONNRESET/],
  ];
  it.each(manners)(
    "ends at its deadline at the latest, with its connection, where that is to %s",
    async (manner, why) => {
      proxy.manner = manner;
      const asking = Array.from({ length: 5 }, () => ask(FAR, {}, AbortSignal.timeout(300)));
      for (const answer of await Promise.allSettled(asking)) {
        expect(answer).toMatchObject({ status: "rejected" });
        const { message } = (answer as PromiseRejectedResult).reason as Error;
        expect(message).toMatch(why);
        expect(message).not.toContain(PROXY_PASSWORD);
      }
      expect(proxy.asked).toEqual(Array(5).fill("far.example.test:443"));
      await expect.poll(() => proxy.open).toBe(0);
    },
  );

  it("is none where the host is exempt, or the address is not https", async () => {
    const server: Server = createServer((_, response) => response.end());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const { statusCode } = await ask(`http://127.0.0.1:${port}/`, { method: "HEAD" }, AbortSignal.timeout(1000));
    server.close();
    expect(statusCode).toBe(200);
    for (const near of ["https://near.test/", "https://a.near.test/"])
      await expect(ask(near, {}, AbortSignal.timeout(1000))).rejects.toThrow(/ENOTFOUND|EAI_AGAIN|aborted/);
    await expect(ask("https://127.0.0.1:1/", {}, AbortSignal.timeout(1000))).rejects.toThrow("ECONNREFUSED");
    expect(proxy.asked).toEqual([]);
  });
});
