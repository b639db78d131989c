import { AzureCommunicationTokenCredential } from "@azure/communication-common";
import { expect, test } from "vitest";
import { clientOf, control, introspect, rejection, send, sendSigned, sign, start, startForFile } from "./harness.js";

const CREATE = "/identities?api-version=2023-10-01";

const emulator = await startForFile();

test("the real client creates an identity of the resource", async () => {
  const user = await clientOf(emulator.connectionString).createUser();
  expect(user.communicationUserId).toMatch(new RegExp(`^8:acs:${emulator.resourceId}_[0-9a-f-]{36}$`));
});

test("the real client creates an identity and its first token in one call", async () => {
  const { user, token, expiresOn } = await clientOf(emulator.connectionString).createUserAndToken(["chat", "voip"]);
  expect(await introspect(emulator, token)).toMatchObject({
    active: true,
    identity: user.communicationUserId,
    scopes: ["chat", "voip"],
  });
  expect(expiresOn.getTime() - Date.now()).toBeCloseTo(24 * 3_600_000, -4);
});

test("a token lives as long as was asked for", async () => {
  const client = clientOf(emulator.connectionString);
  const user = await client.createUser();
  for (const minutes of [60, 90, 1440]) {
    const { expiresOn } = await client.getToken(user, ["chat"], { tokenExpiresInMinutes: minutes });
    expect(expiresOn.getTime() - Date.now()).toBeCloseTo(minutes * 60_000, -4);
  }
});

test("the client credential of the chat and calling SDKs accepts a token", async () => {
  const { token, expiresOn } = await clientOf(emulator.connectionString).createUserAndToken(["chat"]);
  const credential = new AzureCommunicationTokenCredential(token);
  const { expiresOnTimestamp } = await credential.getToken();
  expect(expiresOnTimestamp).toBe(Math.floor(expiresOn.getTime() / 1000) * 1000);
  credential.dispose();
});

test("every documented scope is granted, in the order asked for", async () => {
  const scopes = ["voip.join", "chat.join.limited", "chat.join", "voip", "chat"] as const;
  const { token } = await clientOf(emulator.connectionString).createUserAndToken([...scopes]);
  expect((await introspect(emulator, token)).scopes).toEqual(scopes);
});

test.each([59, 1441, 0, -60, 60.5])("refuses a lifetime of %d minutes", async (tokenExpiresInMinutes) => {
  const client = clientOf(emulator.connectionString);
  const user = await client.createUser();
  const { total } = await control(emulator, "GET", "/identities");
  const refusal = {
    statusCode: 400,
    code: "ValidationError",
    message: `ExpiresInMinutes value ${tokenExpiresInMinutes} is invalid. Value must be within the [60, 1440] interval.`,
  };
  expect(await rejection(client.getToken(user, ["chat"], { tokenExpiresInMinutes }))).toMatchObject(refusal);
  expect(await rejection(client.createUserAndToken(["chat"], { tokenExpiresInMinutes }))).toMatchObject(refusal);
  expect((await control(emulator, "GET", "/identities")).total).toBe(total);
});

test("refuses no scopes and unknown scopes", async () => {
  const client = clientOf(emulator.connectionString);
  const user = await client.createUser();
  expect(await rejection(client.getToken(user, []))).toMatchObject({
    statusCode: 400,
    code: "ValidationError",
    message: "Invalid scopes - Scopes field is required.",
  });
  expect(await rejection(client.getToken(user, ["chat", "pstn" as "chat"]))).toMatchObject({ statusCode: 400 });
  expect(await rejection(client.createUserAndToken(["CHAT" as "chat"]))).toMatchObject({ statusCode: 400 });
  expect(await rejection(client.createUserAndToken([null as unknown as "chat"]))).toMatchObject({ statusCode: 400 });
});

test("refuses identities of another resource, unknown and deleted ones", async () => {
  const other = await start();
  const client = clientOf(emulator.connectionString);
  const foreign = await clientOf(other.connectionString).createUser();
  const unknown = { communicationUserId: `8:acs:${emulator.resourceId}_00000000-0000-0000-0000-000000000000` };
  const deleted = await client.createUser();
  await client.deleteUser(deleted);
  const refusal = {
    statusCode: 401,
    code: "IdentityNotOwned",
    message: "Provided identity doesn't belong to the resource.",
  };
  for (const user of [foreign, unknown, deleted, { communicationUserId: "me" }]) {
    expect(await rejection(client.getToken(user, ["chat"]))).toMatchObject(refusal);
    expect(await rejection(client.revokeTokens(user))).toMatchObject(refusal);
    expect(await rejection(client.deleteUser(user))).toMatchObject(refusal);
  }
});

test("finds an identity however its path is percent-encoded", async () => {
  const { communicationUserId: id } = await clientOf(emulator.connectionString).createUser();
  const every = [...id].map((char) => `%${char.charCodeAt(0).toString(16)}`).join("");
  for (const encoded of [id, encodeURIComponent(id), every]) {
    const path = `/identities/${encoded}/:issueAccessToken?api-version=2023-10-01`;
    expect((await sendSigned(emulator, { path, body: '{"scopes":["chat"]}' })).status).toBe(200);
  }
});

test("refuses a malformed percent-encoding", async () => {
  const path = "/identities/8%3Aacs%ZZ/:issueAccessToken?api-version=2023-10-01";
  expect(await sendSigned(emulator, { path })).toMatchObject({
    status: 400,
    json: { error: { code: "ValidationError" } },
  });
});

test("a body that is null, or whose fields are, creates an identity alone", async () => {
  for (const body of ["", "null", "{}", '{"createTokenWithScopes":null,"expiresInMinutes":null}']) {
    const { status, json } = await sendSigned(emulator, { path: CREATE, body });
    expect([status, Object.keys(json)]).toEqual([201, ["identity"]]);
  }
});

test.each(['{"scopes":', "[]", "7", '"chat"', Buffer.from([0x7b, 0xff, 0x7d])])("refuses the body %s", async (body) => {
  const { status, json } = await sendSigned(emulator, { path: CREATE, body });
  expect([status, json.error.code]).toEqual([400, "ValidationError"]);
});

test("refuses a body over 64 KB, and takes the next request", async () => {
  const body = JSON.stringify({ padding: "x".repeat(70_000) });
  expect((await sendSigned(emulator, { path: CREATE, body })).status).toBe(413);
  expect((await sendSigned(emulator, { path: CREATE })).status).toBe(201);
});

test("says of scopes that are missing which field it is", async () => {
  const { communicationUserId: id } = await clientOf(emulator.connectionString).createUser();
  const path = `/identities/${encodeURIComponent(id)}/:issueAccessToken?api-version=2023-10-01`;
  const message = "Scopes: The Scopes field is required.";
  for (const body of ["", "{}", '{"scopes":null}']) {
    const { status, json } = await sendSigned(emulator, { path, body });
    expect([status, json.error]).toEqual([400, { code: "ValidationError", message, target: "Scopes" }]);
  }
});

test.each(["2021-03-07", "2022-06-01", "2022-10-01", "2023-10-01"])("speaks api-version %s", async (version) => {
  expect((await sendSigned(emulator, { path: `/identities?api-version=${version}` })).status).toBe(201);
});

test.each([
  ["", "ApiVersionUnspecified"],
  ["?api-version=2019-01-01", "UnsupportedApiVersion"],
  ["?api-version=", "UnsupportedApiVersion"],
  ["?api-version=2023-10-01&api-version=2021-03-07", "AmbiguousApiVersion"],
])("refuses the query '%s' and names the versions it knows", async (query, code) => {
  const { status, headers, json } = await sendSigned(emulator, { path: `/identities${query}` });
  expect([status, json.error.code]).toEqual([400, code]);
  expect(json.error.message).toContain("2023-10-01");
  expect(headers["api-supported-versions"]).toBe("2021-03-07, 2022-06-01, 2022-10-01, 2023-10-01");
});

test("knows the Teams exchange from api-version 2022-06-01 on", async () => {
  const path = "/teamsUser/:exchangeAccessToken?api-version=2021-03-07";
  expect((await sendSigned(emulator, { path })).json.error.code).toBe("UnsupportedApiVersion");
});

test("answers with the headers of the service, on refusals too", async () => {
  const request = sign(emulator, { path: CREATE, headers: { "x-ms-client-request-id": "request-7" } });
  for (const answer of [await send(emulator, request), await send(emulator, { ...request, path: `${CREATE}&x` })]) {
    expect(answer.headers).toMatchObject({
      "api-supported-versions": expect.stringContaining("2023-10-01"),
      "ms-cv": expect.stringMatching(/^[\w+/]{22}\.0$/),
      "request-context": "appId=",
      "x-ms-client-request-id": "request-7",
      "x-processing-time": expect.stringMatching(/^\d+ms$/),
    });
  }
});

test("expiresOn has seven fractional digits and an offset", async () => {
  const { json } = await sendSigned(emulator, { path: CREATE, body: '{"createTokenWithScopes":["chat"]}' });
  expect(json.accessToken.expiresOn).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00$/);
});

test("revocation and deletion answer without a body", async () => {
  const { communicationUserId: id } = await clientOf(emulator.connectionString).createUser();
  const path = `/identities/${encodeURIComponent(id)}`;
  const query = "?api-version=2023-10-01";
  const revoked = await sendSigned(emulator, { path: `${path}/:revokeAccessTokens${query}` });
  const deleted = await sendSigned(emulator, { method: "DELETE", path: path + query });
  expect([revoked.status, revoked.body, deleted.status, deleted.body]).toEqual([204, "", 204, ""]);
});

test("a path or method it does not have is a JSON 404 or 405", async () => {
  const missing = ["/", "/identitie", "/identities/", "/identities//:issueAccessToken", "/identities/a/b/c", "*", "//"];
  for (const path of missing) {
    expect(await sendSigned(emulator, { path })).toMatchObject({ status: 404, json: { error: { code: "NotFound" } } });
  }
  const wrong = await sendSigned(emulator, { method: "GET", path: CREATE });
  expect(wrong).toMatchObject({
    status: 405,
    headers: { allow: "POST" },
    json: { error: { code: "MethodNotAllowed" } },
  });
});

test("realistic latency takes as long as the service was seen to", async () => {
  const emulator = await start({ latency: "realistic" });
  const client = clientOf(emulator.connectionString);
  const user = await client.createUser();
  const startedAt = performance.now();
  await client.revokeTokens(user);
  expect(performance.now() - startedAt).toBeGreaterThan(400);
});

test("a taken port rejects with the original error", async () => {
  expect(await rejection(start({ port: emulator.port }))).toMatchObject({ code: "EADDRINUSE", syscall: "listen" });
});
