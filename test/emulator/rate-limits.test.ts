import { expect, test } from "vitest";
import { clientOf, control, type RawAnswer, rejection, sendSigned, start } from "./harness.js";

const CREATE = { path: "/identities?api-version=2023-10-01" };
const CREATE_WITH_TOKEN = { ...CREATE, body: '{"createTokenWithScopes":["chat"]}' };

test("publishes the service's limits", async () => {
  const emulator = await start({ rateLimits: true });
  expect(await control(emulator, "GET", "/rate-limits")).toEqual({
    status: 200,
    enabled: true,
    windowSeconds: 30,
    limits: {
      createIdentity: 1000,
      createIdentityWithToken: 1000,
      issueAccessToken: 1000,
      deleteIdentity: 500,
      revokeAccessTokens: 500,
      exchangeTeamsUserAccessToken: 500,
    },
  });
});

test("the call over the limit is refused, says when to come back, and is let in then", async () => {
  let now = Date.now();
  const emulator = await start({ rateLimits: true, now: () => now });
  await control(emulator, "PUT", "/rate-limits", { limits: { createIdentity: 2 } });
  const create = (): Promise<RawAnswer> => sendSigned(emulator, CREATE);
  expect([(await create()).status, (await create()).status]).toEqual([201, 201]);
  now += 10_000;
  const refused = await create();
  expect([refused.status, refused.headers["retry-after"], refused.json.error.code]).toEqual([
    429,
    "20",
    "TooManyRequests",
  ]);
  now += 19_999;
  expect((await create()).headers["retry-after"]).toBe("1");
  now += 1;
  expect((await create()).status).toBe(201);
  expect((await control(emulator, "GET", "/identities")).total).toBe(3);
});

test("each operation has its own budget, and a create with a token another", async () => {
  const emulator = await start({ rateLimits: true });
  await control(emulator, "PUT", "/rate-limits", { limits: { createIdentity: 1, createIdentityWithToken: 2 } });
  const statuses = [];
  for (const request of [CREATE, CREATE, CREATE_WITH_TOKEN, CREATE_WITH_TOKEN, CREATE_WITH_TOKEN]) {
    statuses.push((await sendSigned(emulator, request)).status);
  }
  expect(statuses).toEqual([201, 429, 201, 201, 429]);
});

test("the real client sees a refusal as a 429", async () => {
  const emulator = await start({ rateLimits: true });
  await control(emulator, "PUT", "/rate-limits", { limits: { revokeAccessTokens: 0 } });
  const client = clientOf(emulator.connectionString);
  const user = await client.createUser();
  expect(await rejection(client.revokeTokens(user))).toMatchObject({ statusCode: 429, code: "TooManyRequests" });
});

test("a call with a bad signature costs nothing", async () => {
  const emulator = await start({ rateLimits: true });
  await control(emulator, "PUT", "/rate-limits", { limits: { createIdentity: 1 } });
  expect((await sendSigned(emulator, CREATE, { key: Buffer.alloc(64).toString("base64") })).status).toBe(401);
  expect((await sendSigned(emulator, CREATE)).status).toBe(201);
});

test("without the option nothing is limited, until it is switched on", async () => {
  const emulator = await start();
  await control(emulator, "PUT", "/rate-limits", { limits: { createIdentity: 0 } });
  expect((await sendSigned(emulator, CREATE)).status).toBe(201);
  await control(emulator, "PUT", "/rate-limits", { enabled: true });
  expect((await sendSigned(emulator, CREATE)).status).toBe(429);
});
