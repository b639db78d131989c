import { alternate, ratios, spread } from "../figures.js";
import { issueRequest } from "../issuing.js";
import { USERS } from "../outside.js";
import type { ServerProcess } from "../server.js";
import { Stage, type StoreKind, whatIsLeftOut } from "../stage.js";
import type { BenchOptions, Measured, Suite, Table } from "../suite.js";
import { type Turn, turn } from "../turn.js";

/** From a load to a caller alone: what a record costs depends on how many share its write. */
const CONNECTIONS = [256, 32, 1] as const;
const WARM_UP_CONNECTIONS = 32;
const WARM_UP_SECONDS = 8;

/** What the audit trail costs. */
export const audit: Suite = {
  about: `
What the audit trail costs: \`issueAccessToken\` over HTTP with a verified ES256 JWT, ${USERS} users in turn, at a gateway that
keeps its trail and at one that keeps none (which no setting allows; the benchmark starts it so). *Warm*: every token comes
from the cache, one record each. *Cold*: \`forceNew\`, each request mints at the emulator, two records each, the intent and
then the outcome. All else is as shipped, on both sides: durable writes (SQLite: WAL with a sync at every commit), limits
counted but set so high that nothing is refused, the fingerprint made of each token. The gateway has one core; load generator,
emulator, issuer and Postgres have another, in a closed loop with keep-alive.
Processor time is the gateway process's own, in all its threads; what is *put off* is the listing of records on SQLite, which is
done when the turn is over, before the next begins.`,

  async measure(options: BenchOptions): Promise<Measured> {
    const tables = [await measureOn("SQLite", options)];
    if (options.postgres) tables.push(await measureOn("Postgres", options));
    return { tables, notes: whatIsLeftOut(options) };
  },
};

const PEERS = ["on", "off"] as const;
type Peer = (typeof PEERS)[number];
type Gateways = Readonly<Record<Peer, ServerProcess>>;

async function measureOn(store: StoreKind, options: BenchOptions): Promise<Table> {
  return await Stage.play("audit", options, async (stage) => {
    const gateways: Gateways = {
      on: await stage.gateway({ name: "on", store, as: "with-trail" }),
      off: await stage.gateway({ name: "off", store, as: "without-trail" }),
    };
    const say = (line: string) => options.say(`${store}: ${line}`);
    const rows = await measureWorks(gateways, stage.outside.tokens, { ...options, say });
    return { title: store, columns: ["", "trail off", "trail on", "on ÷ off"], rows };
  });
}

/** One line for each figure of each work. */
async function measureWorks(gateways: Gateways, tokens: readonly string[], options: BenchOptions): Promise<string[][]> {
  const rows: string[][] = [];
  for (const forceNew of [false, true]) {
    const requests = tokens.map((token) => issueRequest(token, { forceNew }));
    const warmUp = { connections: WARM_UP_CONNECTIONS, seconds: Math.min(WARM_UP_SECONDS, 2 * options.seconds) };
    for (const peer of PEERS) await turn(gateways[peer], requests, warmUp);
    for (const connections of CONNECTIONS) {
      const work = `${forceNew ? "cold" : "warm"}, ${connections === 1 ? "1 connection" : `${connections} connections`}`;
      const takeTurn = (peer: Peer) => (round: number) => {
        options.say(`${work}, round ${round + 1} of ${options.rounds}, trail ${peer}`);
        return turn(gateways[peer], requests, { connections, seconds: options.seconds });
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

const FIGURES: Readonly<Record<string, (turn: Turn) => number>> = {
  "requests/s": ({ perSecond }) => perSecond,
  "processor µs/request": ({ cpuMicroseconds }) => cpuMicroseconds,
  "processor µs/request put off": ({ putOffMicroseconds }) => Math.max(0, putOffMicroseconds),
  "latency p50, ms": ({ middle }) => middle,
  "latency p99, ms": ({ slow }) => slow,
};
