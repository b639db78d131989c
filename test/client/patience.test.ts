import { beforeEach, describe, expect, it, vi } from "vitest";
import type { TokenRefresherOptions } from "../../src/client/client.js";
import { TcpProxy } from "../fixtures/tcp-proxy.js";
import { RevokeMyAccessTokensDocument } from "../generated/graphql.js";
import { ClientRig } from "./client-rig.js";
import type { ForeignAnswer } from "./foreign-server.js";
import type { BareSignal } from "./surroundings.js";

const own = ClientRig.use();

const tokenAnswer = (token: string, expiresOn: string, refreshAfter: string) =>
  `{"data":{"issueAccessToken":{"accessToken":{"token":${token},"expiresOn":"${expiresOn}","refreshAfter":"${refreshAfter}"},"userErrors":[]}}}`;

const never = () => new Promise<never>(() => {});

describe("what can pass is waited for", () => {
  it("no network, and goes on when it is back", async () => {
    const network = await TcpProxy.start(new URL(own.rig.gateway.url));
    network.cut();
    try {
      const call = own.refresher({
        url: `http://127.0.0.1:${network.port}/graphql`,
        onRetry: (error, seconds) => {
          if (own.world.pauses.length === 3) network.mend();
          own.world.skipPause(error, seconds);
        },
      })();
      expect(await own.rig.isActive((await call).token)).toBe(true);
      expect(own.world.pauses.map(({ code }) => code)).toEqual(Array.from({ length: 4 }, () => "NETWORK_ERROR"));
    } finally {
      await network.close();
    }
  });

  it("what the gateway says can be retried, no sooner than it asks for", async () => {
    await own.rig.fault({ operation: "*", kind: "status", status: 400, times: 2 });
    const outcome = await own.refresher()();
    expect(await own.rig.isActive(outcome.token)).toBe(true);
    expect(own.world.pauses.map(({ code }) => code)).toEqual(["UPSTREAM_UNAVAILABLE", "UPSTREAM_UNAVAILABLE"]);
    for (const { seconds } of own.world.pauses) expect(seconds).toBeGreaterThanOrEqual(5);
  });

  it("a refusal for which the gateway says how long", async () => {
    const first = await own.refresher()();
    await own.rig.fault({ operation: "revokeAccessTokens", kind: "status", status: 503, times: 3 });
    await own.member.ask(RevokeMyAccessTokensDocument);
    const second = await own.refresher({
      // The gateway needs the time that it asks for.
      onRetry: ({ code }, seconds) => {
        own.world.pauses.push({ code, seconds });
        setTimeout(() => own.world.elapse(seconds), seconds * 1000);
      },
    })();
    expect(second.token).not.toBe(first.token);
    expect(await own.rig.isActive(second.token)).toBe(true);
    expect(own.world.pauses[0]).toMatchObject({ code: "REVOCATION_PENDING" });
    for (const { seconds } of own.world.pauses) expect(seconds).toBeGreaterThanOrEqual(1);
  });

  const passing: [string, ForeignAnswer, code: string, seconds: number][] = [
    ["a proxy's 502", { status: 502, body: "<html>Bad Gateway</html>" }, "UNEXPECTED_ANSWER", 0],
    [
      "what a router in front of the gateway passes on, with a 200",
      {
        body: '{"data":null,"errors":[{"message":"","extensions":{"code":"STORE_UNAVAILABLE","retryable":true,"retryAfterSeconds":6}}]}',
      },
      "STORE_UNAVAILABLE",
      6,
    ],
    [
      "a proxy's 503 with the seconds to wait",
      { status: 503, headers: { "retry-after": "7" } },
      "UNEXPECTED_ANSWER",
      7,
    ],
    [
      "a date that has passed",
      { status: 503, headers: { "retry-after": new Date(0).toUTCString() } },
      "UNEXPECTED_ANSWER",
      0,
    ],
    ["a Retry-After that is none", { status: 503, headers: { "retry-after": "soon" } }, "UNEXPECTED_ANSWER", 0],
    ["the login page of a network", { status: 200, body: "<html>Welcome to the hotel</html>" }, "UNEXPECTED_ANSWER", 0],
    ["JSON of somebody else's", { status: 200, body: "[null]" }, "UNEXPECTED_ANSWER", 0],
    ["null", { status: 200, body: "null" }, "UNEXPECTED_ANSWER", 0],
    ["a 500 of another GraphQL server", { status: 500, body: '{"errors":[{"message":"x"}]}' }, "UNEXPECTED_ANSWER", 0],
    [
      "the gateway's 408 for a request that came too slowly",
      { status: 408, body: '{"error":"The request took too long to arrive."}' },
      "UNEXPECTED_ANSWER",
      0,
    ],
    ["a 425", { status: 425 }, "UNEXPECTED_ANSWER", 0],
    [
      "a token that has ended by the device's clock",
      { body: tokenAnswer('"x"', "2020-01-01T00:00:00.000Z", "2020-01-01T00:00:00.000Z") },
      "CLOCK_WRONG",
      0,
    ],
    [
      "a token that is no text",
      { body: tokenAnswer("{}", "2999-01-01T00:00:00.000Z", "2998-01-01T00:00:00.000Z") },
      "UNEXPECTED_ANSWER",
      0,
    ],
    ["a token without an end", { body: tokenAnswer('"x"', "soon", "soon") }, "UNEXPECTED_ANSWER", 0],
    ["a connection that is cut before the answer", { cuts: "at once" }, "NETWORK_ERROR", 0],
    ["a connection that is cut within the answer", { cuts: "within" }, "NETWORK_ERROR", 0],
  ];
  it.each(passing)("%s", async (_, answer, code, seconds) => {
    own.foreign.answerWith(answer);
    await untilGatewayAfter(3);
    expect(own.world.pauses).toEqual(Array.from({ length: 3 }, () => ({ code, seconds })));
  });

  it("a proxy's 429 with a date", async () => {
    const began = own.world.now;
    const date = new Date(began + 20_000).toUTCString();
    own.foreign.answerWith({ status: 429, headers: { "retry-after": date } });
    await untilGatewayAfter(1);
    expect(own.world.pauses[0]?.seconds).toBe((Date.parse(date) - began) / 1000);
  });

  /** The foreign server answers so often, then the gateway does. */
  async function untilGatewayAfter(times: number, options: Partial<TokenRefresherOptions> = {}): Promise<void> {
    const urls = Array.from({ length: times }, () => own.foreign.url);
    const refresher = own.refresher({
      giveUpAfterSeconds: Number.POSITIVE_INFINITY,
      fetch: (url, init) => own.world.fetch(urls.shift() ?? url, init),
      ...options,
    });
    expect(await own.rig.isActive((await refresher()).token)).toBe(true);
  }

  it.each(["at once", "within"] as const)("an answer that does not come in time, hanging %s", async (hangs) => {
    own.foreign.answerWith({ hangs });
    const call = untilGatewayAfter(2);
    for (let tries = 1; tries <= 2; tries++) {
      await own.world.untilAsked(tries);
      await expect.poll(() => own.world.timers.size).toBe(1);
      own.world.elapse(14.9);
      expect(own.world.pauses).toHaveLength(tries - 1);
      own.world.elapse(0.1);
      await expect.poll(() => own.world.pauses.length).toBe(tries);
    }
    await call;
    expect(own.world.pauses.map(({ code }) => code)).toEqual(["TIMEOUT", "TIMEOUT"]);
  });

  it("a fetch that does not hear of the time-out is not waited for", async () => {
    const signals: AbortSignal[] = [];
    const call = own.refresher({
      tryTimeoutSeconds: 2,
      fetch: (url, init) => (signals.push(init.signal) === 1 ? never() : own.world.fetch(url, init)),
    })();
    await expect.poll(() => own.world.timers.size).toBe(1);
    own.world.elapse(2);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    expect(await call).toMatchObject({ token: expect.any(String) });
  });

  it("an answer that may take for ever", async () => {
    expect(await own.refresher({ tryTimeoutSeconds: Number.POSITIVE_INFINITY })()).toMatchObject({
      token: expect.any(String),
    });
    expect(own.world.pauses).toEqual([]);
  });

  it("longer each time, up to half a minute, and at random between nothing and that", async () => {
    own.foreign.answerWith({ status: 502 });
    for (const random of [0, 0.5]) {
      own.world.random = random;
      own.world.pauses.length = 0;
      await untilGatewayAfter(8);
      const longest = [1, 2, 4, 8, 16, 30, 30, 30];
      expect(own.world.pauses.map(({ seconds }) => seconds)).toEqual(longest.map((seconds) => seconds * random));
    }
  });

  it("an hour at most, whatever the server asks for", async () => {
    own.foreign.answerWith({ status: 503, headers: { "retry-after": "99999999999" } });
    await untilGatewayAfter(1);
    expect(own.world.pauses[0]?.seconds).toBe(3600);
  });

  it("also when the app fails at being told of it", async () => {
    own.foreign.answerWith({ status: 502 });
    const onRetry = vi.fn((...given: Parameters<typeof own.world.skipPause>) => {
      own.world.skipPause(...given);
      throw new Error("the app's own");
    });
    await untilGatewayAfter(1, { onRetry });
    expect(onRetry).toHaveBeenCalledTimes(1);
  });
});

describe("how long it goes on", () => {
  beforeEach(() => {
    own.foreign.answerWith({ status: 502 });
    own.world.random = 0.999;
  });

  it("for the first token half a minute, so that the app can tell", async () => {
    const began = own.world.now;
    const call = own.refresher({ url: own.foreign.url })();
    await expect(call).rejects.toMatchObject({ code: "UNEXPECTED_ANSWER", retryable: true, status: 502 });
    const seconds = (own.world.now - began) / 1000;
    expect(seconds).toBeGreaterThan(10);
    expect(seconds).toBeLessThanOrEqual(30);
  });

  it("once there was a token without end: a credential whose refresher has failed refreshes no more by itself", async () => {
    const urls = ["", ...Array.from({ length: 500 }, () => own.foreign.url)];
    const listeners: number[] = [];
    const refresher = own.refresher({
      getCallerToken: ({ signal }) => {
        listeners.push((signal as unknown as BareSignal).listeners.size);
        return own.member.token;
      },
      fetch: (url, init) => own.world.fetch(urls.shift() || url, init),
    });
    const began = own.world.now;
    await refresher();
    expect(await own.rig.isActive((await refresher()).token)).toBe(true);
    expect(new Set(listeners)).toEqual(new Set([0]));
    expect(own.world.pauses).toHaveLength(500);
    expect(own.world.now - began).toBeGreaterThan(3 * 3_600_000);
  });

  it.each([0, 10, 300])("as long as it is told, such as %i s, for each token", async (giveUpAfterSeconds) => {
    let url = `${own.rig.gateway.url}/graphql`;
    const refresher = own.refresher({ giveUpAfterSeconds, fetch: (_, init) => own.world.fetch(url, init) });
    await refresher();
    url = own.foreign.url;
    const began = own.world.now;
    await expect(refresher()).rejects.toMatchObject({ code: "UNEXPECTED_ANSWER", retryable: true });
    const seconds = (own.world.now - began) / 1000;
    expect(seconds).toBeLessThanOrEqual(giveUpAfterSeconds);
    expect(seconds).toBeGreaterThanOrEqual(Math.max(0, giveUpAfterSeconds - 30));
  });

  it("not for a wait that would end later than that", async () => {
    own.foreign.answerWith({ status: 429, headers: { "retry-after": "60" } });
    const call = own.refresher({ url: own.foreign.url })();
    await expect(call).rejects.toMatchObject({ status: 429, retryable: true, retryAfterSeconds: 60 });
    expect(own.world.asked).toHaveLength(1);
  });
});
