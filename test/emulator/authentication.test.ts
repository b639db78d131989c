import { expect, test } from "vitest";
import {
  accessKeyOf,
  clientOf,
  control,
  rejection,
  type Signing,
  send,
  sendSigned,
  sign,
  start,
  startForFile,
} from "./harness.js";

const PATH = "/identities?api-version=2023-10-01";
const DENIED = { status: 401, json: { error: { code: "Denied", message: "Denied by the resource provider." } } };
const MINUTE = 60_000;

function ago(ms: number): string {
  return new Date(Date.now() - ms).toUTCString();
}

const emulator = await startForFile();

test("the real client with another key is denied", async () => {
  const key = Buffer.alloc(64, 7).toString("base64");
  const client = clientOf(`endpoint=${emulator.endpoint};accesskey=${key}`);
  expect(await rejection(client.createUser())).toMatchObject({
    statusCode: 401,
    code: "Denied",
    message: "Denied by the resource provider.",
  });
});

test.each<[string, () => Signing]>([
  ["a signature older than five minutes", () => ({ date: ago(5 * MINUTE + 2_000) })],
  ["a signature more than five minutes ahead", () => ({ date: ago(-5 * MINUTE - 3_000) })],
  ["a date that is not RFC 1123", () => ({ date: new Date().toISOString() })],
  ["a date that is none", () => ({ date: "Invalid Date" })],
  ["an empty date", () => ({ date: "" })],
  ["another key", () => ({ key: Buffer.alloc(64).toString("base64") })],
  ["a signature of another path", () => ({ signed: { path: "/identities?api-version=2022-10-01" } })],
  ["a signature of the decoded path", () => ({ signed: { path: "/identities" } })],
  ["a signature of another method", () => ({ signed: { method: "PUT" } })],
  ["a signature of another body", () => ({ signed: { body: "{}" } })],
])("refuses %s", async (_name, signing) => {
  const { total } = await control(emulator, "GET", "/identities");
  expect(await sendSigned(emulator, { path: PATH, body: '{"a":1}' }, signing())).toMatchObject(DENIED);
  expect((await control(emulator, "GET", "/identities")).total).toBe(total);
});

test.each<[string, () => Signing]>([
  ["almost five minutes old", () => ({ date: ago(5 * MINUTE - 3_000) })],
  ["almost five minutes ahead", () => ({ date: ago(-5 * MINUTE + 3_000) })],
  ["made for another name of the host", () => ({ host: "acs.example.test" })],
  ["over the header date in place of x-ms-date", () => ({ dateHeader: "date" })],
])("accepts a signature that is %s", async (_name, signing) => {
  expect((await sendSigned(emulator, { path: PATH }, signing())).status).toBe(201);
});

test("accepts skew by its own clock", async () => {
  const emulator = await start({ now: () => Date.parse("2031-05-06T07:08:09Z") });
  expect((await sendSigned(emulator, { path: PATH }, { date: "Tue, 06 May 2031 07:13:09 GMT" })).status).toBe(201);
  expect(await sendSigned(emulator, { path: PATH }, { date: "Tue, 06 May 2031 07:13:10 GMT" })).toMatchObject(DENIED);
  expect(await sendSigned(emulator, { path: PATH }, { date: "Tue, 06 May 2031 07:03:08 GMT" })).toMatchObject(DENIED);
});

test.each([
  "",
  "Bearer eyJhbGciOiJub25lIn0.e30.",
  "HMAC-SHA256",
  "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=",
  "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=AAAA",
  `HMAC-SHA256 SignedHeaders=host;x-ms-date;x-ms-content-sha256&Signature=${"A".repeat(43)}=`,
  `HMAC-SHA256 SignedHeaders=x-ms-date&Signature=${"A".repeat(43)}=`,
])("refuses the authorization '%s'", async (authorization) => {
  const request = sign(emulator, { path: PATH });
  expect(await send(emulator, { ...request, headers: { ...request.headers, authorization } })).toMatchObject(DENIED);
});

test.each(["authorization", "x-ms-date", "x-ms-content-sha256"])("refuses a request without %s", async (name) => {
  const request = sign(emulator, { path: PATH });
  const headers = Object.fromEntries(Object.entries(request.headers ?? {}).filter(([header]) => header !== name));
  expect(await send(emulator, { ...request, headers })).toMatchObject(DENIED);
});

test("refuses a body that was changed on its way", async () => {
  const request = sign(emulator, { path: PATH, body: '{"createTokenWithScopes":["chat"]}' });
  expect(await send(emulator, { ...request, body: '{"createTokenWithScopes":["voip"]}' })).toMatchObject(DENIED);
});

test("the primary and the secondary key are both good", async () => {
  const emulator = await start();
  const { connectionString } = await control(emulator, "POST", "/keys/rotate", { key: "secondary" });
  expect(connectionString).not.toBe(emulator.connectionString);
  await clientOf(connectionString).createUser();
  await clientOf(emulator.connectionString).createUser();
});

test("a rotated key is good no longer, and the connection string has the new one", async () => {
  const emulator = await start();
  const before = emulator.connectionString;
  const rotated = await control(emulator, "POST", "/keys/rotate", { key: "primary" });
  expect(emulator.connectionString).toBe(rotated.connectionString);
  expect(accessKeyOf(emulator.connectionString)).toBe(rotated.accessKey);
  expect(await rejection(clientOf(before).createUser())).toMatchObject({ statusCode: 401, code: "Denied" });
  await clientOf(emulator.connectionString).createUser();
});

test("takes the resource id and the access key it is given", async () => {
  const accessKey = Buffer.alloc(32, 1).toString("base64");
  const resourceId = "1B5CC06B-F352-4571-B1E6-D9B259B7C776";
  const emulator = await start({ accessKey, resourceId });
  expect(emulator.connectionString).toBe(`endpoint=http://127.0.0.1:${emulator.port}/;accesskey=${accessKey}`);
  const { communicationUserId } = await clientOf(emulator.connectionString).createUser();
  expect(communicationUserId).toContain("8:acs:1b5cc06b-f352-4571-b1e6-d9b259b7c776_");
});

test("refuses to start with a resource id or an access key that is none", async () => {
  expect(await rejection(start({ resourceId: "mine" }))).toMatchObject({ message: expect.stringContaining("GUID") });
  expect(await rejection(start({ accessKey: "not base64" }))).toMatchObject({
    message: expect.stringContaining("base64"),
  });
});
