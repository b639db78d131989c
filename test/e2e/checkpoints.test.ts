import { createPublicKey } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ChainEnd } from "../../src/audit/chain.js";
import { readEnd } from "../../src/audit/signed-end.js";
import { Trail } from "../../src/audit/trail.js";
import type { Config } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { openKeys } from "../../src/keys.js";
import { CheckpointReceiver } from "../fixtures/checkpoint-receiver.js";
import { RawConnection } from "../fixtures/raw.js";
import { Rig } from "../fixtures/rig.js";
import { readChains } from "../fixtures/trail.js";

/** So long that only a stop can have signed what is there. */
const DAY_SECONDS = 86_400;
/** In which a gateway whose ports are closed comes to its trail. Whoever writes to SQLite waits for others for no more than a second. */
const REST_OF_A_STOP_MS = 200;

let folder: string;
let receiver: CheckpointReceiver;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-checkpoints-"));
  receiver = await CheckpointReceiver.start();
});
afterEach(() => {
  vi.restoreAllMocks();
  receiver.close();
  rmSync(folder, { recursive: true });
});

type Place = NonNullable<Config["audit"]["checkpoints"]>;

const file = () => join(folder, "checkpoints.jsonl");
const FILE = {
  place: (): Place => ({ kind: "file", file: file() }),
  lines: () => linesOf(readFileSync(file(), "utf8")),
};
const ADDRESS = {
  place: (): Place => ({ kind: "address", address: new Secret(receiver.url) }),
  lines: () => receiver.received.map(({ body }) => body),
};

describe.each([
  ["a file", FILE],
  ["an address", ADDRESS],
])("a gateway that stops while a record is being written, with checkpoints sent to %s", (_, { place, lines }) => {
  it("signs the end of the trail once, when that record is there", async () => {
    let config: Config | undefined;
    const rig = await Rig.start({
      configure: (shipped) => {
        config = { ...shipped, audit: { ...shipped.audit, checkpoints: place(), checkpointSeconds: DAY_SECONDS } };
        return config;
      },
    });
    const request = tokenRequest(await rig.issuer.sign("alice"));
    expect(await RawConnection.exchange(rig.gateway.url, request)).toContain('"token":"ey');
    const taken = vi.spyOn(Trail.prototype, "record");
    const release = await rig.lockTrail();
    const connection = await RawConnection.open(rig.gateway.url);
    connection.send(request);
    await expect.poll(() => taken.mock.calls.length, { interval: 5 }).toBeGreaterThan(0);
    // Nobody waits for who has left, so that only the trail waits for this record.
    connection.close();
    const closing = rig.gateway.close();
    await expect.poll(() => isClosed(rig.gateway.adminUrl), { interval: 5 }).toBe(true);
    await setTimeout(REST_OF_A_STOP_MS);
    await release();
    await closing;
    const keys = [createPublicKey(openKeys(config ?? expect.fail("not configured")).checkpointKey)];
    expect(lines().map((line) => readEnd("checkpoint", line, keys))).toEqual([await newest(rig)]);
    await rig.close();
  });
});

/** On a connection of its own, which the answer ends: one that is kept holds up a stop. */
function tokenRequest(token: string): string {
  const query =
    "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { token } userErrors { code } } }";
  const body = JSON.stringify({ query });
  const head = [
    "POST /graphql HTTP/1.1",
    "host: gateway.test",
    "connection: close",
    `authorization: Bearer ${token}`,
    "content-type: application/json",
    `content-length: ${body.length}`,
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

async function isClosed(url: string): Promise<boolean> {
  const { socket } = await RawConnection.open(url);
  const isRefused = socket.closed;
  socket.destroy();
  return isRefused;
}

async function newest(rig: Rig): Promise<ChainEnd> {
  const [records = [], ...others] = await readChains(rig.ask);
  expect(others).toEqual([]);
  const { writer, sequence, hash, at } = records.at(-1) ?? expect.fail("there is no record");
  return { writer, sequence, hash, at };
}

const linesOf = (text: string) => text.split("\n").filter((line) => line !== "");
