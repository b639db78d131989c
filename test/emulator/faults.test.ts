import { expect, test } from "vitest";
import { clientOf, control, rejection, send, sendSigned, sign, start, startForFile } from "./harness.js";

const CREATE = "/identities?api-version=2023-10-01";

const emulator = await startForFile();

test("a status fault refuses the next calls of its operation without effect, then no more", async () => {
  const emulator = await start();
  const client = clientOf(emulator.connectionString);
  const fault = {
    operation: "createIdentity",
    kind: "status",
    status: 500,
    times: 2,
    code: "Broken",
    message: "As told.",
  };
  expect(await control(emulator, "POST", "/faults", fault)).toEqual({ ...fault, status: 500 });
  const user = { statusCode: 500, code: "Broken", message: "As told." };
  expect(await rejection(client.createUser())).toMatchObject(user);
  expect((await control(emulator, "GET", "/faults")).faults).toEqual([{ ...fault, times: 1 }]);
  expect(await rejection(client.createUser())).toMatchObject(user);
  expect((await control(emulator, "GET", "/identities")).total).toBe(0);
  expect((await control(emulator, "GET", "/faults")).faults).toEqual([]);
  await client.createUser();
});

test("a status fault says when to come back only if told to", async () => {
  const emulator = await start();
  await control(emulator, "POST", "/faults", { operation: "*", kind: "status", status: 429, retryAfterSeconds: 7 });
  await control(emulator, "POST", "/faults", { operation: "*", kind: "status", status: 429 });
  const told = await sendSigned(emulator, { path: CREATE });
  const untold = await sendSigned(emulator, { path: CREATE });
  expect([told.status, told.headers["retry-after"], told.json.error.code]).toEqual([429, "7", "TooManyRequests"]);
  expect([untold.status, untold.headers["retry-after"]]).toEqual([429, undefined]);
});

test("an html503 fault looks to the client like the front door's page", async () => {
  const emulator = await start();
  await control(emulator, "POST", "/faults", { operation: "createIdentity", kind: "html503" });
  const error = await rejection(clientOf(emulator.connectionString).createUser());
  expect([error.statusCode, error.code]).toEqual([503, undefined]);
  expect(error.message).toContain("<html>");
  expect((await control(emulator, "GET", "/identities")).total).toBe(0);
});

test("a hang fault never answers and takes no effect; close ends it at once", async () => {
  const emulator = await start();
  await control(emulator, "POST", "/faults", { operation: "createIdentity", kind: "hang" });
  const hung = rejection(clientOf(emulator.connectionString).createUser());
  const first = await Promise.race([hung, new Promise((resolve) => setTimeout(resolve, 150, "still waiting"))]);
  expect(first).toBe("still waiting");
  expect((await control(emulator, "GET", "/identities")).total).toBe(0);
  const startedAt = performance.now();
  await emulator.close();
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  expect(await hung).toBeInstanceOf(Error);
});

test("a commitThenDrop fault takes effect and cuts the connection", async () => {
  const emulator = await start();
  const client = clientOf(emulator.connectionString);
  await control(emulator, "POST", "/faults", { operation: "createIdentity", kind: "commitThenDrop" });
  const error = await rejection(client.createUser());
  expect(error.statusCode).toBeUndefined();
  expect((await control(emulator, "GET", "/identities")).total).toBe(1);

  const { user, token } = await client.createUserAndToken(["chat"]);
  await control(emulator, "POST", "/faults", { operation: "revokeAccessTokens", kind: "commitThenDrop" });
  await rejection(client.revokeTokens(user));
  expect((await control(emulator, "POST", "/tokens/introspect", { token })).reason).toBe("revoked");
});

test("a delayed call takes effect though its caller has given up", async () => {
  const emulator = await start();
  await control(emulator, "POST", "/faults", { operation: "createIdentity", kind: "delay", delayMs: 120 });
  const client = clientOf(emulator.connectionString);
  expect((await rejection(client.createUser({ abortSignal: AbortSignal.timeout(30) }))).name).toBe("AbortError");
  expect((await control(emulator, "GET", "/identities")).total).toBe(0);
  await expect.poll(async () => (await control(emulator, "GET", "/identities")).total).toBe(1);
});

test("a delayed call is answered after its delay", async () => {
  const emulator = await start();
  await control(emulator, "POST", "/faults", { operation: "*", kind: "delay", delayMs: 100 });
  const startedAt = performance.now();
  await clientOf(emulator.connectionString).createUser();
  expect(performance.now() - startedAt).toBeGreaterThan(95);
});

test("closing ends a call that waits", async () => {
  const emulator = await start();
  await control(emulator, "POST", "/faults", { operation: "*", kind: "delay", delayMs: 60_000 });
  const waiting = rejection(clientOf(emulator.connectionString).createUser());
  await expect.poll(async () => (await control(emulator, "GET", "/faults")).faults).toEqual([]);
  await emulator.close();
  expect(await waiting).toBeInstanceOf(Error);
});

test("a fault waits for its own operation, and each call meets one, in order", async () => {
  const emulator = await start();
  await control(emulator, "POST", "/faults", { operation: "deleteIdentity", kind: "status", status: 500 });
  await control(emulator, "POST", "/faults", { operation: "createIdentity", kind: "status", status: 501 });
  await control(emulator, "POST", "/faults", { operation: "*", kind: "status", status: 502 });
  const statuses = [];
  for (let i = 0; i < 3; i += 1) statuses.push((await sendSigned(emulator, { path: CREATE })).status);
  expect(statuses).toEqual([501, 502, 201]);
  expect((await control(emulator, "GET", "/faults")).faults).toHaveLength(1);
});

test("a call that is not let in uses up no fault", async () => {
  const emulator = await start();
  await control(emulator, "POST", "/faults", { operation: "*", kind: "status", status: 500 });
  const refused = sign(emulator, { path: CREATE }, { key: Buffer.alloc(64).toString("base64") });
  expect((await send(emulator, refused)).status).toBe(401);
  expect((await sendSigned(emulator, { path: "/identities" })).status).toBe(400);
  expect((await sendSigned(emulator, { path: CREATE })).status).toBe(500);
});

test("the waiting faults can be cleared", async () => {
  const emulator = await start();
  await control(emulator, "POST", "/faults", { operation: "*", kind: "hang", times: 1_000_000 });
  expect(await control(emulator, "DELETE", "/faults")).toEqual({ status: 204 });
  await clientOf(emulator.connectionString).createUser();
});

test.each([
  [{}, '"operation" must be one of createIdentity'],
  [{ operation: "create", kind: "hang" }, '"operation" must be one of createIdentity'],
  [{ operation: "*", kind: "explode" }, '"kind" must be one of delay'],
  [{ operation: "*", kind: "delay" }, '"delay" needs "delayMs"'],
  [{ operation: "*", kind: "status" }, '"status" needs "status"'],
  [{ operation: "*", kind: "status", status: 200 }, '"status" must be an integer from 400 to 599'],
  [{ operation: "*", kind: "hang", times: 0 }, '"times" must be an integer from 1'],
  [{ operation: "*", kind: "hang", times: "2" }, '"times" must be an integer from 1'],
  [{ operation: "*", kind: "hang", time: 2 }, 'There is no field "time"'],
  [{ operation: "*", kind: "status", status: 500, message: 7 }, '"message" must be a string'],
])("refuses the fault %j with the cure", async (fault, message) => {
  const refusal = await control(emulator, "POST", "/faults", fault);
  expect([refusal.status, refusal.error.code]).toEqual([400, "BadControlRequest"]);
  expect(refusal.error.message).toContain(message);
  expect((await control(emulator, "GET", "/faults")).faults).toEqual([]);
});
