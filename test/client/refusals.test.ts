import { inspect } from "node:util";
import { describe, expect, it, vi } from "vitest";
import type { CallerTokenRequest, TokenRefresherOptions, TokenScope } from "../../src/client/client.js";
import { IssueAccessTokenDocument, SuspendIdentityDocument } from "../generated/graphql.js";
import { ClientRig } from "./client-rig.js";
import type { ForeignAnswer } from "./foreign-server.js";

const own = ClientRig.use();

describe("a caller token that the gateway refuses", () => {
  it("is got anew once, past the app's cache", async () => {
    const expired = await own.rig.issuer.sign("alice", { claims: { exp: 1 } });
    const getCallerToken = vi.fn(({ forceRefresh }: CallerTokenRequest) => (forceRefresh ? own.member.token : expired));
    const { token } = await own.refresher({ getCallerToken })();
    expect(await own.rig.isActive(token)).toBe(true);
    expect(getCallerToken.mock.calls.map(([{ forceRefresh }]) => forceRefresh)).toEqual([false, true]);
    expect(own.world.pauses).toEqual([]);
  });

  it("and once more refused, ends the call with what to do", async () => {
    const refused = await own.rig.issuer.sign("alice", { claims: { aud: "another" } });
    const call = own.refresher({ getCallerToken: () => refused })();
    await expect(call).rejects.toMatchObject({
      code: "UNAUTHENTICATED",
      status: 401,
      retryable: false,
      requestId: expect.any(String),
      message: expect.stringMatching(/sign the user in again.*getCallerToken/i),
    });
    expect(own.world.asked).toHaveLength(2);
  });

  const refusal = (code: string) => JSON.stringify({ errors: [{ message: "", extensions: { code } }] });
  it.each<[string, ForeignAnswer, string]>([
    ["by a proxy, without a word", { status: 401 }, "UNAUTHENTICATED"],
    ["by a router, with a code of its own", { status: 401, body: refusal("BAD_JWT") }, "BAD_JWT"],
    ["by the gateway behind a router that answers 200", { body: refusal("UNAUTHENTICATED") }, "UNAUTHENTICATED"],
  ])("is known as such when it is refused %s", async (_, answer, code) => {
    own.foreign.answerWith(answer);
    await expect(own.refresher({ url: own.foreign.url })()).rejects.toMatchObject({ code, retryable: false });
    expect(own.world.asked).toHaveLength(2);
  });

  it("is got anew again when there was another failure in between, as after a long outage", async () => {
    own.foreign.answerWith({ status: 401 }, { status: 503 }, { status: 401 });
    const urls = Array.from({ length: 3 }, () => own.foreign.url);
    const getCallerToken = vi.fn((_: CallerTokenRequest) => own.member.token);
    await own.refresher({ getCallerToken, fetch: (url, init) => own.world.fetch(urls.shift() ?? url, init) })();
    expect(getCallerToken.mock.calls.map(([{ forceRefresh }]) => forceRefresh)).toEqual([false, true, false, true]);
  });
});

describe("an app that cannot get a caller token", () => {
  const failure = new Error("nobody has signed in");

  it("is told at once while there was no token yet, so that it can have the user sign in", async () => {
    const call = own.refresher({ getCallerToken: () => Promise.reject(failure) })();
    await expect(call).rejects.toMatchObject({
      code: "CALLER_TOKEN_UNAVAILABLE",
      cause: failure,
      message: expect.stringMatching(/getCallerToken failed.*sign the user in/i),
    });
    expect(own.world.asked).toEqual([]);
  });

  it("is asked again later once there was one, as when its sign-in library has no network", async () => {
    const getCallerToken = vi.fn(async () => own.member.token);
    const refresher = own.refresher({ getCallerToken });
    await refresher();
    for (let times = 0; times < 3; times++) getCallerToken.mockRejectedValueOnce(failure);
    await refresher();
    expect(own.world.pauses.map(({ code }) => code)).toEqual(
      Array.from({ length: 3 }, () => "CALLER_TOKEN_UNAVAILABLE"),
    );
  });

  it("ends the call when it says that there is no use", async () => {
    const getCallerToken = vi.fn(async () => own.member.token);
    const refresher = own.refresher({ getCallerToken });
    await refresher();
    getCallerToken.mockRejectedValueOnce(Object.assign(new Error("signed out"), { retryable: false }));
    await expect(refresher()).rejects.toMatchObject({ code: "CALLER_TOKEN_UNAVAILABLE", retryable: false });
    expect(own.world.pauses).toEqual([]);
  });

  it.each([undefined, null, "", "Bearer a.b.c", "a.b.c\n", "ä", {}])("is told that %j is none", async (given) => {
    const call = own.refresher({ getCallerToken: () => given as string })();
    await expect(call).rejects.toMatchObject({
      code: "CALLER_TOKEN_UNAVAILABLE",
      retryable: false,
      message: expect.stringMatching(/without spaces.*without Bearer/),
    });
    expect(own.world.asked).toEqual([]);
  });
});

describe("what cannot pass ends the call at once, with a word on what to do", () => {
  const permanent: [string, Partial<TokenRefresherOptions>, object][] = [
    [
      "a scope that is not allowed",
      { scopes: ["CHAT_JOIN_LIMITED"] },
      { code: "SCOPE_NOT_ALLOWED", status: 200, message: expect.stringMatching(/CHAT_JOIN_LIMITED.*fewer `scopes`/) },
    ],
    [
      "a lifetime that is not allowed",
      { lifetimeMinutes: 1 },
      { code: "LIFETIME_NOT_ALLOWED", message: expect.stringMatching(/1440.*`lifetimeMinutes`/) },
    ],
    [
      "a scope that there is none of",
      { scopes: ["FLY" as TokenScope] },
      { code: "BAD_USER_INPUT", status: 400, message: expect.stringContaining("FLY") },
    ],
    [
      "a lifetime that is no whole number",
      { lifetimeMinutes: 90.5 },
      { code: "BAD_USER_INPUT", status: 400, message: expect.stringContaining("90.5") },
    ],
  ];
  it.each(permanent)("%s", async (_, options, error) => {
    const call = own.refresher(options)();
    await expect(call).rejects.toMatchObject({
      name: "TokenRefreshError",
      retryable: false,
      requestId: expect.stringMatching(/./),
      ...error,
    });
    await expect(call).rejects.toBeInstanceOf(own.world.client.TokenRefreshError);
    expect(own.world.asked).toHaveLength(1);
  });

  it("a suspended user", async () => {
    const { issueAccessToken } = await own.member.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    const identityId = issueAccessToken.accessToken?.identity.id ?? "";
    await (await own.rig.admin()).ask(SuspendIdentityDocument, { identityId });
    await expect(own.refresher()()).rejects.toMatchObject({
      code: "IDENTITY_SUSPENDED",
      retryable: false,
      message: expect.stringMatching(/administrator/),
    });
    expect(own.world.asked).toHaveLength(1);
  });

  it.each([403, 404, 413])("a server that is no gateway: %i", async (status) => {
    own.foreign.answerWith({ status, body: "<html>not here</html>" });
    await expect(own.refresher({ url: own.foreign.url })()).rejects.toMatchObject({
      code: "UNEXPECTED_ANSWER",
      status,
      retryable: false,
      message: expect.stringMatching(/`url`.*\/graphql/),
    });
    expect(own.world.asked).toHaveLength(1);
  });

  it("says nothing of any token", async () => {
    const secret = await own.rig.issuer.sign("alice", { claims: { aud: "another" } });
    const outcome = await own
      .refresher({ getCallerToken: () => secret })()
      .catch((error: unknown) => error);
    expect(inspect(outcome)).toMatch(/UNAUTHENTICATED/);
    expect(inspect(outcome)).not.toContain(secret.split(".")[2]);
  });

  it("says nothing of it even where somebody else quotes what was sent", async () => {
    const secret = "caller-token";
    const fetch = () => Promise.reject(new Error(`cannot send Bearer ${secret}`));
    const ended = new AbortController();
    let unsent = "";
    const onRetry = ({ message }: { message: string }) => {
      unsent = message;
      ended.abort();
    };
    const getCallerToken = () => secret;
    await expect(own.refresher({ getCallerToken, fetch, onRetry })(ended.signal)).rejects.toThrow();
    expect(unsent).toMatch(/cannot send Bearer …/);
    const quoting = { status: 403, headers: { get: () => null } };
    const text = async () => JSON.stringify({ errors: [{ message: `What is ${secret}?` }] });
    const refused = await own
      .refresher({ getCallerToken, fetch: async () => ({ ...quoting, text }) })()
      .catch((error: Error) => error.message);
    expect(refused).toMatch(/^What is …\?/);
  });
});
