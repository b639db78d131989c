import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readLine } from "../../src/audit/export-line.js";
import type { Config } from "../../src/config/config.js";
import { StartError } from "../../src/errors.js";
import { Rig } from "../fixtures/rig.js";
import { readChains } from "../fixtures/trail.js";
import { IssueAccessTokenDocument } from "../generated/graphql.js";

let rig: Rig;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-sinks-"));
  rig = await Rig.start();
});
afterAll(async () => {
  await rig.close();
  rmSync(folder, { recursive: true });
});

const to = (...sinks: Config["audit"]["sinks"]) => ({
  configure: (config: Config) => ({ ...config, audit: { ...config.audit, sinks } }),
});
const chat = { scopes: ["CHAT" as const] };
const actionsIn = (file: string) =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => {
      const { phase, action, requestId } = readLine(line) ?? expect.fail(`not a line of an export: ${line}`);
      return [requestId, phase, action].join(" ");
    });
const readiness = async ({ adminUrl }: { readonly adminUrl: string }) => {
  const response = await fetch(`${adminUrl}/health/ready`);
  const body = (await response.json()) as { readonly status: string; readonly dependencies: readonly unknown[] };
  return { status: response.status, body };
};
const allStored = async () => (await readChains(rig.ask)).flat();

describe("a gateway with sinks for its audit trail", () => {
  it("has in each of them what the database has, before a token leaves", async () => {
    const files = ["one.jsonl", "two.jsonl"].map((name) => join(folder, name));
    const before = (await allStored()).length;
    const gateway = await rig.startAnother(to(...files.map((file) => ({ to: file, required: true }))));
    const { issueAccessToken } = await (await rig.member("ann")).at(gateway).ask(IssueAccessTokenDocument, chat);
    expect(issueAccessToken.accessToken?.token).toBeTruthy();
    const stored = (await allStored()).length - before;
    expect(stored).toBe(3);
    for (const file of files) {
      expect(actionsIn(file).map((line) => line.replace(/^\S+ /, ""))).toEqual([
        "INTENT TOKEN_ISSUED",
        "OUTCOME IDENTITY_PROVISIONED",
        "OUTCOME TOKEN_ISSUED",
      ]);
      expect(readFileSync(file, "utf8")).not.toContain(issueAccessToken.accessToken?.token);
    }
  });

  it.skipIf(!existsSync("/dev/full"))("hands out no token while a required one is full, and does after", async () => {
    const file = join(folder, "full.jsonl");
    symlinkSync("/dev/full", file);
    const gateway = await rig.startAnother(to({ to: file, required: true }));
    const member = (await rig.member("bea")).at(gateway);
    await rig.takeCalls();
    const refused = await member.execute(IssueAccessTokenDocument, chat);
    expect(refused).toMatchObject({
      status: 503,
      errors: [{ extensions: { code: "AUDIT_UNAVAILABLE", retryable: true } }],
    });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(5);
    expect(await rig.takeCalls()).toEqual({});
    expect(gateway.logLines.join("")).toContain("audit sink down");
    const { status, body } = await readiness(gateway);
    expect([status, body.status]).toEqual([503, "unavailable"]);
    expect(body.dependencies).toContainEqual({
      name: "audit-sinks",
      ok: false,
      problem: expect.stringMatching("ENOSPC"),
    });
    rmSync(file);
    // What was tried again by that look may still be failing, and would refuse what comes to it.
    await expect.poll(async () => (await readiness(gateway)).status, { timeout: 5000 }).toBe(200);
    const { issueAccessToken } = await member.ask(IssueAccessTokenDocument, chat);
    expect(issueAccessToken.accessToken?.token).toBeTruthy();
    expect(gateway.logLines.join("")).toContain("audit sink back");
    // With the one that was refused.
    expect(actionsIn(file)).toHaveLength(4);
  });

  it.skipIf(!existsSync("/dev/full"))(
    "is ready again once there is room, though nobody asks for tokens meanwhile",
    async () => {
      const file = join(folder, "room.jsonl");
      symlinkSync("/dev/full", file);
      const gateway = await rig.startAnother(to({ to: file, required: true }));
      expect((await readiness(gateway)).status).toBe(200);
      expect((await (await rig.member("bob")).at(gateway).execute(IssueAccessTokenDocument, chat)).status).toBe(503);
      await expect.poll(async () => (await readiness(gateway)).status, { timeout: 3000 }).toBe(503);
      rmSync(file);
      await expect.poll(async () => (await readiness(gateway)).status, { timeout: 3000 }).toBe(200);
      expect(gateway.logLines.join("")).toContain("audit sink back");
      expect(actionsIn(file)).toHaveLength(1);
    },
  );

  it("is not ready while a required one hangs, with its records at hand, and tells of none that is best effort", async () => {
    const pipe = join(folder, "stalled");
    execFileSync("mkfifo", [pipe]);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const gateway = await rig.startAnother(to({ to: pipe, required: true }, { to: "/dev/full", required: false }));
    expect((await readiness(gateway)).body.dependencies).toContainEqual({ name: "audit-sinks", ok: true });
    const filling = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
    expect(() => {
      for (;;) writeSync(filling, Buffer.alloc(4096, "x"));
    }).toThrow("EAGAIN");
    const member = (await rig.member("dan")).at(gateway);
    const asked = member.execute(IssueAccessTokenDocument, chat);
    await expect.poll(async () => (await readiness(gateway)).status, { timeout: 8000 }).toBe(503);
    expect((await readiness(gateway)).body.dependencies).toContainEqual(
      expect.objectContaining({ name: "audit-sinks", ok: false }),
    );
    expect((await asked).status).toBe(503);
    const taking = spawn("cat", [pipe], { stdio: "ignore" });
    await expect.poll(async () => (await readiness(gateway)).status, { timeout: 5000 }).toBe(200);
    taking.kill();
    closeSync(filling);
    closeSync(reader);
  }, 30_000);

  it.skipIf(!existsSync("/dev/full"))("goes on while another one is full, and counts what that has lost", async () => {
    const configure = (config: Config) => {
      const audit = { ...config.audit, queueSize: 1, sinks: [{ to: "/dev/full", required: false }] };
      return { ...config, audit };
    };
    const gateway = await rig.startAnother({ configure });
    const metrics = async () => await (await fetch(`${gateway.adminUrl}/metrics`)).text();
    expect(await metrics()).toContain('gateway_audit_sink_lost_total{to="/dev/full"} 0');
    const member = await rig.member("cleo");
    await member.ask(IssueAccessTokenDocument, chat);
    const again = { ...chat, forceNew: true };
    const { issueAccessToken } = await member.at(gateway).ask(IssueAccessTokenDocument, again);
    expect(issueAccessToken.accessToken?.token).toBeTruthy();
    // The intent waits for room; there is none for the outcome.
    expect(await metrics()).toContain('gateway_audit_sink_lost_total{to="/dev/full"} 1');
  });

  it("does not start with one that cannot be opened, and says how to mend that", async () => {
    const isFolder = join(folder, "folder");
    mkdirSync(isFolder);
    const unread = join(folder, "unread");
    execFileSync("mkfifo", [unread]);
    for (const [sink, code] of [
      [{ to: join(folder, "nowhere", "records.jsonl"), required: true }, "ENOENT"],
      [{ to: join(folder, "nowhere", "records.jsonl"), required: false }, "ENOENT"],
      [{ to: isFolder, required: true }, "EISDIR"],
      [{ to: unread, required: true }, "ENXIO"],
    ] as const) {
      const starting = rig.startAnother(to(sink));
      await expect(starting).rejects.toThrow(StartError);
      await expect(starting).rejects.toThrow(
        `The audit sink ${sink.to} cannot be opened (${code}): correct audit.sinks`,
      );
    }
  });

  it("starts before the reader of a pipe that is not required", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const gateway = await rig.startAnother(to({ to: pipe, required: false }));
    const { issueAccessToken } = await (await rig.member("dora")).at(gateway).ask(IssueAccessTokenDocument, chat);
    expect(issueAccessToken.accessToken?.token).toBeTruthy();
  });
});
