import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Cli, CONNECTION_STRING_LINE } from "../fixtures/cli.js";
import { AUDIENCE, TestIssuer } from "../fixtures/issuer.js";

/** Requests whose lines are more than a pipe, its reader and the gateway hold. */
const MANY = 1500;
/** And than a pipe holds. */
const SOME = 300;
const AT_ONCE = 50;
const LONG_NAME = "n".repeat(100);
const REQUEST = '{"query":"mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { token } } }"}';

let folder: string;
let issuer: TestIssuer;
let emulator: Cli;
let gateway: Cli;
let url = "";
let authorization = "";

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-output-"));
  issuer = await TestIssuer.start();
  authorization = `Bearer ${await issuer.sign("alice")}`;
  emulator = Cli.start(["emulator", "--port", "0"], { cwd: folder, shows: [CONNECTION_STRING_LINE] });
  const [, connectionString = ""] = await emulator.printed(CONNECTION_STRING_LINE);
  writeFileSync(
    join(folder, "gateway.yaml"),
    [
      `issuers: [{ issuer: "${issuer.url}", audience: "${AUDIENCE}" }]`,
      "policy: { rules: [{ name: all, when: {}, permissions: [TOKEN_ISSUE], scopes: [CHAT] }] }",
      "limits: { requestsPerSubject: 1000000, mintsPerSubject: 1000000 }",
      "audit: { sinks: [{ to: stdout, required: false }], checkpoints: stdout }",
    ].join("\n"),
  );
  gateway = Cli.start(["serve", "--config", "gateway.yaml"], {
    cwd: folder,
    env: {
      PORT: "0",
      ADMIN_PORT: "0",
      ACS_CONNECTION_STRING: connectionString,
      DATABASE_URL: `sqlite:${join(folder, "gateway.db")}`,
    },
  });
  [, url = ""] = await gateway.printed(/"url":"([^"]+)"/);
});
afterEach(async () => {
  for (const cli of [gateway, emulator]) cli.kill("SIGKILL");
  gateway.resume();
  for (const cli of [gateway, emulator]) await cli.ended();
  await issuer.close();
  rmSync(folder, { recursive: true });
});

async function ask(count: number): Promise<void> {
  const headers = { "content-type": "application/json", authorization, "apollographql-client-name": LONG_NAME };
  for (let asked = 0; asked < count; asked += AT_ONCE) {
    const answers = Array.from({ length: AT_ONCE }, async () => {
      const response = await fetch(`${url}/graphql`, { method: "POST", headers, body: REQUEST });
      expect(await response.json()).toMatchObject({ data: { issueAccessToken: { accessToken: {} } } });
    });
    await Promise.all(answers);
  }
}

describe("standard output, to which the log, audit records and checkpoints go", () => {
  it("holds up no request and no stop when nobody reads it, and has whole lines and what was dropped once somebody does", async () => {
    gateway.stall();
    await ask(MANY);
    expect((await fetch(`${url}/health/live`)).status).toBe(200);
    gateway.resume();
    await expect
      .poll(async () => {
        await ask(AT_ONCE);
        return /"lines":\d+,"msg":"log lines dropped"/.test(gateway.stdout);
      })
      .toBe(true);
    gateway.stall();
    await ask(SOME);
    gateway.kill("SIGTERM");
    // Its end is told when its output is, too, has been read.
    await expect.poll(() => fetch(`${url}/health/live`).catch(() => "gone"), { timeout: 15_000 }).toBe("gone");
    gateway.resume();
    expect(await gateway.ended()).toBe(0);
    const lines = gateway.stdout.trimEnd().split("\n");
    const parsed = lines.slice(0, -1).map((line) => JSON.parse(line) as object);
    expect(parsed.filter((line) => "hash" in line).length).toBeGreaterThan(AT_ONCE);
    expect(parsed.filter((line) => "level" in line).length).toBeGreaterThan(AT_ONCE);
  }, 60_000);

  it("is waited for no longer than a stop may take when nobody reads it to the end", async () => {
    gateway.stall();
    await ask(MANY);
    gateway.kill("SIGTERM");
    // Cut off after 10 s, it would be 1.
    await expect.poll(() => gateway.exitCode, { timeout: 15_000 }).not.toBeNull();
    expect(gateway.exitCode).toBe(0);
  }, 60_000);
});
