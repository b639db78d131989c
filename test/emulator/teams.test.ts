import { expect, test } from "vitest";
import { clientOf, introspect, rejection, startForFile } from "./harness.js";

const APP = "81e78ca8-ade5-4998-9c05-1e17f850fcfe";
const USER = "2d0a1f3b-6b1c-4f6e-9d58-0c4fd3b5a1aa";
const OTHER = "00000000-0000-0000-0000-000000000001";

function entraToken(claims: object): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${encode({ alg: "RS256", typ: "JWT" })}.${encode({ exp: inAnHour(), ...claims })}.c2lnbmF0dXJl`;
}

function inAnHour(): number {
  return Math.floor(Date.now() / 1000) + 3_600;
}

const emulator = await startForFile();

test("exchanges a Teams user's Entra token for one that ends with it", async () => {
  const teamsUserAadToken = entraToken({ appid: APP, oid: USER });
  const client = clientOf(emulator.connectionString);
  const { token, expiresOn } = await client.getTokenForTeamsUser({
    teamsUserAadToken,
    clientId: APP,
    userObjectId: USER,
  });
  const seen = await introspect(emulator, token);
  expect(seen).toMatchObject({ active: true, identity: `8:orgid:${USER}` });
  expect(expiresOn.getTime()).toBe(seen.exp * 1000);
  expect(Math.abs(seen.exp - inAnHour())).toBeLessThan(5);
});

test.each<[string, string]>([
  ["empty", ""],
  ["no JWT", "invalid"],
  ["a JWT without claims", "e30.bm8.c2ln"],
  ["expired", entraToken({ exp: 1_600_000_000 })],
  ["without an expiry", entraToken({ exp: undefined })],
  ["of an absurd expiry", entraToken({ exp: 1e300 })],
])("refuses an Entra token that is %s", async (_name, teamsUserAadToken) => {
  const client = clientOf(emulator.connectionString);
  const refused = client.getTokenForTeamsUser({ teamsUserAadToken, clientId: APP, userObjectId: USER });
  expect(await rejection(refused)).toMatchObject({
    statusCode: 401,
    code: "InvalidAccessToken",
    message: "Provided access token is not valid.",
  });
});

test.each([
  ["", USER, "AppId: The AppId field is required."],
  ["invalid", USER, "Provided AppId has invalid format."],
  [OTHER, USER, "AAD application is not the expected one."],
  [APP, "", "UserId: The UserId field is required."],
  [APP, "invalid", "Provided UserId has invalid format."],
  [APP, OTHER, "Provided AAD token issued for unexpected user."],
])("refuses the application '%s' with the user '%s'", async (clientId, userObjectId, message) => {
  const client = clientOf(emulator.connectionString);
  const teamsUserAadToken = entraToken({ azp: APP, oid: USER });
  const refused = client.getTokenForTeamsUser({ teamsUserAadToken, clientId, userObjectId });
  expect(await rejection(refused)).toMatchObject({ statusCode: 400, code: "ValidationError", message });
});
