import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readLine } from "../../src/audit/export-line.js";
import type { AuditEvent } from "../../src/audit/record.js";
import { FileOutput, type SinkOutput, StreamOutput } from "../../src/audit/sink-outputs.js";
import { Sink, Sinks } from "../../src/audit/sinks.js";
import { Trail } from "../../src/audit/trail.js";
import { Verifier } from "../../src/audit/verifier.js";
import { openStore, type Store } from "../../src/store/store.js";
import { askFile, faultIn, readChains } from "../fixtures/trail.js";

const never = new AbortController().signal;
const unavailable = { code: "AUDIT_UNAVAILABLE" };
const HAS_FULL_DEVICE = existsSync("/dev/full");

const event = (requestId: string): AuditEvent => ({
  action: "TOKEN_ISSUED",
  phase: "OUTCOME",
  identityId: "idn_1",
  actor: { issuer: "https://i.example.com", subject: "ünï \u{1F600} ' \\ \"" },
  scopes: ["CHAT"],
  tokenFingerprint: "fingerprint",
  tokenExpiresOn: 1_800_000_000_000,
  reason: "because\nof 'this'",
  requestId,
  clientName: null,
  clientVersion: "1",
});

let folder: string;
let file: string;
let store: Store;
let seen: { lost: number; changes: string[]; reached: number; failures: unknown[] };
let opened: { trail: Trail; sinks: Sinks };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-sinks-"));
  file = join(folder, "records.jsonl");
  store = await openStore({ kind: "sqlite", file: join(folder, "gateway.db") });
  seen = { lost: 0, changes: [], reached: 0, failures: [] };
});
afterEach(async () => {
  await close();
  await store.close();
  rmSync(folder, { recursive: true });
});

interface Options {
  readonly queueSize?: number;
  readonly writeTimeoutMs?: number;
}

function start(output: SinkOutput, isRequired: boolean, options: Options = {}): void {
  const { queueSize = 10_000, writeTimeoutMs = 10_000 } = options;
  const observe = {
    down: () => seen.changes.push("down"),
    back: () => seen.changes.push("back"),
    lost: (count: number) => {
      seen.lost += count;
    },
  };
  const sinks = new Sinks([new Sink({ name: "the sink", output, isRequired, queueSize, observe })]);
  const trail = new Trail({
    store: store.audit,
    sinks,
    now: Date.now,
    elapsed: () => performance.now(),
    randomBytes,
    queueSize: 10_000,
    writeTimeoutMs,
    observe: {
      written: (count) => {
        seen.reached += count;
      },
      failed: (_, error) => seen.failures.push(error),
    },
  });
  opened = { trail, sinks };
}

async function close(): Promise<void> {
  await opened.trail.close(1000);
  await opened.sinks.close(100);
}

const record = (requestId: string) => opened.trail.record(event(requestId), never);
const names = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `r${from + index}`);
const recordAll = (requestIds: readonly string[]) => Promise.allSettled(requestIds.map(record));
const refusedIn = (results: readonly PromiseSettledResult<unknown>[]) =>
  results.filter(({ status }) => status === "rejected").length;

/** Of records that are whole, each a line of an export, and have an unbroken chain of each writer. */
function requestsIn(lines: string): string[] {
  if (lines === "") return [];
  const verifier = new Verifier();
  expect(lines.at(-1)).toBe("\n");
  return lines
    .slice(0, -1)
    .split("\n")
    .map((line) => {
      const found = readLine(line) ?? expect.fail(`not a line of an export: ${line}`);
      expect(verifier.add(found, found.previousHash)).toBeUndefined();
      return found.requestId;
    });
}
const inFile = () => requestsIn(readFileSync(file, "utf8"));

/** What the database has, which is whole whatever a sink does. */
async function stored(): Promise<string[]> {
  const chains = await readChains(async (sql) => askFile(join(folder, "gateway.db"), sql));
  for (const records of chains) expect(faultIn(records)).toBeUndefined();
  return chains.flat().map(({ requestId }) => requestId);
}

describe("a sink", () => {
  it("has each record as a line of an export, in the chain's order, in a file for the owner's eyes", async () => {
    start(new FileOutput(file), true);
    await recordAll(names(700));
    await record("last");
    expect(inFile()).toEqual([...names(700), "last"]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("that is required has a record once it is told as durable", async () => {
    start(new FileOutput(file), true);
    for (let count = 1; count <= 3; count++) {
      await record(`r${count}`);
      expect(inFile()).toHaveLength(count);
    }
  });

  it("begins a line of its own behind one that a process before it has left unfinished", async () => {
    writeFileSync(file, '{"id":"aud_');
    const output = new FileOutput(file);
    await output.open();
    start(output, true);
    await record("r0");
    await record("r1");
    const [torn, ...lines] = readFileSync(file, "utf8").split("\n");
    expect(torn).toBe('{"id":"aud_');
    expect(requestsIn(lines.join("\n"))).toEqual(["r0", "r1"]);
  });

  it("adds to what a file has already", async () => {
    start(new FileOutput(file), true);
    await record("r0");
    await close();
    const output = new FileOutput(file);
    await output.open();
    start(output, true);
    await record("r1");
    expect(inFile()).toEqual(["r0", "r1"]);
  });

  it("goes on in a new file once the old one was moved away", async () => {
    start(new FileOutput(file), true);
    await recordAll(names(3));
    const old = join(folder, "records.jsonl.1");
    renameSync(file, old);
    await recordAll(names(3, 3));
    expect(requestsIn(readFileSync(old, "utf8"))).toEqual(names(3));
    expect(readFileSync(file, "utf8").trimEnd().split("\n")).toHaveLength(3);
  });

  it("can be standard output", async () => {
    const stream = new PassThrough();
    start(new StreamOutput(stream), true);
    await recordAll(names(20));
    stream.end();
    expect(requestsIn(await text(stream))).toEqual(names(20));
  });

  it("writes as it closes what it has not yet written", async () => {
    start(new FileOutput(file), false);
    await recordAll(names(600));
    await close();
    expect(inFile()).toEqual(names(600));
    expect(seen.lost).toBe(0);
  });
});

it("a sink whose file ended within a line has no line of nothing in the next one", async () => {
  writeFileSync(file, '{"half');
  const output = new FileOutput(file);
  await output.open();
  renameSync(file, `${file}.1`);
  start(output, true);
  await record("r0");
  expect(inFile()).toEqual(["r0"]);
});

it("a sink that is being closed tries once more what a write has left, and takes nothing beside that", async () => {
  const tries: PromiseWithResolvers<void>[] = [];
  const texts: string[] = [];
  const write = async (bytes: Buffer) => {
    const underWay = Promise.withResolvers<void>();
    tries.push(underWay);
    await underWay.promise;
    texts.push(bytes.toString());
    return bytes.length;
  };
  const lost: number[] = [];
  const observe = { down: () => {}, back: () => {}, lost: (count: number) => lost.push(count) };
  const sink = new Sink({
    name: "the sink",
    output: { write, close: () => {} },
    isRequired: true,
    queueSize: 10,
    observe,
  });
  const before = sink.take(["before"]);
  const closed = sink.close(5000);
  tries[0]?.reject(new Error("no room"));
  await expect(before).rejects.toThrow("no room");
  await expect.poll(() => tries).toHaveLength(2);
  const refused = sink.take(["while", "closing"]);
  expect(tries).toHaveLength(2);
  await expect(refused).rejects.toThrow("it is being closed");
  tries[1]?.resolve();
  await closed;
  await expect(sink.take(["after"])).rejects.toThrow("it is being closed");
  expect(tries).toHaveLength(2);
  expect(texts).toEqual(["before\n"]);
  expect(lost).toEqual([2, 1]);
});

describe.skipIf(!HAS_FULL_DEVICE)("a sink on a full disk", () => {
  const fill = () => symlinkSync("/dev/full", file);
  const clear = () => rmSync(file);

  it("that is required refuses each record, which the store has, and gets them in their order when there is room", async () => {
    fill();
    start(new FileOutput(file), true);
    const refused = await recordAll(names(5));
    expect(refused).toEqual(names(5).map(() => expect.objectContaining({ status: "rejected" })));
    await expect(record("r5")).rejects.toMatchObject(unavailable);
    expect(await stored()).toEqual(names(6));
    // A checkpoint stands for them, too, and the chain goes on.
    expect(seen.reached).toBe(6);
    expect(seen.failures).toContainEqual(
      expect.objectContaining({ cause: expect.objectContaining({ code: "ENOSPC" }) }),
    );
    clear();
    await record("r6");
    expect(inFile()).toEqual(names(7));
    expect(seen).toMatchObject({ lost: 0, changes: ["down", "back"] });
  });

  it("that is not required holds up nobody, and gets what its bound allows when there is room", async () => {
    fill();
    start(new FileOutput(file), false, { queueSize: 4 });
    for (const requestId of names(10)) await record(requestId);
    expect(await stored()).toEqual(names(10));
    expect(seen).toMatchObject({ lost: 6, changes: ["down"], failures: [] });
    clear();
    await close();
    expect(inFile()).toEqual(names(4));
    expect(seen).toMatchObject({ lost: 6, changes: ["down", "back"] });
  });

  it.each([true, false])(
    "whose queue is full takes records again once there is room (required: %s)",
    async (isRequired) => {
      fill();
      start(new FileOutput(file), isRequired, { queueSize: 2 });
      await recordAll(names(2));
      await expect.poll(() => seen.changes).toEqual(["down"]);
      await recordAll(["lost"]);
      expect(seen.lost).toBe(1);
      clear();
      // Of those that come now, each has it looked for room, until there is.
      await expect
        .poll(async () => {
          await recordAll(["next"]);
          return seen.changes;
        })
        .toEqual(["down", "back"]);
      await record("last");
      await expect.poll(() => readFileSync(file, "utf8")).toContain('"requestId":"last"');
      expect(readFileSync(file, "utf8")).not.toContain("lost");
    },
  );

  it("has lost what it did not take before the end", async () => {
    fill();
    start(new FileOutput(file), false);
    await recordAll(names(3));
    await close();
    expect(seen.lost).toBe(3);
    expect(seen.changes.at(-1)).toBe("down");
  });
});

describe("a sink that is a named pipe", () => {
  let reader: number | undefined;
  beforeEach(() => {
    execFileSync("mkfifo", [file]);
    listen();
  });
  afterEach(() => stopListening());
  const listen = () => {
    reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  };
  const stopListening = () => {
    if (reader !== undefined) closeSync(reader);
    reader = undefined;
  };
  /** All that is in it just now. */
  function read(): string {
    const buffer = Buffer.alloc(1 << 20);
    const chunks: Buffer[] = [];
    try {
      for (let count = -1; count !== 0; ) {
        count = readSync(reader ?? expect.fail(), buffer);
        chunks.push(Buffer.from(buffer.subarray(0, count)));
      }
    } catch (error) {
      expect(error).toMatchObject({ code: "EAGAIN" });
    }
    return Buffer.concat(chunks).toString();
  }
  /** It takes many looks, however busy the machine is. */
  const PATIENTLY = { interval: 10, timeout: 15_000 };
  /** More than a pipe holds. */
  const MANY = 1000;

  it("and that nobody reads is waited for no longer than a write is, and has it all once somebody does", async () => {
    start(new FileOutput(file), true, { writeTimeoutMs: 200 });
    const results = await recordAll(names(MANY));
    expect(refusedIn(results)).toBeGreaterThan(0);
    expect(await stored()).toEqual(names(MANY));
    let lines = "";
    await expect
      .poll(() => {
        lines += read();
        return lines.split("\n").length - 1;
      }, PATIENTLY)
      .toBe(MANY);
    expect(requestsIn(lines)).toEqual(names(MANY));
    await record("last");
    expect(readLine(read().trimEnd())).toMatchObject({ requestId: "last" });
    expect(seen.lost).toBe(0);
  });

  it("and that nobody reads holds up nobody when it is not required, and loses what its bound does not allow", async () => {
    start(new FileOutput(file), false, { queueSize: 300 });
    expect(refusedIn(await recordAll(names(MANY)))).toBe(0);
    expect(seen.lost).toBeGreaterThan(0);
    expect(seen.changes).toEqual(["down"]);
    // However many hang, the process still reads and writes files: none of them keeps a thread of the pool.
    await close();
    expect(await stored()).toEqual(names(MANY));
  });

  it("and is slowly read has it all, torn nowhere", async () => {
    start(new FileOutput(file), true);
    let lines = "";
    const told = recordAll(names(MANY)).then(refusedIn);
    await expect
      .poll(() => {
        lines += read();
        return lines.split("\n").length - 1;
      }, PATIENTLY)
      .toBe(MANY);
    expect(await told).toBe(0);
    expect(requestsIn(lines)).toEqual(names(MANY));
  });

  it("begins the line anew for the next reader that one had got half of", async () => {
    start(new FileOutput(file), true, { writeTimeoutMs: 200 });
    expect(refusedIn(await recordAll(names(MANY)))).toBeGreaterThan(0);
    stopListening();
    await expect.poll(() => seen.changes, PATIENTLY).toEqual(["down"]);
    listen();
    let lines = "";
    await recordAll(["last"]);
    await expect
      .poll(() => {
        lines += read();
        return lines.includes('"requestId":"last"') && lines.endsWith("\n");
      }, PATIENTLY)
      .toBe(true);
    expect(
      lines
        .slice(0, -1)
        .split("\n")
        .filter((line) => readLine(line) === undefined),
    ).toEqual([]);
  });

  it("goes on with the next reader when one has gone", async () => {
    start(new FileOutput(file), true);
    await record("r0");
    read();
    stopListening();
    await expect(record("r1")).rejects.toMatchObject(unavailable);
    await expect(record("r2")).rejects.toMatchObject(unavailable);
    listen();
    await record("r3");
    const lines = read().trimEnd().split("\n");
    expect(lines.map((line) => readLine(line)?.requestId)).toEqual(["r1", "r2", "r3"]);
    expect(seen.changes).toEqual(["down", "back"]);
  });
});

describe("a sink that is standard output", () => {
  it("and that nobody reads is waited for no longer than a write is", async () => {
    const released: (() => void)[] = [];
    const stuck = new Writable({ write: (_, __, done) => void released.push(done) });
    start(new StreamOutput(stuck), true, { writeTimeoutMs: 50 });
    await expect(record("r0")).rejects.toMatchObject(unavailable);
    await expect(record("r1")).rejects.toMatchObject(unavailable);
    expect(await stored()).toEqual(["r0", "r1"]);
    // The second waits behind the first: nothing piles up in the stream.
    expect(released).toHaveLength(1);
  });

  it("and that is closed on the other side is down, and the process lives on", async () => {
    const closed = new Writable({ write: (_, __, done) => done(new Error("EPIPE")) });
    start(new StreamOutput(closed), false);
    await record("r0");
    await record("r1");
    expect(await stored()).toEqual(["r0", "r1"]);
    expect(seen.changes).toEqual(["down"]);
  });
});

it("a sink that takes records again is so for who looks, however much still waits", async () => {
  let isFull = true;
  const write = async (bytes: Buffer) => {
    await pause(2);
    if (isFull) throw new Error("no room");
    return bytes.length;
  };
  const observe = { down: () => {}, back: () => {}, lost: () => {} };
  const sink = new Sink({
    name: "the sink",
    output: { write, close: () => {} },
    isRequired: true,
    queueSize: 1000,
    observe,
  });
  expect(sink.whyNotTaking()).toBeUndefined();
  await expect(sink.take(["first"])).rejects.toThrow("no room");
  expect(sink.whyNotTaking()).toMatchObject({ message: "the sink takes no records" });
  isFull = false;
  let isOver = false;
  const filling = Array.from({ length: 3 }, async () => {
    while (!isOver) await sink.take(["more", "and more"]).catch(() => {});
  });
  await expect.poll(() => sink.whyNotTaking(), { timeout: 1000 }).toBeUndefined();
  isOver = true;
  await Promise.all(filling);
  await sink.close(1000);
});
