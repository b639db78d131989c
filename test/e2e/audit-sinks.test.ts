import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
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
    rmSync(file);
    const { issueAccessToken } = await member.ask(IssueAccessTokenDocument, chat);
    expect(issueAccessToken.accessToken?.token).toBeTruthy();
    expect(gateway.logLines.join("")).toContain("audit sink back");
    // With the one that was refused.
    expect(actionsIn(file)).toHaveLength(4);
  });

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
