import { generateKeyPairSync } from "node:crypto";
import type { RequestListener } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Checkpoints } from "../../src/audit/checkpoint.js";
import { addressSink } from "../../src/audit/checkpoint-sinks.js";
import { readEnd } from "../../src/audit/signed-end.js";
import { CheckpointReceiver } from "../fixtures/checkpoint-receiver.js";

const { privateKey: key, publicKey } = generateKeyPairSync("ed25519");
const end = (sequence: number, writer = "one") => ({ writer, sequence, hash: `hash-${sequence}`, at: 5 });
const answers =
  (status: number, headers = {}): RequestListener =>
  (_, response) =>
    response.writeHead(status, headers).end("so be it");

/** What it was sent, read. */
const checkpointsOf = ({ received }: CheckpointReceiver) =>
  received.map(({ body }) => readEnd("checkpoint", body, [publicKey]));

describe("an address for checkpoints", () => {
  let receiver: CheckpointReceiver;
  let observed: unknown[];
  const start = (timeoutMs = 10_000) => {
    const observe = (error: unknown) => observed.push(error);
    return new Checkpoints({ key, sink: addressSink(receiver.url, timeoutMs), observe });
  };
  beforeEach(async () => {
    observed = [];
    receiver = await CheckpointReceiver.start();
  });
  afterEach(() => receiver.close());

  it("is sent each one by POST, as JSON, in their order", async () => {
    const checkpoints = start();
    await Promise.all([1, 2, 3].map((sequence) => checkpoints.checkpoint(end(sequence))));
    expect(checkpointsOf(receiver)).toEqual([1, 2, 3].map((sequence) => end(sequence)));
    for (const { method, headers } of receiver.received) {
      expect(method).toBe("POST");
      expect(headers["content-type"]).toBe("application/json");
    }
    expect(observed).toEqual([undefined, undefined, undefined]);
  });

  it.each([200, 201, 299])("has taken it when it answers %i", async (status) => {
    receiver.answer = answers(status);
    await start().checkpoint(end(1));
    expect(observed).toEqual([undefined]);
  });

  it.each([300, 400, 401, 429, 500, 503])("has not when it answers %i, and is sent it again", async (status) => {
    const checkpoints = start();
    receiver.answer = answers(status);
    checkpoints.reached(end(4));
    await checkpoints.flush();
    expect(observed).toEqual([new Error(`the address for checkpoints answered ${status}`)]);
    receiver.answer = answers(204);
    await checkpoints.flush();
    await checkpoints.flush();
    expect(observed).toEqual([expect.any(Error), undefined]);
    expect(checkpointsOf(receiver)).toMatchObject([end(4), end(4)]);
  });

  it.each([301, 302, 303, 307, 308])("is not followed elsewhere by its %i", async (status) => {
    const other = await CheckpointReceiver.start();
    receiver.answer = answers(status, { location: other.url });
    await start().checkpoint(end(1));
    other.close();
    expect(observed).toEqual([new Error(`the address for checkpoints answered ${status}`)]);
    expect([receiver.received.length, other.received.length]).toEqual([1, 0]);
  });

  it.each<[what: string, answer: RequestListener]>([
    ["answers nothing", () => {}],
    ["breaks off", (request) => request.socket.destroy()],
    ["talks something else", (request) => request.socket.end("220 mail.example.com ESMTP\r\n")],
    [
      "changes the protocol",
      ({ socket }) => socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n"),
    ],
  ])("that %s has taken nothing, within its time, and the next one is sent", async (_, answer) => {
    const checkpoints = start(300);
    receiver.answer = answer;
    await checkpoints.checkpoint(end(1));
    expect(observed).toEqual([expect.any(Error)]);
    expect(String(observed[0])).not.toContain("k3y");
    receiver.answer = answers(204);
    await checkpoints.checkpoint(end(2));
    expect(checkpointsOf(receiver)).toMatchObject([end(1), end(2)]);
    expect(observed).toEqual([expect.any(Error), undefined]);
  });

  it("is not waited for until the end of an answer that never ends", async () => {
    receiver.answer = (_, response) => response.writeHead(200).write("and ");
    await start().checkpoint(end(1));
    expect(observed).toEqual([undefined]);
  });

  it("that nobody listens at has taken nothing", async () => {
    const checkpoints = start();
    receiver.close();
    await checkpoints.checkpoint(end(1));
    expect(observed).toEqual([expect.objectContaining({ code: "ECONNREFUSED" })]);
  });
});
