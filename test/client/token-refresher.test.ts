import { runInContext } from "node:vm";
import { decodeJwt } from "jose";
import { describe, expect, expectTypeOf, it, vi } from "vitest";
import { createTokenRefresher, type TokenRefresherOptions, type TokenScope } from "../../src/client/client.js";
import { DpopClient } from "../fixtures/dpop.js";
import { IssueAccessTokenDocument, type TokenScope as TokenScopeOfSchema } from "../generated/graphql.js";
import { ClientRig } from "./client-rig.js";
import { BareController } from "./surroundings.js";

const MINUTE = 60_000;

const own = ClientRig.use();

const never = () => new Promise<never>(() => {});

function tellAnd<Given extends unknown[], Got>(begun: () => void, work: (...given: Given) => Got) {
  return (...given: Given): Got => {
    begun();
    return work(...given);
  };
}

function noting(headers: { get(name: string): string | null }, read: Set<string>) {
  return {
    get(name: string) {
      read.add(name);
      return headers.get(name);
    },
  };
}

describe("a token refresher", () => {
  it("gives the user's token, when it ends and when to come back", async () => {
    const { token, expiresOnTimestamp, refreshAfterTimestamp } = await own.refresher()();
    expect(await own.rig.isActive(token)).toBe(true);
    // A JWT's own is in whole seconds.
    expect(Math.floor(expiresOnTimestamp / 1000)).toBe(decodeJwt(token).exp);
    expect(refreshAfterTimestamp).toBeGreaterThan(Date.now());
    expect(refreshAfterTimestamp).toBeLessThan(expiresOnTimestamp - 10 * MINUTE);
    const { issueAccessToken } = await own.member.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    expect(issueAccessToken.accessToken?.token).toBe(token);
  });

  it("asks for the scopes and the lifetime that it is told, and names the app", async () => {
    own.rig.logLines.length = 0;
    const { token } = await own.refresher({
      scopes: ["CHAT_JOIN", "VOIP"],
      lifetimeMinutes: 90,
      clientName: "phone",
      clientVersion: "3.2",
    })();
    // The gateway gives a token again for these scopes and this lifetime only.
    const scopes: TokenScope[] = ["CHAT_JOIN", "VOIP"];
    const { issueAccessToken } = await own.member.ask(IssueAccessTokenDocument, { scopes, lifetimeMinutes: 90 });
    expect(issueAccessToken.accessToken?.token).toBe(token);
    expect(issueAccessToken.accessToken?.scopes).toEqual(scopes);
    expect(own.rig.logLines.join("")).toContain('"clientName":"phone"');
    expect(own.world.asked[0]?.headers).toMatchObject({ "apollographql-client-version": "3.2" });
  });

  it("gets the same token again while the gateway keeps it, and another with forceNew", async () => {
    const refresher = own.refresher();
    const { token } = await refresher();
    expect((await refresher()).token).toBe(token);
    expect((await own.refresher({ forceNew: true })()).token).not.toBe(token);
  });

  it("knows the scopes of the schema", () => {
    expectTypeOf<TokenScope>().toEqualTypeOf<TokenScopeOfSchema>();
  });

  it("runs where there is only the language, fetch, AbortController and timers", async () => {
    const missing = ["AbortSignal", "URL", "crypto", "structuredClone", "DOMException", "process", "TextEncoder"];
    for (const name of missing) expect(runInContext(`typeof ${name}`, own.world.context)).toBe("undefined");
    expect(await own.refresher()()).toMatchObject({ token: expect.any(String) });
  });

  it("calls the browser's own fetch as a function, not as a method", async () => {
    const receivers: unknown[] = [];
    const picky = function (this: unknown, ...given: Parameters<typeof fetch>) {
      receivers.push(this);
      return fetch(...given);
    };
    const options = {
      url: `${own.rig.gateway.url}/graphql`,
      getCallerToken: () => own.member.token,
      scopes: ["CHAT"] as const,
    };
    await createTokenRefresher({ ...options, fetch: picky as typeof fetch })();
    expect(receivers).toEqual([undefined]);
  });

  it("sends only what a page of a listed origin may send, and reads only what it may read", async () => {
    const { url } = await own.rig.startAnother({
      configure: (config) => ({ ...config, server: { ...config.server, corsOrigins: ["https://app.example.com"] } }),
    });
    const named = { url: `${url}/graphql`, clientName: "page", clientVersion: "1" };
    const read = new Set<string>();
    await own
      .refresher({
        ...named,
        scopes: ["CHAT_JOIN_LIMITED"],
        fetch: async (...given) => {
          const reply = await own.world.fetch(...given);
          return { status: reply.status, text: () => reply.text(), headers: noting(reply.headers, read) };
        },
      })()
      .catch(() => {});
    const origin = { origin: "https://app.example.com", "access-control-request-method": "POST" };
    const preflight = await fetch(named.url, { method: "OPTIONS", headers: origin });
    const answer = await fetch(named.url, { method: "POST", headers: origin });
    const allowed = preflight.headers.get("access-control-allow-headers")?.split(", ");
    const exposed = answer.headers.get("access-control-expose-headers")?.split(", ");
    expect(allowed).toEqual(expect.arrayContaining(Object.keys(own.world.asked[0]?.headers ?? {})));
    expect([...read]).not.toEqual([]);
    expect(exposed).toEqual(expect.arrayContaining([...read]));
  });

  it("leaves DPoP to a fetch of the app's, which can send a proof with each request", async () => {
    const device = new DpopClient();
    const token = await own.rig.issuer.sign("bound", { claims: await device.confirmation() });
    const url = `${own.rig.gateway.url}/graphql`;
    const withProof: TokenRefresherOptions["fetch"] = (url, init) =>
      fetch(url, {
        ...init,
        headers: { ...init.headers, authorization: `DPoP ${token}`, dpop: device.proof(token, url) },
        signal: null,
      });
    const bearer = own.refresher({ getCallerToken: () => token });
    await expect(bearer()).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    const refreshed = await own.refresher({ url, getCallerToken: () => token, fetch: withProof })();
    expect(await own.rig.isActive(refreshed.token)).toBe(true);
  });
});

describe("what a program got wrong is told when the refresher is made", () => {
  const wrong: [string, Record<string, unknown>, RegExp][] = [
    ["no address", { url: undefined }, /`url`/],
    ["an empty address", { url: "" }, /`url`.*\/graphql/],
    ["an address without https", { url: "localhost:4000/graphql" }, /`url`.*https/],
    ["an address of another kind", { url: "ftp://gateway.example/graphql" }, /`url`.*https/],
    ["a lifetime that is no number", { lifetimeMinutes: Number.NaN }, /`lifetimeMinutes`.*number/],
    ["a name that cannot be a header", { clientName: "日本" }, /`clientName`.*ASCII/],
    ["a version that cannot be one", { clientVersion: "1.0\n" }, /`clientVersion`.*ASCII/],
    ["a token in place of a function", { getCallerToken: "a.b.c" }, /`getCallerToken`.*function/],
    ["no scopes", { scopes: [] }, /`scopes`.*CHAT/],
    ["a scope that is no list", { scopes: "CHAT" }, /`scopes`/],
    ["a fetch that is none", { fetch: {} }, /fetch/],
  ];
  it.each(wrong)("%s", (_, options, message) => {
    expect(() => own.refresher(options)).toThrow(expect.objectContaining({ name: "TypeError" }));
    expect(() => own.refresher(options)).toThrow(message);
  });

  it("and not an address of the page's own origin", () => {
    expect(() => own.refresher({ url: "/graphql", clientName: "a phone (2)" })).not.toThrow();
  });
});

describe("calls at the same time", () => {
  it("share one request", async () => {
    const getCallerToken = vi.fn(() => own.member.token);
    const refresher = own.refresher({ getCallerToken });
    const tokens = await Promise.all([refresher(), refresher(), refresher(new BareController().signal)]);
    expect(new Set(tokens.map(({ token }) => token)).size).toBe(1);
    expect(own.world.asked).toHaveLength(1);
    expect(getCallerToken).toHaveBeenCalledTimes(1);
  });

  it("share one failure, and the next call asks anew", async () => {
    const refresher = own.refresher({ scopes: ["CHAT_JOIN_LIMITED"] });
    const outcomes = await Promise.allSettled([refresher(), refresher()]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(own.world.asked).toHaveLength(1);
    await expect(refresher()).rejects.toMatchObject({ code: "SCOPE_NOT_ALLOWED" });
    expect(own.world.asked).toHaveLength(2);
  });

  it("are not ended by one that is aborted", async () => {
    const refresher = own.refresher();
    const impatient = new BareController();
    const left = refresher(impatient.signal);
    const stays = refresher();
    impatient.abort();
    await expect(left).rejects.toMatchObject({ name: "AbortError" });
    expect(await own.rig.isActive((await stays).token)).toBe(true);
    expect(own.world.asked).toHaveLength(1);
    expect(impatient.signal.listeners.size).toBe(0);
  });

  it("end the request when the last one is aborted, and the next call makes a new one", async () => {
    own.foreign.answerWith({ hangs: "at once" });
    const signals: AbortSignal[] = [];
    const refresher = own.refresher({
      url: own.foreign.url,
      fetch: (url, init) => {
        signals.push(init.signal);
        return fetch(url, { ...init, signal: null });
      },
    });
    const [first, second] = [new BareController(), new BareController()];
    const calls = [refresher(first.signal), refresher(second.signal)];
    await expect.poll(() => signals.length).toBe(1);
    first.abort();
    expect(signals[0]?.aborted).toBe(false);
    second.abort();
    expect(signals[0]?.aborted).toBe(true);
    const third = new BareController();
    calls.push(refresher(third.signal));
    await expect.poll(() => signals.length).toBe(2);
    third.abort();
    for (const call of calls) await expect(call).rejects.toMatchObject({ name: "AbortError" });
  });

  it("leave no listener on their signals", async () => {
    const { signal } = new BareController();
    const always = new BareController().signal;
    await own.refresher({ signal: always })(signal);
    expect([signal.listeners.size, always.listeners.size]).toEqual([0, 0]);
  });
});

describe("an abort ends the call at once", () => {
  const waits: [string, (begun: () => void) => Partial<TokenRefresherOptions>][] = [
    ["while the app gets the caller's token", (begun) => ({ getCallerToken: tellAnd(begun, never) })],
    ["while the gateway is asked", (begun) => ({ url: own.foreign.url, fetch: tellAnd(begun, own.world.fetch) })],
    ["while a fetch is under way that does not hear of aborts", (begun) => ({ fetch: tellAnd(begun, never) })],
    ["while it waits for the next try", (begun) => ({ url: "http://127.0.0.1:9/graphql", onRetry: begun })],
  ];
  it.each(waits)("%s", async (_, options) => {
    own.foreign.answerWith({ hangs: "within" });
    for (const isOfAll of [false, true]) {
      const { promise: state, resolve: begun } = Promise.withResolvers<void>();
      const controller = new BareController();
      const refresher = own.refresher({ ...options(begun), ...(isOfAll && { signal: controller.signal }) });
      const call = refresher(isOfAll ? undefined : controller.signal);
      await state;
      const asked = own.world.asked.length;
      controller.abort();
      await expect(call).rejects.toMatchObject({ name: "AbortError" });
      expect(controller.signal.listeners.size).toBe(0);
      own.world.elapse(3600);
      await new Promise(setImmediate);
      expect(own.world.asked).toHaveLength(asked);
    }
  });

  it("and nothing is asked when it came before the call", async () => {
    const controller = new BareController();
    controller.abort();
    const getCallerToken = vi.fn(() => own.member.token);
    await expect(own.refresher({ getCallerToken })(controller.signal)).rejects.toMatchObject({ name: "AbortError" });
    await expect(own.refresher({ getCallerToken, signal: controller.signal })()).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(getCallerToken).not.toHaveBeenCalled();
  });

  it("the app hears of it while it gets the caller's token, and the gateway is not asked with what it gives then", async () => {
    const given = Promise.withResolvers<string>();
    const signals: AbortSignal[] = [];
    const refresher = own.refresher({
      getCallerToken: ({ signal }) => {
        signals.push(signal);
        return given.promise;
      },
    });
    const controller = new BareController();
    const call = refresher(controller.signal);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    controller.abort();
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
    given.resolve(own.member.token);
    await new Promise(setImmediate);
    expect(own.world.asked).toEqual([]);
  });

  it("no failure of what was aborted is told as one that is followed by another try", async () => {
    const getCallerToken = vi.fn<TokenRefresherOptions["getCallerToken"]>(() => own.member.token);
    const refresher = own.refresher({ getCallerToken });
    await refresher();
    const controller = new BareController();
    getCallerToken.mockImplementationOnce(
      ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("sign-in was aborted")))),
    );
    const call = refresher(controller.signal);
    controller.abort();
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
    await new Promise(setImmediate);
    expect(own.world.pauses).toEqual([]);
  });
});
