import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRemoteJWKSet, decodeJwt, jwtVerify } from "jose";
import * as openid from "openid-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DevIssuer, startIssuer } from "../../src/dev/issuer.js";
import { choose, locationOf } from "./sign-in.js";

const AUDIENCE = "test-audience";
const REDIRECT = "http://127.0.0.1:53121/callback";

let folder: string;
let issuer: DevIssuer;
let config: openid.Configuration;
let now = Date.now();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-issuer-"));
  const file = join(folder, "issuer.json");
  issuer = await startIssuer({ file, port: 0, audience: AUDIENCE, now: () => now });
  config = await openid.discovery(new URL(issuer.issuer), "my-app", undefined, openid.None(), {
    execute: [openid.allowInsecureRequests],
  });
});
afterAll(async () => {
  await issuer.close();
  rmSync(folder, { recursive: true });
});

/** An app that begins a sign-in: where it sends its user, and what it keeps. */
async function begin(changes: Readonly<Record<string, string>> = {}) {
  const verifier = openid.randomPKCECodeVerifier();
  const [state, nonce] = [openid.randomState(), openid.randomNonce()];
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT,
    scope: "openid",
    state,
    nonce,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    ...changes,
  });
  return { url, verifier, checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce } };
}

async function signIn(choice: Readonly<Record<string, string>> = { subject: "alice" }) {
  const { url, checks } = await begin();
  return await openid.authorizationCodeGrant(config, locationOf(await choose(url, choice)), checks);
}

async function post(path: string, form: Readonly<Record<string, string>>, headers: Record<string, string> = {}) {
  const body = new URLSearchParams(form);
  return await fetch(`${issuer.issuer}${path}`, { method: "POST", body, headers, redirect: "manual" });
}

const codeForm = (code: string, verifier: string) => ({
  grant_type: "authorization_code",
  client_id: "my-app",
  redirect_uri: REDIRECT,
  code,
  code_verifier: verifier,
});

async function freshCode() {
  const { url, verifier } = await begin();
  return { code: locationOf(await choose(url, { subject: "alice" })).searchParams.get("code") ?? "", verifier };
}

describe("signing in with a code and PKCE", () => {
  it("gives an OpenID client an access token for the gateway and an ID token for itself", async () => {
    const tokens = await signIn({ subject: "ada", roles: "Gateway.Admin Other" });
    const keys = createRemoteJWKSet(new URL(`${issuer.issuer}/jwks`));
    const { payload } = await jwtVerify(tokens.access_token, keys, {
      issuer: issuer.issuer,
      audience: AUDIENCE,
      typ: "at+jwt",
    });
    expect(payload).toMatchObject({
      sub: "ada",
      roles: ["Gateway.Admin", "Other"],
      client_id: "my-app",
      scope: "openid",
    });
    expect(tokens.claims()).toMatchObject({ sub: "ada", aud: "my-app" });
    expect(tokens.expires_in).toBe(43_200);
  });

  it("has the state and the issuer's name in the answer, and keeps the query of the address", async () => {
    const { url } = await begin({ redirect_uri: `${REDIRECT}?tab=2`, state: "a b&c" });
    const answer = locationOf(await choose(url, { subject: "alice" }));
    expect(Object.fromEntries(answer.searchParams)).toMatchObject({ tab: "2", state: "a b&c", iss: issuer.issuer });
  });

  it.each(["http://127.0.0.1:1/", "http://[::1]:8080/cb", "http://localhost:5173/cb?x=1", "https://localhost/cb"])(
    "returns to %s, whatever its port and path",
    async (redirectUri) => {
      const { url } = await begin({ redirect_uri: redirectUri });
      expect(locationOf(await choose(url, { subject: "alice" })).href).toMatch(new URL(redirectUri).origin);
    },
  );

  it("makes access tokens that last as long as was chosen, to see them renewed", async () => {
    const { access_token, expires_in, refresh_token } = await signIn({ subject: "alice", expires_in: "60" });
    expect(expires_in).toBe(60);
    const { exp = 0, iat = 0 } = decodeJwt(access_token);
    expect(exp - iat).toBe(60);
    expect((await openid.refreshTokenGrant(config, refresh_token ?? "")).expires_in).toBe(60);
  });

  it("tells the app when the user cancels", async () => {
    const { url } = await begin();
    const answer = locationOf(await choose(url, { cancel: "yes" }));
    expect(answer.searchParams.get("error")).toBe("access_denied");
    expect(answer.searchParams.get("iss")).toBe(issuer.issuer);
    expect(answer.searchParams.has("code")).toBe(false);
  });
});

describe("the sign-in page", () => {
  const page = async (changes: Record<string, string>) =>
    await fetch((await begin(changes)).url, { redirect: "manual" });

  it("shows what a request says as text, never as HTML", async () => {
    const hostile = `"><script>alert(1)</script><a href='javascript:alert(2)'>`;
    const text = await (await page({ client_id: hostile, login_hint: hostile, state: hostile })).text();
    expect(text).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
    expect(text).not.toMatch(/<script|<a /);
    expect([...text.matchAll(/action="([^"]*)"/g)].every(([, action]) => !/[<>']/.test(action ?? ""))).toBe(true);
  });

  it("runs no script, is in no frame, and sends its form to the issuer and the app only", async () => {
    const { headers } = await page({});
    const policy = headers.get("content-security-policy");
    expect(policy).toMatch(/^default-src 'none'; style-src 'nonce-[^']+'; img-src data:; /);
    expect(policy).toContain("form-action 'self' http://127.0.0.1:53121; ");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(headers.get("cache-control")).toBe("no-store");
  });

  it.each([
    ["https://app.example.com/cb"],
    ["http://127.0.0.1.example.com/cb"],
    ["http://127.0.0.1@example.com/cb"],
    ["http://alice@127.0.0.1/cb"],
    ["http://example.com\\@127.0.0.1/cb"],
    ["javascript://127.0.0.1/%0aalert(1)"],
    ["http://127.0.0.1/cb#here"],
    ["http://127.0.0.1/cb#"],
    ["//127.0.0.1/cb"],
    ["not an address"],
  ])("never returns to %s", async (redirectUri) => {
    const { url } = await begin({ redirect_uri: redirectUri });
    const shown = await fetch(url, { redirect: "manual" });
    expect([shown.status, shown.headers.get("location")]).toEqual([400, null]);
    expect(await shown.text()).toMatch("The redirect_uri has to be an address on this machine");
    const sent = await post(`/sign-in${url.search}`, { subject: "alice" });
    expect([sent.status, sent.headers.get("location")]).toEqual([400, null]);
  });

  it("refuses a request with the address twice, and one without", async () => {
    const { url } = await begin();
    const twice = await fetch(`${url.href}&redirect_uri=${encodeURIComponent(REDIRECT)}`, { redirect: "manual" });
    url.searchParams.delete("redirect_uri");
    const without = await fetch(url, { redirect: "manual" });
    expect([twice.status, without.status]).toEqual([400, 400]);
  });

  it.each([
    ["the plain method", { code_challenge_method: "plain" }, "invalid_request"],
    ["no method, which means plain", { code_challenge_method: "" }, "invalid_request"],
    ["no challenge", { code_challenge: "" }, "invalid_request"],
    ["a challenge that is no SHA-256", { code_challenge: "abc" }, "invalid_request"],
    ["a token in the address", { response_type: "token" }, "unsupported_response_type"],
    ["an answer by form", { response_mode: "form_post" }, "invalid_request"],
    ["a sign-in without a page", { prompt: "none" }, "login_required"],
  ])("refuses %s, and tells the app", async (_, changes, error) => {
    const { url } = await begin(changes);
    for (const answer of [
      await fetch(url, { redirect: "manual" }),
      await post(`/sign-in${url.search}`, { subject: "x" }),
    ]) {
      expect(locationOf(answer).origin).toBe(new URL(REDIRECT).origin);
      expect(locationOf(answer).searchParams.get("error")).toBe(error);
      expect(locationOf(answer).searchParams.has("code")).toBe(false);
    }
  });

  it.each([
    ["no name", {}],
    ["a name of spaces", { subject: "  " }],
    ["a name of 256 characters", { subject: "a".repeat(256) }],
    ["a name with a NUL", { subject: "a\0b" }],
    ["a life that is no number", { subject: "alice", expires_in: "soon" }],
    ["a life of no time", { subject: "alice", expires_in: "0" }],
    ["a life of more than 12 hours", { subject: "alice", expires_in: "43201" }],
  ])("refuses %s", async (_, choice) => {
    const answer = await choose((await begin()).url, choice as Record<string, string>);
    expect([answer.status, answer.headers.get("location")]).toEqual([400, null]);
  });

  it("takes no form that another site sends", async () => {
    const { url } = await begin();
    for (const from of [
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site", origin: issuer.issuer },
      { origin: "http://127.0.0.1:1" },
      { origin: "null" },
    ]) {
      const answer = await post(`/sign-in${url.search}`, { subject: "alice" }, from as Record<string, string>);
      expect([answer.status, answer.headers.get("location")]).toEqual([400, null]);
    }
  });

  it("takes its own form from a browser that names the origin alone, and has it sent along", async () => {
    const { url } = await begin();
    const answer = await post(`/sign-in${url.search}`, { subject: "alice" }, { origin: issuer.issuer });
    expect(locationOf(answer).searchParams.has("code")).toBe(true);
    expect((await page({})).headers.get("referrer-policy")).toBe("same-origin");
  });
});

describe("the token endpoint", () => {
  const errorOf = async (answer: Response) => [answer.status, ((await answer.json()) as { error: string }).error];

  it("refuses another verifier, client or address, and the code is used up by that", async () => {
    for (const change of [
      { code_verifier: openid.randomPKCECodeVerifier() },
      { client_id: "other-app" },
      { redirect_uri: "http://127.0.0.1:53121/other" },
    ]) {
      const { code, verifier } = await freshCode();
      const good = codeForm(code, verifier);
      expect(await errorOf(await post("/oauth/token", { ...good, ...change }))).toEqual([400, "invalid_grant"]);
      expect(await errorOf(await post("/oauth/token", good))).toEqual([400, "invalid_grant"]);
    }
  });

  it.each(["code_verifier", "client_id", "redirect_uri"])("has a code used up by a try without %s", async (name) => {
    const { code, verifier } = await freshCode();
    const good = codeForm(code, verifier);
    const { [name]: _, ...without } = good as Record<string, string>;
    expect(await errorOf(await post("/oauth/token", without))).toEqual([400, "invalid_request"]);
    expect(await errorOf(await post("/oauth/token", good))).toEqual([400, "invalid_grant"]);
  });

  it("takes a code once; a second use ends the session that the first began", async () => {
    const { code, verifier } = await freshCode();
    const first = await post("/oauth/token", codeForm(code, verifier));
    const { refresh_token } = (await first.json()) as { refresh_token: string };
    expect(await errorOf(await post("/oauth/token", codeForm(code, verifier)))).toEqual([400, "invalid_grant"]);
    const refresh = { grant_type: "refresh_token", client_id: "my-app", refresh_token };
    expect(await errorOf(await post("/oauth/token", refresh))).toEqual([400, "invalid_grant"]);
  });

  it("takes a code for a minute", async () => {
    const [early, late] = [await freshCode(), await freshCode()];
    now += 59_999;
    expect((await post("/oauth/token", codeForm(early.code, early.verifier))).status).toBe(200);
    now += 1;
    expect(await errorOf(await post("/oauth/token", codeForm(late.code, late.verifier)))).toEqual([
      400,
      "invalid_grant",
    ]);
  });

  it("replaces a refresh token by another; an old one that comes back ends the session", async () => {
    const { refresh_token: first = "" } = await signIn();
    const { refresh_token: second = "", access_token } = await openid.refreshTokenGrant(config, first);
    expect(decodeJwt(access_token).sub).toBe("alice");
    const { refresh_token: third = "" } = await openid.refreshTokenGrant(config, second);
    await expect(openid.refreshTokenGrant(config, second)).rejects.toMatchObject({ error: "invalid_grant" });
    await expect(openid.refreshTokenGrant(config, third)).rejects.toMatchObject({ error: "invalid_grant" });
  });

  it("refuses another client's refresh token, and one of twelve hours ago", async () => {
    const { refresh_token = "" } = await signIn();
    const form = { grant_type: "refresh_token", refresh_token };
    expect(await errorOf(await post("/oauth/token", { ...form, client_id: "other-app" }))).toEqual([
      400,
      "invalid_grant",
    ]);
    now += 12 * 3_600_000;
    expect(await errorOf(await post("/oauth/token", { ...form, client_id: "my-app" }))).toEqual([400, "invalid_grant"]);
  });

  it("keeps the last thousand codes and no more", async () => {
    const oldest = await freshCode();
    const { url } = await begin();
    for (let count = 0; count < 1000; count++) await (await post(`/sign-in${url.search}`, { subject: "bob" })).text();
    expect(await errorOf(await post("/oauth/token", codeForm(oldest.code, oldest.verifier)))).toEqual([
      400,
      "invalid_grant",
    ]);
    const newest = await freshCode();
    expect((await post("/oauth/token", codeForm(newest.code, newest.verifier))).status).toBe(200);
  });

  it.each([
    ["a parameter that is missing", { grant_type: "authorization_code" }, 400, "invalid_request"],
    ["another grant type", { grant_type: "password" }, 400, "unsupported_grant_type"],
    ["a form that is too long", { grant_type: "x".repeat(70_000) }, 400, "invalid_request"],
  ])("tells of %s as RFC 6749 has it", async (_, form, status, error) => {
    expect(await errorOf(await post("/oauth/token", form as Record<string, string>))).toEqual([status, error]);
  });

  it("tells of a parameter that is there twice, of JSON, and of a secret", async () => {
    const send = async (body: string, headers: Record<string, string>) =>
      await errorOf(await fetch(`${issuer.issuer}/oauth/token`, { method: "POST", body, headers }));
    const form = { "content-type": "application/x-www-form-urlencoded" };
    expect(await send("grant_type=a&grant_type=a", form)).toEqual([400, "invalid_request"]);
    expect(await send("{}", { "content-type": "application/json" })).toEqual([400, "invalid_request"]);
    expect(await send("", { ...form, authorization: "Basic YTpi" })).toEqual([401, "invalid_client"]);
  });
});

describe("web pages", () => {
  const allowed = async (path: string, origin: string, method = "GET") => {
    const answer = await fetch(`${issuer.issuer}${path}`, { method, headers: { origin } });
    return answer.headers.get("access-control-allow-origin");
  };

  it("of this machine can sign in, others cannot read an answer", async () => {
    const here = "http://localhost:5173";
    expect(await allowed("/.well-known/openid-configuration", here)).toBe(here);
    expect(await allowed("/jwks", here)).toBe(here);
    expect(await allowed("/oauth/token", here, "POST")).toBe(here);
    expect(await allowed("/oauth/token", here, "OPTIONS")).toBe(here);
    expect(await allowed("/oauth/token", "https://app.example.com", "POST")).toBeNull();
    expect(await allowed("/oauth/token", "null", "POST")).toBeNull();
  });

  it("of no origin can read a token that was asked for by name alone", async () => {
    expect(await allowed("/token?subject=alice", "http://localhost:5173")).toBeNull();
    expect(await allowed("/token.txt?subject=alice", "http://localhost:5173")).toBeNull();
  });

  it("under a name that was made to point here get nothing", async () => {
    const { port } = new URL(issuer.issuer);
    const headers = { host: `app.example.com:${port}` };
    const status = await new Promise((resolve, reject) => {
      request({ host: "127.0.0.1", port, path: "/token?subject=alice", headers }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on("error", reject)
        .end();
    });
    expect(status).toBe(403);
  });
});

describe("a token by name, for a shell", () => {
  it("is there alone, too, for a variable", async () => {
    const text = await (await fetch(`${issuer.issuer}/token.txt?subject=bob&roles=A&roles=B`)).text();
    expect(decodeJwt(text)).toMatchObject({ sub: "bob", roles: ["A", "B"] });
  });

  it("lasts as long as is asked for, twelve hours at most", async () => {
    const ask = async (query: string) => await (await fetch(`${issuer.issuer}/token?subject=alice${query}`)).json();
    expect(await ask("&expires_in=30")).toMatchObject({ token_type: "Bearer", expires_in: 30 });
    expect(await ask("")).toMatchObject({ expires_in: 43_200 });
    expect(await ask("&expires_in=43201")).toEqual({ error: "expires_in is a number of seconds from 1 to 43200." });
  });
});
