import { expect, test } from "vitest";
import { accessKeyOf, clientOf, control, rejection, send, sendSigned, start, startForFile } from "./harness.js";

const emulator = await startForFile();

test("says what is here and tells no secret", async () => {
  const emulator = await start();
  const { body, json } = await send(emulator, { method: "GET", path: "/_emulator" });
  expect(json).toMatchObject({
    resourceId: emulator.resourceId,
    endpoints: expect.arrayContaining([{ method: "POST", path: "/_emulator/faults", does: expect.any(String) }]),
  });
  expect(body).not.toContain(accessKeyOf(emulator.connectionString));
  expect((await send(emulator, { method: "GET", path: "/_emulator/" })).body).toBe(body);
});

test("an unknown control endpoint lists those that exist", async () => {
  for (const [method, path] of [
    ["GET", "/nothing"],
    ["PATCH", "/faults"],
    ["GET", "/identities/x"],
  ] as const) {
    const { status, error } = await control(emulator, method, path);
    expect([status, error.message.includes("POST /_emulator/faults")]).toEqual([404, true]);
  }
});

const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

test("counts calls by operation and by outcome", async () => {
  const emulator = await start();
  const client = clientOf(emulator.connectionString);
  const user = await client.createUser();
  await client.createUserAndToken(["chat"]);
  await client.getToken(user, ["chat"]);
  await rejection(client.getToken(user, []));
  await client.revokeTokens(user);
  await control(emulator, "POST", "/faults", { operation: "deleteIdentity", kind: "commitThenDrop" });
  await rejection(client.deleteUser(user));
  await sendSigned(emulator, { path: "/identities", headers: { traceparent: TRACEPARENT } });
  await sendSigned(emulator, { path: "/elsewhere" });

  expect(await control(emulator, "GET", "/calls")).toEqual({
    status: 200,
    calls: {
      createIdentity: 3,
      deleteIdentity: 1,
      issueAccessToken: 2,
      revokeAccessTokens: 1,
      exchangeTeamsUserAccessToken: 0,
    },
    createIdentityWithToken: 1,
    outcomes: {
      createIdentity: { "201": 2, "400": 1 },
      deleteIdentity: { drop: 1 },
      issueAccessToken: { "200": 1, "400": 1 },
      revokeAccessTokens: { "204": 1 },
      exchangeTeamsUserAccessToken: {},
    },
    traceparents: [TRACEPARENT],
  });
  await control(emulator, "DELETE", "/calls");
  const { calls, createIdentityWithToken, outcomes, traceparents } = await control(emulator, "GET", "/calls");
  expect([calls.createIdentity, createIdentityWithToken, outcomes.createIdentity]).toEqual([0, 0, {}]);
  expect(traceparents).toEqual([]);
});

test("a call that still hangs is counted as received", async () => {
  const emulator = await start();
  await control(emulator, "POST", "/faults", { operation: "*", kind: "hang" });
  const hung = rejection(clientOf(emulator.connectionString).createUser());
  await expect.poll(async () => (await control(emulator, "GET", "/calls")).calls.createIdentity).toBe(1);
  await emulator.close();
  await hung;
});

test("lists the identities in order of creation, page by page, deleted ones too", async () => {
  const emulator = await start();
  const client = clientOf(emulator.connectionString);
  const ids: string[] = [];
  for (let i = 0; i < 5; i += 1) ids.push((await client.createUser()).communicationUserId);
  await client.deleteUser({ communicationUserId: ids[1] ?? "" });
  await client.revokeTokens({ communicationUserId: ids[2] ?? "" });

  const first = await control(emulator, "GET", "/identities?limit=2");
  const second = await control(emulator, "GET", `/identities?limit=3&after=${encodeURIComponent(first.next ?? "")}`);
  expect(first).toMatchObject({ total: 5, live: 4, next: ids[1] });
  expect(second.next).toBeNull();
  const listed = [...first.identities, ...second.identities];
  expect(listed.map((identity) => identity.id)).toEqual(ids);
  expect(listed.map((identity) => identity.deleted)).toEqual([false, true, false, false, false]);
  expect(listed.map((identity) => identity.revokedAt !== null)).toEqual([false, false, true, false, false]);
  expect(Math.abs(Date.parse(listed[0]?.createdAt ?? "") - Date.now())).toBeLessThan(10_000);
});

test.each(["limit=0", "limit=1001", "limit=x", "limit=", "after=nobody"])("refuses the page %s", async (query) => {
  expect((await control(emulator, "GET", `/identities?${query}`)).status).toBe(400);
});

test.each<[string, string, unknown, string]>([
  ["POST", "/tokens/introspect", {}, '"token" is missing'],
  ["POST", "/tokens/introspect", { token: 7 }, '"token" must be a string'],
  ["POST", "/keys/rotate", {}, '"key" must be one of primary, secondary'],
  ["PUT", "/rate-limits", { limits: { create: 1 } }, 'There is no field "create"'],
  ["PUT", "/rate-limits", { limits: [] }, '"limits" must be an object'],
  ["PUT", "/rate-limits", { limits: { createIdentity: -1 } }, '"createIdentity" must be an integer'],
  ["PUT", "/rate-limits", { enabled: "yes" }, '"enabled" must be true or false'],
  ["POST", "/faults", [], "must be a JSON object"],
])("%s %s refuses %j with the cure", async (method, path, body, message) => {
  const refusal = await control(emulator, method, path, body);
  expect(refusal.status).toBe(400);
  expect(refusal.error.message).toContain(message);
});
