import { appendFileSync, existsSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { readLine } from "../../src/audit/export-line.js";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import { recordId } from "../../src/audit/record.js";
import type { Config } from "../../src/config/config.js";
import { openKeys } from "../../src/keys.js";
import { whyNotOnDisk } from "../fixtures/postgres.js";
import { type Client, type Instance, type Reply, Rig, STORE_SERVER } from "../fixtures/rig.js";
import { NO_SMALL_DISK, SmallDisk } from "../fixtures/small-disk.js";
import { readChains } from "../fixtures/trail.js";
import {
  CountAuditEventsDocument,
  IdentityDocument,
  IssueAccessTokenDocument,
  type IssueAccessTokenMutation,
  RevokeMyAccessTokensDocument,
  SuspendIdentityDocument,
  ViewerDocument,
} from "../generated/graphql.js";

/** An empty Postgres database takes 8 of them. */
const MEGABYTES = 12;
/** Pages that were begun take some more records when nothing else is left. */
const MOST_TILL_FULL = 500;
/** Bytes, less than any line has. */
const LEFT = 100;
/** Records: that an identity is to be made, that it was, and the token. */
const OF_A_FIRST_TOKEN = 3;
/** The end of a file with half a line. */
const TORN = /\{"[^\n]+$/;
/** Another process is started for some, on a machine that may be busy. */
const PATIENCE_MS = 60_000;

vi.setConfig({ testTimeout: PATIENCE_MS, hookTimeout: PATIENCE_MS });

const leftOut = NO_SMALL_DISK || (await whyNotOnDisk(STORE_SERVER));
const chat = { scopes: ["CHAT" as const] };

let disk: SmallDisk;
let rig: Rig;
let config: Config;

const whole = { code: 0, stdout: expect.stringContaining(", whole") };
const tokenIn = ({ data }: Reply<IssueAccessTokenMutation>) => data?.issueAccessToken.accessToken?.token;

describe.skipIf(leftOut)(`a gateway whose database has no room left on its disk${leftOut}`, () => {
  /** All that anybody got. */
  let tokens: string[];

  beforeEach(async () => {
    tokens = [];
    disk = SmallDisk.mount(MEGABYTES);
    rig = await Rig.start({
      disk,
      configure: (shipped) => {
        config = { ...shipped, limits: { ...shipped.limits, mintsPerSubject: 10_000, requestsPerSubject: 10_000 } };
        return config;
      },
    });
  });
  afterEach(async () => {
    disk.free();
    await rig.close().finally(() => disk.close());
  });

  async function ask(client: Client, more: { forceNew?: boolean } = {}) {
    const reply = await client.execute(IssueAccessTokenDocument, { ...chat, ...more });
    const token = tokenIn(reply);
    if (token) tokens.push(token);
    else expect(reply.text).not.toContain("eyJ");
    return reply;
  }

  async function untilRefused(work: () => Promise<Reply<unknown>>): Promise<Reply<unknown>> {
    for (let tries = 0; tries < MOST_TILL_FULL; tries++) {
      const reply = await work();
      if (reply.status !== 200) return reply;
    }
    throw new Error("the disk is not full");
  }

  const unavailable = (...codes: string[]) => ({
    status: 503,
    data: null,
    errors: [{ extensions: { code: expect.toBeOneOf(codes), retryable: true } }],
  });

  async function expectAllRecorded(): Promise<void> {
    const fingerprint = createFingerprint(openKeys(config).auditKey);
    const outcomes = (await readChains(rig.ask)).flat().filter(({ phase }) => phase === "OUTCOME");
    const recorded = new Set(outcomes.map(({ tokenFingerprint }) => tokenFingerprint));
    expect(tokens.filter((token) => !recorded.has(fingerprint(token)))).toEqual([]);
  }

  it("hands out no token, answers what only reads, and goes on when there is room", async () => {
    const admin = await rig.admin();
    const client = await rig.member("ann");
    const known = tokenIn(await ask(client)) ?? expect.fail("no token");
    const { viewer } = await client.ask(ViewerDocument);
    const id = viewer.identity?.id ?? expect.fail("no identity");
    disk.fill();
    const revoke = () => client.execute(RevokeMyAccessTokensDocument, {});
    const suspend = () => admin.execute(SuspendIdentityDocument, { identityId: id });
    for (const work of [() => ask(client), () => ask(client, { forceNew: true }), revoke, suspend]) {
      expect(await untilRefused(work)).toMatchObject(unavailable("AUDIT_UNAVAILABLE"));
    }
    for (const reply of await Promise.all(Array.from({ length: 20 }, () => ask(client)))) {
      expect(reply).toMatchObject(unavailable("AUDIT_UNAVAILABLE"));
    }
    const newcomers = await Promise.all(["new", "other", "third"].map((subject) => rig.member(subject)));
    // Their rows come before their records, and may find room where those do not.
    for (const reply of await Promise.all(newcomers.map((each) => ask(each)))) {
      expect(reply).toMatchObject(unavailable("STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE"));
    }
    expect((await fetch(`${rig.gateway.url}/health/live`)).status).toBe(200);
    expect((await admin.ask(IdentityDocument, { id })).node).toMatchObject({ id, status: "ACTIVE" });
    expect((await admin.ask(CountAuditEventsDocument, {})).auditEvents.totalCount).toBeGreaterThan(0);
    disk.free();
    expect(tokenIn(await ask(client))).toBe(known);
    for (const newcomer of newcomers) expect(tokenIn(await ask(newcomer))).toBeTruthy();
    expect(await rig.verifyTrail()).toMatchObject(whole);
    await expectAllRecorded();
  });

  it("stops and starts without room, and loses nothing by that", async () => {
    const client = await rig.member("bob");
    expect(tokenIn(await ask(client))).toBeTruthy();
    disk.fill();
    await untilRefused(() => ask(client));
    await rig.restartGateway();
    expect(await untilRefused(() => ask(client))).toMatchObject(unavailable("AUDIT_UNAVAILABLE"));
    disk.free();
    expect(tokenIn(await ask(client))).toBeTruthy();
    expect(await rig.verifyTrail()).toMatchObject(whole);
    await expectAllRecorded();
  });
});

describe.skipIf(NO_SMALL_DISK)(`a gateway whose audit file has no room left on its disk${NO_SMALL_DISK}`, () => {
  const PAGE = 4096;
  let folder: string;
  let gateway: Instance;

  beforeAll(async () => {
    rig = await Rig.start();
  });
  afterAll(async () => {
    await rig.close();
  });
  beforeEach(() => {
    disk = SmallDisk.mount(1);
    folder = disk.folder("audit");
  });
  afterEach(async () => {
    await gateway.close().finally(() => disk.close());
  });

  /** A caller of a gateway whose trail is set up so. */
  async function start(subject: string, changes: Partial<Config["audit"]>) {
    gateway = await rig.startAnother({
      configure: (shipped) => ({ ...shipped, audit: { ...shipped.audit, ...changes } }),
    });
    const client = (await rig.member(subject)).at(gateway);
    const issue = async () => tokenIn(await client.execute(IssueAccessTokenDocument, chat)) ?? expect.fail("no token");
    return { client, issue };
  }

  const read = (file: string) => readFileSync(file, "utf8");
  const linesIn = (file: string) =>
    read(file)
      .split("\n")
      .filter((line) => line.trim() !== "");

  /** What is not waited for is written a little later: a file that was filled before would have more room. */
  async function expectFirstToken(...files: string[]): Promise<void> {
    for (const file of files) await expect.poll(() => linesIn(file).length).toBe(OF_A_FIRST_TOKEN);
  }

  /** To the last byte; but for so many, within which no line ends, in each of these files. */
  function fill(...files: string[]): void {
    for (const file of files) {
      appendFileSync(file, `${" ".repeat(2 * PAGE - (statSync(file).size % PAGE) - LEFT - 1)}\n`);
    }
    disk.fill();
  }

  /** That every line is of one record, and that it has all that the database has of its writer. */
  async function expectWhole(file: string, lines = linesIn(file)): Promise<void> {
    const records = lines.map((line) => readLine(line) ?? expect.fail(`torn: ${line}`));
    const stored = (await readChains(rig.ask)).find(([first]) => first?.writer === records[0]?.writer) ?? [];
    expect(records.map(recordId)).toEqual(stored.map(recordId));
  }

  it("hands out no token when it is required, and no line is torn or doubled when there is room", async () => {
    const files = ["required", "other"].map((name) => join(folder, name));
    const sinks = files.map((to, index) => ({ to, required: index === 0 }));
    const { client, issue } = await start("cleo", { sinks });
    const known = await issue();
    await expectFirstToken(...files);
    fill(...files);
    for (const forceNew of [false, true, false]) {
      const reply = await client.execute(IssueAccessTokenDocument, { ...chat, forceNew });
      expect(reply).toMatchObject({ status: 503, errors: [{ extensions: { code: "AUDIT_UNAVAILABLE" } }] });
      expect(reply.text).not.toContain("eyJ");
    }
    for (const file of files) expect(read(file)).toMatch(TORN);
    disk.free();
    expect(await issue()).toBe(known);
    for (const file of files) {
      await expect.poll(() => linesIn(file).length).toBe(7);
      await expectWhole(file);
    }
  });

  it("goes on when it is not required, and no line is torn or doubled when there is room", async () => {
    const file = join(folder, "other");
    const { issue } = await start("dora", { sinks: [{ to: file, required: false }] });
    await issue();
    await expectFirstToken(file);
    fill(file);
    await issue();
    await issue();
    await expect.poll(() => read(file)).toMatch(TORN);
    disk.free();
    await issue();
    await expect.poll(() => linesIn(file).length).toBe(6);
    await expectWhole(file);
  });

  it("has each line whole in the next file when it is moved away in the middle of one", async () => {
    const file = join(folder, "records");
    const { client, issue } = await start("emma", { sinks: [{ to: file, required: true }] });
    await issue();
    await expectFirstToken(file);
    fill(file);
    expect(await client.execute(IssueAccessTokenDocument, chat)).toMatchObject({ status: 503 });
    renameSync(file, `${file}.1`);
    disk.free();
    await issue();
    await expectWhole(file, [...linesIn(`${file}.1`).slice(0, -1), ...linesIn(file)]);
  });

  it("hands out tokens though no checkpoint can be written, and signs for them when there is room", async () => {
    const file = join(folder, "checkpoints");
    const { issue } = await start("fay", { checkpoints: { kind: "file", file }, checkpointSeconds: 0.05 });
    const lastIn = () => (existsSync(file) ? linesIn(file).at(-1) : undefined);
    await issue();
    await expect.poll(lastIn).toMatch(/"sequence":3,.*\}$/);
    fill(file);
    await issue();
    await expect.poll(() => read(file)).toMatch(TORN);
    await expect.poll(() => gateway.logLines.join("")).toContain("audit checkpoint not written");
    disk.free();
    await expect.poll(lastIn).toMatch(/"sequence":4,.*\}$/);
    expect(await rig.verifyTrail(["--checkpoints", file])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("1 of them with a checkpoint"),
    });
  });
});
