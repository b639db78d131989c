import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { expect, test } from "vitest";
import { clientOf, control, introspect, sendSigned, start } from "./harness.js";

const DAY = 24 * 3_600;

test("a token carries the documented claims, under the published key", async () => {
  const emulator = await start();
  const { user, token } = await clientOf(emulator.connectionString).createUserAndToken(["chat", "voip"]);
  const { status: _status, ...jwks } = await control(emulator, "GET", "/jwks");
  expect(jwks).toEqual({ keys: [expect.objectContaining({ kty: "RSA", use: "sig", alg: "RS256" })] });
  const [key] = jwks.keys;
  expect(Buffer.from(key?.n ?? "", "base64url")).toHaveLength(256);

  const { payload } = await jwtVerify(token, createLocalJWKSet(jwks), { algorithms: ["RS256"] });
  const { iat = 0, exp = 0 } = payload;
  expect(payload).toMatchObject({
    skypeid: user.communicationUserId.slice("8:".length),
    scp: 1792,
    csi: String(iat),
    acsScope: "chat,voip",
    resourceId: emulator.resourceId,
    resourceLocation: expect.any(String),
  });
  expect(exp - iat).toBe(DAY);
  expect(Math.abs(iat - Date.now() / 1000)).toBeLessThan(5);
  expect(decodeProtectedHeader(token)).toEqual({
    alg: "RS256",
    kid: key?.kid,
    x5t: expect.stringMatching(/^[\w-]{27}$/),
    typ: "JWT",
  });
});

test("revocation kills the tokens issued so far and no later one, within one millisecond too", async () => {
  const emulator = await start({ now: () => NOW });
  const date = new Date(NOW).toUTCString();
  const call = (path: string, body = "") =>
    sendSigned(emulator, { path: `${path}?api-version=2023-10-01`, body }, { date });
  const { identity, accessToken } = (await call("/identities", '{"createTokenWithScopes":["chat"]}')).json;
  const path = `/identities/${encodeURIComponent(identity.id)}`;
  const issue = async (): Promise<string> =>
    (await call(`${path}/:issueAccessToken`, '{"scopes":["chat"]}')).json.token;

  const before = await issue();
  await call(`${path}/:revokeAccessTokens`);
  const between = await issue();
  for (const token of [accessToken.token, before]) {
    expect(await introspect(emulator, token)).toMatchObject({ active: false, reason: "revoked" });
  }
  expect(await introspect(emulator, between)).toMatchObject({ active: true });

  await call(`${path}/:revokeAccessTokens`);
  expect(await introspect(emulator, between)).toMatchObject({ active: false, reason: "revoked" });
  expect(await introspect(emulator, await issue())).toMatchObject({ active: true });
});

test("revocation leaves the tokens of other identities alone", async () => {
  const emulator = await start();
  const client = clientOf(emulator.connectionString);
  const one = await client.createUserAndToken(["chat"]);
  const other = await client.createUserAndToken(["chat"]);
  await client.revokeTokens(one.user);
  expect(await introspect(emulator, other.token)).toMatchObject({ active: true });
});

test("deletion kills the tokens of the identity", async () => {
  const emulator = await start();
  const client = clientOf(emulator.connectionString);
  const { user, token } = await client.createUserAndToken(["chat"]);
  await client.deleteUser(user);
  expect(await introspect(emulator, token)).toMatchObject({ active: false, reason: "identity_deleted" });
});

test("rotating a key kills the tokens issued with it, and no others", async () => {
  const emulator = await start();
  const { connectionString } = await control(emulator, "POST", "/keys/rotate", { key: "secondary" });
  const byPrimary = await clientOf(emulator.connectionString).createUserAndToken(["chat"]);
  const bySecondary = await clientOf(connectionString).createUserAndToken(["chat"]);
  await control(emulator, "POST", "/keys/rotate", { key: "primary" });
  expect(await introspect(emulator, byPrimary.token)).toMatchObject({ active: false, reason: "revoked" });
  expect(await introspect(emulator, bySecondary.token)).toMatchObject({ active: true });
});

test("a token is dead from its expiry on", async () => {
  let now = NOW;
  const emulator = await start({ now: () => now });
  const path = "/identities?api-version=2023-10-01";
  const body = '{"createTokenWithScopes":["chat"],"expiresInMinutes":60}';
  const { json } = await sendSigned(emulator, { path, body }, { date: new Date(NOW).toUTCString() });
  now = NOW + 3_599_999;
  expect(await introspect(emulator, json.accessToken.token)).toMatchObject({ active: true, exp: NOW / 1000 + 3_600 });
  now = NOW + 3_600_000;
  expect(await introspect(emulator, json.accessToken.token)).toMatchObject({ active: false, reason: "expired" });
});

test("tells a token of someone else from one that is none", async () => {
  const emulator = await start();
  const other = await start();
  const foreign = (await clientOf(other.connectionString).createUserAndToken(["chat"])).token;
  const { token } = await clientOf(emulator.connectionString).createUserAndToken(["chat"]);
  const [header = "", payload = "", signature = ""] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
  const forged = Buffer.from(JSON.stringify({ ...claims, acsScope: "voip" })).toString("base64url");
  const unsigned = [foreign, `${header}.${forged}.${signature}`, `${header}.${payload}.AAAA`];
  const spareBits = { A: "B", Q: "R", g: "h", w: "x" }[token.slice(-1)] ?? "";
  for (const text of [...unsigned, token.slice(0, -1) + spareBits]) {
    expect(await introspect(emulator, text)).toEqual({ status: 200, active: false, reason: "unknown_signature" });
  }
  for (const text of ["", "x", "a.b", "a.b.c", `${token}=`, ` ${token}`, `${token}.x`]) {
    expect(await introspect(emulator, text)).toEqual({ status: 200, active: false, reason: "malformed" });
  }
});

test("two tokens of the same second differ", async () => {
  const emulator = await start({ now: () => NOW });
  const date = new Date(NOW).toUTCString();
  const request = { path: "/identities?api-version=2023-10-01", body: '{"createTokenWithScopes":["chat"]}' };
  const { json } = await sendSigned(emulator, request, { date });
  const path = `/identities/${encodeURIComponent(json.identity.id)}/:issueAccessToken?api-version=2023-10-01`;
  const again = await sendSigned(emulator, { path, body: '{"scopes":["chat"]}' }, { date });
  expect(again.json.token).not.toBe(json.accessToken.token);
  expect(again.json.expiresOn).toBe(json.accessToken.expiresOn);
});

const NOW = Date.parse("2031-05-06T07:08:09Z");
