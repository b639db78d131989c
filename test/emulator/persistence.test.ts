import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Cli, CONNECTION_STRING_LINE } from "../fixtures/cli.js";
import { accessKeyOf, clientOf, control, introspect, rejection, start } from "./harness.js";

function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "acs-emulator-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "deep", "emulator.db");
}

test("a restart on the same file keeps the resource, its keys, its identities and what became of them", async () => {
  const file = temporaryFile();
  const before = await start({ file });
  const client = clientOf(before.connectionString);
  const kept = await client.createUserAndToken(["chat"]);
  const revoked = await client.createUserAndToken(["chat"]);
  const deleted = await client.createUserAndToken(["chat"]);
  await client.revokeTokens(revoked.user);
  await client.deleteUser(deleted.user);
  const jwks = await control(before, "GET", "/jwks");
  await before.close();

  const after = await start({ file });
  expect(after.resourceId).toBe(before.resourceId);
  expect(accessKeyOf(after.connectionString)).toBe(accessKeyOf(before.connectionString));
  expect(await control(after, "GET", "/jwks")).toEqual(jwks);
  expect(await introspect(after, kept.token)).toMatchObject({ active: true });
  expect(await introspect(after, revoked.token)).toMatchObject({ active: false, reason: "revoked" });
  expect(await introspect(after, deleted.token)).toMatchObject({ active: false, reason: "identity_deleted" });
  await clientOf(after.connectionString).getToken(kept.user, ["voip"]);
  expect(await rejection(clientOf(after.connectionString).deleteUser(deleted.user))).toMatchObject({ statusCode: 401 });
});

test("a kill right after an answer loses nothing", async () => {
  const file = temporaryFile();
  const emulator = Cli.start(["emulator", "--port", "0", "--file", file], {
    cwd: tmpdir(),
    shows: [CONNECTION_STRING_LINE],
  });
  onTestFinished(() => emulator.kill("SIGKILL"));
  const [, connectionString = ""] = await emulator.printed(CONNECTION_STRING_LINE);
  const client = clientOf(connectionString);
  const users = await Promise.all(Array.from({ length: 20 }, () => client.createUserAndToken(["chat"])));
  const revoked = users[0];
  await client.revokeTokens(revoked?.user ?? { communicationUserId: "" });
  emulator.kill("SIGKILL");
  await emulator.ended();

  const after = await start({ file });
  expect((await control(after, "GET", "/identities")).total).toBe(20);
  const active = await Promise.all(users.map(async ({ token }) => (await introspect(after, token)).active));
  expect(active).toEqual([false, ...Array.from({ length: 19 }, () => true)]);
});

test("another access key than the file's takes the primary's place and kills its tokens", async () => {
  const file = temporaryFile();
  const before = await start({ file });
  const { token } = await clientOf(before.connectionString).createUserAndToken(["chat"]);
  await before.close();
  const accessKey = Buffer.alloc(32, 5).toString("base64");
  const after = await start({ file, accessKey });
  expect(accessKeyOf(after.connectionString)).toBe(accessKey);
  expect(await introspect(after, token)).toMatchObject({ active: false, reason: "revoked" });
  const { user } = await clientOf(after.connectionString).createUserAndToken(["chat"]);
  await after.close();
  const again = await start({ file, accessKey });
  await clientOf(again.connectionString).getToken(user, ["chat"]);
});

test("a rotated key outlives a restart", async () => {
  const file = temporaryFile();
  const before = await start({ file });
  const { token } = await clientOf(before.connectionString).createUserAndToken(["chat"]);
  const { accessKey } = await control(before, "POST", "/keys/rotate", { key: "primary" });
  await before.close();
  const after = await start({ file });
  expect(accessKeyOf(after.connectionString)).toBe(accessKey);
  expect(await introspect(after, token)).toMatchObject({ active: false, reason: "revoked" });
});

test("refuses a file of another resource", async () => {
  const file = temporaryFile();
  const { close } = await start({ file });
  await close();
  const resourceId = "00000000-0000-0000-0000-000000000001";
  expect(await rejection(start({ file, resourceId }))).toMatchObject({
    message: expect.stringContaining("belongs to"),
  });
});

test("without a file each start is a new resource, and closing twice is harmless", async () => {
  const one = await start();
  const { user } = await clientOf(one.connectionString).createUserAndToken(["chat"]);
  await Promise.all([one.close(), one.close()]);
  const two = await start();
  expect(two.resourceId).not.toBe(one.resourceId);
  expect(await rejection(clientOf(two.connectionString).getToken(user, ["chat"]))).toMatchObject({ statusCode: 401 });
});
