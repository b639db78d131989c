import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.js";
import { AUDIENCE, TestIssuer } from "../fixtures/issuer.js";
import { IssueAccessTokenDocument, ViewerDocument } from "../generated/graphql.js";
import { Connection } from "./connection.js";
import type { Heap } from "./heap-reporter.js";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const REPORTER = new URL("heap-reporter.ts", import.meta.url).href;
/** So much is allocated before anything is collected; then the heap's growth is what was allocated. */
const YOUNG_MB = 256;
/** Until the compiler has done with the code. */
const WARM_UP = 2000;
const ROUNDS = 5;
const IN_A_ROUND = 200;

let folder: string;
let issuer: TestIssuer;
let emulator: Emulator;
let gateway: ChildProcess;
let connection: Connection;
let token: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-allocations-"));
  issuer = await TestIssuer.start();
  emulator = await startEmulator({ host: "127.0.0.1", port: 0, latency: "none", rateLimits: false, now: Date.now });
  const young = [`--max-semi-space-size=${YOUNG_MB}`, `--min-semi-space-size=${YOUNG_MB}`];
  gateway = spawn(process.execPath, [...young, "--import", REPORTER, MAIN, "serve"], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      PORT: "0",
      ADMIN_PORT: "0",
      ACS_CONNECTION_STRING: emulator.connectionString,
      OIDC_ISSUER: issuer.url,
      OIDC_AUDIENCE: AUDIENCE,
      LIMIT_REQUESTS_PER_SUBJECT: "1000000",
      DATABASE_URL: `sqlite:${join(folder, "gateway.db")}`,
    },
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  const [line] = (await once(gateway.stdout ?? expect.fail("no output"), "data")) as [Buffer];
  gateway.stdout?.resume();
  const [, url = ""] = /"url":"([^"]+)"/.exec(String(line)) ?? [];
  connection = await Connection.open(url);
  token = await issuer.sign("alice");
}, 60_000);
afterAll(async () => {
  connection.close();
  gateway.kill("SIGKILL");
  await once(gateway, "exit");
  await emulator.close();
  await issuer.close();
  rmSync(folder, { recursive: true });
});

/**
 * Bytes, some fifth above what they are: whole rounds differ by a hundredth, other versions of Node by more. Without the
 * memory of buffers, which is not in that heap.
 */
describe("what one request allocates in JavaScript's heap", () => {
  it.for([
    {
      most: 130_000,
      name: "issueAccessToken from the cache",
      document: IssueAccessTokenDocument,
      variables: { scopes: ["CHAT"] },
    },
    { most: 110_000, name: "viewer", document: ViewerDocument, variables: {} },
  ])("is at most $most bytes for $name", { timeout: 180_000 }, async ({ most, document, variables }) => {
    const body = { query: document.toString(), variables };
    await ask(body, WARM_UP);
    const rounds: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const before = await heap();
      await ask(body, IN_A_ROUND);
      const after = await heap();
      const isWhole = after.collections === before.collections;
      if (isWhole) rounds.push((after.usedBytes - before.usedBytes) / IN_A_ROUND);
    }
    expect(medianOf(rounds)).toBeGreaterThan(0);
    expect(medianOf(rounds)).toBeLessThan(most);
  });
});

async function ask(body: unknown, times: number): Promise<void> {
  for (let asked = 0; asked < times; asked++) {
    const answer = await connection.post(token, body);
    if (!answer.startsWith('{"data":')) throw new Error(answer);
  }
}

async function heap(): Promise<Heap> {
  const answer = once(gateway, "message");
  gateway.send({});
  return ((await answer) as [Heap])[0];
}

/** Undefined when garbage was collected in each round. */
function medianOf(values: readonly number[]): number | undefined {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
}
