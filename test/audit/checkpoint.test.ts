import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { Checkpoints } from "../../src/audit/checkpoint.js";
import { fileSink, streamSink } from "../../src/audit/checkpoint-sinks.js";
import { readEnd, signEnd, TORN } from "../../src/audit/signed-end.js";

const { privateKey: key, publicKey } = generateKeyPairSync("ed25519");
const folder = mkdtempSync(join(tmpdir(), "gateway-checkpoints-"));
afterAll(() => rmSync(folder, { recursive: true }));

const end = (sequence: number, writer = "one") => ({ writer, sequence, hash: `hash-${sequence}`, at: 5 });
const read = (lines: string) =>
  lines
    .trimEnd()
    .split("\n")
    .map((line) => readEnd("checkpoint", line, [publicKey]));

describe("a checkpoint", () => {
  const line = signEnd("checkpoint", end(7), key);

  it("says where the chain stood, when, and with which key that was signed", () => {
    expect(readEnd("checkpoint", line, [publicKey])).toEqual(end(7));
    const { publicKey: said } = JSON.parse(line) as { publicKey: string };
    const spki = createPublicKey({ key: Buffer.from(said, "base64"), format: "der", type: "spki" });
    expect(spki.equals(publicKey)).toBe(true);
  });

  it("is taken from no other key, whatever key it says it was signed with", () => {
    const other = generateKeyPairSync("ed25519");
    const forged = signEnd("checkpoint", end(7), other.privateKey);
    expect(readEnd("checkpoint", forged, [publicKey])).toBe("is signed with another key");
    const { keyId } = JSON.parse(line) as { keyId: string };
    const lying = JSON.stringify({ ...JSON.parse(forged), keyId });
    expect(readEnd("checkpoint", lying, [publicKey])).toBe("has a signature that is not of its content");
  });

  it("stands for nothing else once a character of it was changed", () => {
    fc.assert(
      fc.property(fc.nat(line.length - 1), fc.string({ maxLength: 2 }), (at, put) => {
        const found = readEnd("checkpoint", line.slice(0, at) + put + line.slice(at + 1), [publicKey]);
        if (typeof found !== "string") expect(found).toEqual(end(7));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("checkpoints", () => {
  it("are written to a file for the owner's eyes, one line each, in their order", async () => {
    const file = join(folder, "checkpoints.jsonl");
    const failures: unknown[] = [];
    const observe = (error: unknown) => failures.push(error);
    const checkpoints = new Checkpoints({ key, sink: fileSink(file), observe });
    await Promise.all([1, 2, 3].map((sequence) => checkpoints.checkpoint(end(sequence))));
    expect(read(readFileSync(file, "utf8"))).toEqual([1, 2, 3].map((sequence) => end(sequence)));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(failures).toEqual([undefined, undefined, undefined]);
  });

  it("are not spoilt by the half of a line that a crash left in the file", async () => {
    const file = join(folder, "torn.jsonl");
    const whole = signEnd("checkpoint", end(1), key);
    writeFileSync(file, `${whole}\n${whole.slice(0, 40)}`);
    const sink = fileSink(file);
    for (const sequence of [2, 3]) await sink(signEnd("checkpoint", end(sequence), key));
    expect(read(readFileSync(file, "utf8"))).toMatchObject([end(1), TORN, end(2), end(3)]);
  });

  it("sign the last end that each writer reached, and nothing when none did", async () => {
    const stream = new PassThrough();
    const checkpoints = new Checkpoints({ key, sink: streamSink(stream), observe: () => {} });
    for (const reached of [end(1), end(2), end(1, "two")]) checkpoints.reached(reached);
    await checkpoints.flush();
    await checkpoints.flush();
    stream.end();
    expect(read(await text(stream))).toMatchObject([end(2), end(1, "two")]);
  });

  it("are waited for that are under way, and signed anew when those fail", async () => {
    const lines: string[] = [];
    const { promise: answer, reject } = Promise.withResolvers<never>();
    const sink = async (line: string) => {
      lines.push(line);
      if (lines.length === 1) await answer;
    };
    const checkpoints = new Checkpoints({ key, sink, observe: () => {} });
    checkpoints.reached(end(4));
    const first = checkpoints.flush();
    await expect.poll(() => lines.length).toBe(1);
    const last = checkpoints.flush();
    reject(new Error("gone"));
    await Promise.all([first, last]);
    expect(read(lines.join("\n"))).toMatchObject([end(4), end(4)]);
  });

  it("are waited for by whoever flushes last, though an earlier flush has taken them", async () => {
    const { promise: slow, resolve } = Promise.withResolvers<void>();
    const written: string[] = [];
    const sink = async (line: string) => {
      await slow;
      written.push(line);
    };
    const checkpoints = new Checkpoints({ key, sink, observe: () => {} });
    checkpoints.reached(end(1));
    const flushes = [checkpoints.flush()];
    await Promise.resolve();
    checkpoints.reached(end(2));
    flushes.push(checkpoints.flush());
    const last = checkpoints.flush().then(() => written.length);
    resolve();
    expect(await last).toBe(2);
    await Promise.all(flushes);
  });

  it("are not written to a stream that is closed on the other side, which ends nothing", async () => {
    const observed: unknown[] = [];
    const closed = new Writable({ write: (_, __, done) => done(new Error("EPIPE")) });
    const observe = (error: unknown) => observed.push(error);
    const checkpoints = new Checkpoints({ key, sink: streamSink(closed), observe });
    await checkpoints.checkpoint(end(1));
    await checkpoints.checkpoint(end(2));
    expect(observed).toEqual([new Error("EPIPE"), expect.any(Error)]);
  });

  it("that cannot be written are observed, end nothing, and are written with the next ones", async () => {
    const observed: unknown[] = [];
    const lines: string[] = [];
    let isDown = true;
    const sink = async (line: string) => {
      if (isDown) throw new Error("disk full");
      lines.push(line);
    };
    const checkpoints = new Checkpoints({ key, sink, observe: (error) => observed.push(error) });
    checkpoints.reached(end(4));
    await checkpoints.flush();
    isDown = false;
    await checkpoints.flush();
    expect(observed).toEqual([new Error("disk full"), undefined]);
    expect(read(lines.join("\n"))).toMatchObject([end(4)]);
  });
});
