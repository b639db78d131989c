import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { startIssuer as StartIssuer } from "../../src/dev/issuer.js";
import type { startEmulator as StartEmulator } from "../../src/emulator/emulator.js";
import { alternate, median, quantile, ratios, spread } from "../figures.js";
import { GatewayProcess } from "../gateway.js";
import { type LoadRequest, load } from "../load.js";
import { builtFile, CAN_PIN, pinLoad, unpin } from "../machine.js";
import { dropDatabase, haveDatabase } from "../postgres.js";
import type { BenchOptions, Measured, Suite, Table } from "../suite.js";

const USERS = 100;
const CONNECTIONS = 32;
const AUDIENCE = "bench";
const KEY = Buffer.alloc(32, 7).toString("base64");
const MOST = "1000000000";
const WARM_UP_SECONDS = 2;

const DOCUMENT = `mutation Issue($scopes: [TokenScope!]!, $forceNew: Boolean) {
  issueAccessToken(input: { scopes: $scopes, forceNew: $forceNew }) {
    accessToken { token expiresOn scopes identity { id communicationUserId } }
    userErrors { code message }
  }
}`;

/** What the audit trail costs. */
export const audit: Suite = {
  about: `
What the audit trail costs: \`issueAccessToken\` over HTTP with a verified ES256 JWT, ${USERS} users in turn, at a gateway that
keeps its trail and at one that keeps none (which no setting allows; the benchmark starts it so). *Warm*: every token comes
from the cache, one record each. *Cold*: \`forceNew\`, each request mints at the emulator, two records each, the intent and
then the outcome. All else is as shipped, on both sides: durable writes (SQLite: WAL with a sync at every commit), limits
counted but set so high that nothing is refused, the fingerprint made of each token. The gateway has one core, load generator,
emulator and issuer have another, in a closed loop with keep-alive; Postgres, where it is, has whatever is left of both.
Processor time is the gateway process's own, in all its threads.`,

  async measure(options: BenchOptions): Promise<Measured> {
    pinLoad();
    try {
      const tables = [await measureOn("SQLite", options)];
      if (options.postgres) tables.push(await measureOn("Postgres", options));
      const notes = [
        ...(CAN_PIN ? [] : ["Nothing was bound to a core, as this machine has no taskset or no second core."]),
        ...(options.postgres ? [] : ["Postgres is left out, as none answered."]),
      ];
      return { tables, notes };
    } finally {
      unpin();
    }
  },
};

type Kind = "SQLite" | "Postgres";

const PEERS = ["on", "off"] as const;
type Peer = (typeof PEERS)[number];
type Gateways = Readonly<Record<Peer, GatewayProcess>>;

async function measureOn(kind: Kind, options: BenchOptions): Promise<Table> {
  // Not where temporary files go: that may be in memory, where a sync costs nothing.
  mkdirSync(options.folder, { recursive: true });
  const folder = mkdtempSync(join(options.folder, "audit-"));
  const outside = await startOutside(folder);
  const started: GatewayProcess[] = [];
  const start = async (peer: Peer) => {
    const url = await storeUrl(kind, peer, folder, options.postgres);
    const env = { ...outside.env, DATABASE_URL: url };
    const gateway = await GatewayProcess.start({ env, withTrail: peer === "on" });
    started.push(gateway);
    return gateway;
  };
  try {
    const gateways: Gateways = { on: await start("on"), off: await start("off") };
    const say = (line: string) => options.say(`${kind}: ${line}`);
    const rows = await measureWorks(gateways, outside.tokens, { ...options, say });
    return { title: kind, columns: ["", "trail off", "trail on", "on ÷ off"], rows };
  } finally {
    for (const gateway of started) await gateway.close();
    await outside.close();
    if (options.postgres) for (const peer of PEERS) await dropDatabase(options.postgres, databaseOf(peer));
    rmSync(folder, { recursive: true });
  }
}

function databaseOf(peer: Peer): string {
  return `gateway_bench_audit_${peer}`;
}

async function storeUrl(kind: Kind, peer: Peer, folder: string, server: string | undefined): Promise<string> {
  if (kind === "SQLite" || server === undefined) return `sqlite:${join(folder, `${peer}.db`)}`;
  await dropDatabase(server, databaseOf(peer));
  return await haveDatabase(server, databaseOf(peer));
}

/** The service, and the issuer with a token for each user. */
async function startOutside(folder: string) {
  const { startEmulator } = (await import(builtFile("emulator/emulator.js"))) as {
    startEmulator: typeof StartEmulator;
  };
  const { startIssuer } = (await import(builtFile("dev/issuer.js"))) as { startIssuer: typeof StartIssuer };
  const emulator = await startEmulator({ host: "127.0.0.1", port: 0, latency: "none", rateLimits: false });
  const issuer = await startIssuer({ file: join(folder, "issuer.json"), preferredPort: 0, audience: AUDIENCE });
  const subjects = Array.from({ length: USERS }, (_, index) => `user-${index}`);
  return {
    tokens: await Promise.all(subjects.map((subject) => issuer.token({ subject }))),
    env: {
      PORT: "0",
      ADMIN_PORT: "0",
      ACS_CONNECTION_STRING: emulator.connectionString,
      OIDC_ISSUER: issuer.issuer,
      OIDC_AUDIENCE: AUDIENCE,
      TOKEN_CACHE_KEY: KEY,
      AUDIT_KEY: KEY,
      LIMIT_MINTS_PER_SUBJECT: MOST,
      LIMIT_MINTS_PER_ISSUER: MOST,
      LIMIT_REQUESTS_PER_SUBJECT: MOST,
      ACS_PACE_PERCENT: MOST,
    },
    close: async () => {
      await issuer.close();
      await emulator.close();
    },
  };
}

/** One line for each figure of each work. */
async function measureWorks(gateways: Gateways, tokens: readonly string[], options: BenchOptions): Promise<string[][]> {
  const rows: string[][] = [];
  for (const forceNew of [false, true]) {
    const requests = tokens.map((token) => requestOf(token, forceNew));
    for (const peer of PEERS)
      await turn(gateways[peer], requests, CONNECTIONS, Math.min(WARM_UP_SECONDS, options.seconds));
    for (const connections of [CONNECTIONS, 1]) {
      const work = `${forceNew ? "cold" : "warm"}, ${connections === 1 ? "1 connection" : `${connections} connections`}`;
      const takeTurn = (peer: Peer) => (round: number) => {
        options.say(`${work}, round ${round + 1} of ${options.rounds}, trail ${peer}`);
        return turn(gateways[peer], requests, connections, options.seconds);
      };
      const { on, off } = await alternate(options.rounds, { off: takeTurn("off"), on: takeTurn("on") });
      for (const [name, of] of Object.entries(FIGURES)) {
        rows.push([
          `${work}: ${name}`,
          spread(off.map(of)),
          spread(on.map(of)),
          spread(ratios(on.map(of), off.map(of))),
        ]);
      }
    }
  }
  return rows;
}

interface Turn {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
  readonly middle: number;
  readonly slow: number;
}

const FIGURES: Readonly<Record<string, (turn: Turn) => number>> = {
  "requests/s": ({ perSecond }) => perSecond,
  "processor µs/request": ({ cpuMicroseconds }) => cpuMicroseconds,
  "latency p50, ms": ({ middle }) => middle,
  "latency p99, ms": ({ slow }) => slow,
};

async function turn(
  gateway: GatewayProcess,
  requests: readonly LoadRequest[],
  connections: number,
  seconds: number,
): Promise<Turn> {
  const before = await gateway.cpuMicroseconds();
  const done = await load({ url: gateway.url, connections, seconds, requests, check });
  const used = (await gateway.cpuMicroseconds()) - before;
  return {
    perSecond: done.requests / done.seconds,
    cpuMicroseconds: used / done.requests,
    middle: median(done.latencies),
    slow: quantile(done.latencies, 0.99),
  };
}

function requestOf(token: string, forceNew: boolean): LoadRequest {
  return {
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({ query: DOCUMENT, variables: { scopes: ["CHAT", "VOIP"], forceNew } }),
  };
}

function check(status: number, body: string): string | undefined {
  if (status !== 200) return "not answered";
  const { data } = JSON.parse(body) as { data?: { issueAccessToken?: { accessToken?: { token?: unknown } | null } } };
  return typeof data?.issueAccessToken?.accessToken?.token === "string" ? undefined : "no token";
}
