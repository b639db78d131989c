import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import type { Config } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { redisUrl, TEST_REDIS_URL } from "../fixtures/redis.js";
import { IS_ON_SQLITE, Rig, STORE_SERVER } from "../fixtures/rig.js";
import { IssueAccessTokenDocument, ViewerDocument } from "../generated/graphql.js";
import { type Budgeted, budgetOf, type Part, REQUESTS, type Request, type Shared, sharedBy } from "./budget.js";
import { Connection } from "./connection.js";
import { Operations } from "./operations.js";

const WARM_UP = 40;
const MEASURED = 100;
const USERS = 20;
const AT_ONCE = 32;
const FIRST_LIFETIME = 60;
const INFO = 30;
const SETTLE_MS = 20;

interface Asked {
  readonly token: string;
  readonly body: unknown;
}

/** By what tells one from the other, as of `Operations`. */
type Labels = ReadonlyMap<string, number>;
type Measured = ReadonlyMap<Budgeted, Labels>;

let operations: Operations;
beforeAll(async () => {
  operations = await Operations.install();
});
afterAll(() => operations.uninstall());

const REDIS = TEST_REDIS_URL === undefined ? [false] : [false, true];

describe.for(REDIS)(`the cost of a request on ${IS_ON_SQLITE ? "SQLite" : "Postgres"}, Redis: %s`, (withRedis) => {
  const parts: Part[] = [IS_ON_SQLITE ? "SQLite" : "Postgres", withRedis ? "Redis" : "no Redis"];
  const tokens: string[] = [];
  const newcomers: string[] = [];
  let rig: Rig;

  beforeAll(async () => {
    const redis = { url: withRedis ? new Secret(redisUrl()) : null };
    // Its clock stands still: what is done once in a while, as the trail's entry of its writer, is no request's.
    const now = Date.now();
    rig = await Rig.start({ now: () => now, configure: (shipped) => ({ ...steady(shipped), redis }) });
    for (let user = 0; user < USERS; user++) tokens.push(await rig.issuer.sign(`user-${user}`));
    for (let user = 0; user < WARM_UP + MEASURED; user++) newcomers.push(await rig.issuer.sign(`newcomer-${user}`));
  });
  afterAll(() => rig.close());

  it.for(REQUESTS)("is what its budget says: %s", async (request) => {
    const measured = await measure(request);
    const shared = sharedBy(request, parts);
    const budget = budgetOf(request, parts);
    const operationsDone = new Set([...budget.keys(), ...measured.keys()]);
    const faults = [...operationsDone].flatMap((operation) => {
      const ofThis = shared.filter((each) => each.operation === operation);
      const all = measured.get(operation);
      const own = sum(withoutShared(all, ofThis));
      const expected = (budget.get(operation) ?? 0) * MEASURED;
      return [
        ...(own === expected ? [] : [`${operation}: ${own} for ${expected}\n${describeAll(all)}`]),
        ...ofThis.flatMap((each) => whyTooMany(each, all)),
      ];
    });
    expect(faults.join("\n")).toBe("");
  });

  it("is told from what it was before by a single statement, and by a single HMAC", async () => {
    const store = await rig.openStore();
    const fingerprint = createFingerprint(new Secret(Buffer.alloc(32, 1).toString("base64")));
    const counts = await operations.during(ports(), async () => {
      await store.identities.findById("idn_0000000000000000000000");
      fingerprint("token");
    });
    await store.close();
    expect([sum(counts.get("sql")), sum(counts.get("crypto"))]).toEqual([1, 1]);
  });

  async function measure(request: Request): Promise<Measured> {
    const drive = await openDrive(request === "reused, 32 at once" ? AT_ONCE : 1, requestsFor(request));
    await drive.until(WARM_UP);
    await rig.takeCalls();
    const logged = rig.logLines.length;
    // Of what was asked of the emulator just now something is done in the turns that follow.
    await setTimeout(SETTLE_MS);
    const counts = await operations.during(ports(), () => drive.until(WARM_UP + MEASURED));
    const lines = rig.logLines.slice(logged).filter((line) => (JSON.parse(line) as { level: number }).level >= INFO);
    const calls = await rig.takeCalls();
    drive.close();
    return new Map<Budgeted, Labels>([
      ...counts,
      ["service call", new Map(Object.entries(calls))],
      ["log line", new Map([["INFO and above", lines.length]])],
    ]);
  }

  function requestsFor(request: Request): (index: number) => Asked {
    const chat = { scopes: ["CHAT"] };
    const token = (index: number) => tokens[index % USERS] ?? "";
    switch (request) {
      case "viewer":
        return (index) => ({ token: token(index), body: bodyOf(ViewerDocument) });
      case "minted":
        // No two have the same lifetime, so none is in the cache.
        return (index) => ({
          token: token(index),
          body: bodyOf(IssueAccessTokenDocument, { ...chat, lifetimeMinutes: FIRST_LIFETIME + index }),
        });
      case "first":
        return (index) => ({ token: newcomers[index] ?? "", body: bodyOf(IssueAccessTokenDocument, chat) });
      default:
        return (index) => ({ token: token(index), body: bodyOf(IssueAccessTokenDocument, chat) });
    }
  }

  async function openDrive(atOnce: number, ask: (index: number) => Asked) {
    const connections = await Promise.all(Array.from({ length: atOnce }, () => Connection.open(rig.gateway.url)));
    let next = 0;
    const work = async (connection: Connection, end: number) => {
      while (next < end) {
        const { token, body } = ask(next++);
        const answer = await connection.post(token, body);
        if (!/^\{"data":/.test(answer) || answer.includes('"accessToken":null')) throw new Error(answer);
      }
    };
    return {
      until: async (end: number) => {
        await Promise.all(connections.map((connection) => work(connection, end)));
      },
      close: () => {
        for (const connection of connections) connection.close();
      },
    };
  }

  function ports() {
    const portOf = (url: string | undefined) => (url === undefined ? undefined : Number(new URL(url).port));
    return {
      answer: portOf(rig.gateway.url) ?? 0,
      redis: withRedis ? portOf(redisUrl()) : undefined,
      postgres: portOf(STORE_SERVER),
    };
  }
});

function bodyOf(document: { toString(): string }, variables: object = {}) {
  return { query: document.toString(), variables };
}

/** Nothing is refused, and no further connection opened when the worker happens to look at the same time. */
function steady(config: Config): Config {
  const plenty = 1_000_000;
  const limits = { ...config.limits, mintsPerSubject: plenty, mintsPerIssuer: plenty, requestsPerSubject: plenty };
  const store = config.store.kind === "postgres" ? { ...config.store, maxConnections: 1 } : config.store;
  return { ...config, limits, store };
}

function withoutShared(labels: Labels = new Map(), shared: readonly Shared[]): Labels {
  return new Map([...labels].filter(([text]) => !shared.some(({ label }) => label.test(text))));
}

function whyTooMany({ operation, label, most }: Shared, labels: Labels = new Map()): string[] {
  const found = new Map([...labels].filter(([text]) => label.test(text)));
  const isRight = sum(found) <= most * MEASURED;
  return isRight ? [] : [`${operation}, shared: ${sum(found)} for ${most * MEASURED} at most\n${describeAll(found)}`];
}

function sum(labels: Labels = new Map()): number {
  return [...labels.values()].reduce((total, count) => total + count, 0);
}

function describeAll(labels: Labels = new Map()): string {
  return [...labels].map(([label, count]) => `  ${count} × ${label}`).join("\n");
}
