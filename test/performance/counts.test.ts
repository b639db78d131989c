import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import type { Config } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { redisUrl, TEST_REDIS_URL } from "../fixtures/redis.js";
import { IS_ON_SQLITE, Rig, STORE_SERVER } from "../fixtures/rig.js";
import { IssueAccessTokenDocument, ViewerDocument } from "../generated/graphql.js";
import { type Budgeted, budgetOf, EXACT, type Part, REQUESTS, type Request } from "./budget.js";
import { Connection } from "./connection.js";
import { type Counts, type Operation, Operations } from "./operations.js";

const WARM_UP = 40;
const MEASURED = 100;
const USERS = 20;
const AT_ONCE = 32;
const FIRST_LIFETIME = 60;
const INFO = 30;

interface Asked {
  readonly token: string;
  readonly body: unknown;
}

/** For one request, on the average; and of what they were. */
interface Measured {
  readonly averages: ReadonlyMap<Budgeted, number>;
  readonly details: Counts;
}

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
    rig = await Rig.start({ configure: (shipped) => ({ ...withoutLimits(shipped), redis }) });
    for (let user = 0; user < USERS; user++) tokens.push(await rig.issuer.sign(`user-${user}`));
    for (let user = 0; user < WARM_UP + MEASURED; user++) newcomers.push(await rig.issuer.sign(`newcomer-${user}`));
  });
  afterAll(() => rig.close());

  it.for(REQUESTS)("is within its budget: %s", async (request) => {
    const { averages, details } = await measure(request);
    const overruns = [...budgetOf(request, parts)].flatMap(([operation, budget]) => {
      const times = Math.round(averages.get(operation) ?? 0);
      const isRight = EXACT.includes(operation) ? times === budget : times <= budget;
      return isRight
        ? []
        : [`${operation}: ${times} for ${budget}\n${describeAll(details.get(operation as Operation))}`];
    });
    expect(overruns.join("\n")).toBe("");
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
    const details = await operations.during(ports(), () => drive.until(WARM_UP + MEASURED));
    const lines = rig.logLines.slice(logged).filter((line) => (JSON.parse(line) as { level: number }).level >= INFO);
    const calls = Object.values(await rig.takeCalls()).reduce((total, count) => total + count, 0);
    drive.close();
    const totals: [Budgeted, number][] = [
      ["service call", calls],
      ["log line", lines.length],
      ...[...details].map(([operation, labels]): [Budgeted, number] => [operation, sum(labels)]),
    ];
    return { averages: new Map(totals.map(([operation, total]) => [operation, total / MEASURED])), details };
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

function withoutLimits(config: Config): Config {
  const plenty = 1_000_000;
  const limits = { ...config.limits, mintsPerSubject: plenty, mintsPerIssuer: plenty, requestsPerSubject: plenty };
  return { ...config, limits };
}

function sum(labels: ReadonlyMap<string, number> = new Map()): number {
  return [...labels.values()].reduce((total, count) => total + count, 0);
}

function describeAll(labels: ReadonlyMap<string, number> = new Map()): string {
  return [...labels].map(([label, count]) => `  ${(count / MEASURED).toFixed(2)} × ${label}`).join("\n");
}
