import { alternate, figure, median, ratios, share, spread } from "../figures.js";
import { describeGoal, type Goal, verdict } from "../goals.js";
import { issueRequest } from "../issuing.js";
import { USERS } from "../outside.js";
import type { ServerProcess } from "../server.js";
import { Stage, whatIsLeftOut } from "../stage.js";
import type { BenchOptions, Measured, Suite, Table } from "../suite.js";
import { type Turn, turn } from "../turn.js";

const CONNECTIONS = 32;
/** Compiled code is what is compared. */
const WARM_UP_SECONDS = 10;
/** From here on the generator may be what is measured. */
const SATURATED = 0.9;

export const PEERS = {
  "node-http": "`node:http` alone, no GraphQL",
  mercurius: "Mercurius with JIT",
  "apollo-node-http": "Apollo on bare `node:http`, JIT executor",
  "apollo-fastify": "Apollo on Fastify",
  "apollo-express": "Apollo on Express",
  yoga: "GraphQL Yoga",
} as const;

type PeerName = keyof typeof PEERS;

const VERIFICATIONS = { each: "jose on each request", remembered: "verification remembered" } as const;
type Verification = keyof typeof VERIFICATIONS;

const GATEWAYS = {
  SQLite: { name: "sqlite", store: "SQLite", as: "shipped" },
  Postgres: { name: "postgres", store: "Postgres", as: "shipped" },
  "SQLite, no trail": { name: "no_trail", store: "SQLite", as: "without-trail" },
} as const;

interface Comparison {
  readonly peer: PeerName;
  readonly verification: Verification;
  readonly goal?: Goal;
}

const COMPARISONS: readonly Comparison[] = [
  { peer: "mercurius", verification: "each", goal: { is: "at least", value: 1.5 } },
  { peer: "apollo-express", verification: "each", goal: { is: "at least", value: 3 } },
  { peer: "mercurius", verification: "remembered" },
  { peer: "node-http", verification: "each" },
  { peer: "node-http", verification: "remembered" },
];

/** The gateway beside servers that do the same work. */
export const peers: Suite = {
  about: `
\`issueAccessToken\` from the warm cache, over HTTP with a verified ES256 JWT, ${USERS} users in turn, ${CONNECTIONS} connections with keep-alive
in a closed loop: the gateway as shipped, with all its guards, beside small programs that do the same work with none but the
JWT (\`bench/peers\`; no limits, policy, trail, database or log; what the gateway logs is thrown away). Each of them either
verifies with jose on each request, as most do, or remembers the token that it has verified. All take the same request, and what
they answer is looked at. The servers are processes of their own with \`NODE_ENV=production\`, one after the other on the one
core, and idle otherwise; load generator, emulator, issuer and Postgres have the other core. The first four seconds of a turn are
not measured: of what is idle V8 drops the compiled code, and it takes thousands of requests to make it again. *Put
off* is what a server does when its turn is over, before the next begins: the gateway lists the records of its trail when there
is time (SQLite; under a load that does not end it does so beside it, and is slower). *Load
busy* is the share of a core that the load generator took: from ${share(SATURATED)} on, the server would have done more. A ratio is of two
figures of one round; that by processor time tells more where others use the machine, too. Takes about three minutes, and
as much again a round.`,

  async measure(options: BenchOptions): Promise<Measured> {
    return await Stage.play("peers", options, async (stage) => {
      const turns = await takeTurns(stage, await startAll(stage, options), options);
      const saturated = [...turns].filter(([, of]) => median(of.map(({ busy }) => busy)) > SATURATED);
      const notes = saturated.map(([name]) => `The load generator was saturated by: ${name}.`);
      return { tables: [tableOf(turns), compare(turns)], notes: [...whatIsLeftOut(options), ...notes] };
    });
  },
};

async function startAll(stage: Stage, { postgres, say }: BenchOptions): Promise<ReadonlyMap<string, ServerProcess>> {
  const servers = new Map<string, ServerProcess>();
  say("starts the servers");
  for (const [name, kind] of Object.entries(GATEWAYS)) {
    if (kind.store === "Postgres" && !postgres) continue;
    servers.set(gatewayName(name), await stage.gateway(kind));
  }
  for (const peer of Object.keys(PEERS) as PeerName[]) {
    for (const verification of Object.keys(VERIFICATIONS) as Verification[])
      servers.set(peerName({ peer, verification }), await stage.peer(peer, verification));
  }
  return servers;
}

function gatewayName(name: string): string {
  return `this gateway, ${name}`;
}

function peerName({ peer, verification }: Pick<Comparison, "peer" | "verification">): string {
  return `${PEERS[peer]}, ${VERIFICATIONS[verification]}`;
}

type Turns = ReadonlyMap<string, readonly Turn[]>;

async function takeTurns(
  stage: Stage,
  servers: ReadonlyMap<string, ServerProcess>,
  options: BenchOptions,
): Promise<Turns> {
  const requests = stage.outside.tokens.map((token) => issueRequest(token));
  const { seconds } = options;
  for (const [name, server] of servers) {
    options.say(`warms up ${name}`);
    await turn(server, requests, { connections: CONNECTIONS, seconds: Math.min(WARM_UP_SECONDS, 2 * seconds) });
  }
  const takers = [...servers].map(([name, server]) => {
    const take = async (round: number) => {
      const taken = await turn(server, requests, { connections: CONNECTIONS, seconds });
      options.say(`round ${round + 1} of ${options.rounds}, ${name}: ${figure(taken.perSecond)}/s`);
      return taken;
    };
    return [name, take] as const;
  });
  return new Map(Object.entries(await alternate(options.rounds, Object.fromEntries(takers))));
}

function tableOf(turns: Turns): Table {
  const rows = [...turns].map(([name, of]) => [
    name,
    spread(of.map(({ perSecond }) => perSecond)),
    spread(of.map(({ cpuMicroseconds }) => cpuMicroseconds)),
    figure(Math.max(0, median(of.map(({ putOffMicroseconds }) => putOffMicroseconds)))),
    spread(of.map(({ middle }) => middle)),
    spread(of.map(({ slow }) => slow)),
    share(median(of.map(({ busy }) => busy))),
  ]);
  const columns = ["", "requests/s", "processor µs/request", "put off, µs/request", "p50, ms", "p99, ms", "load busy"];
  return { title: "Servers", columns, rows };
}

function compare(turns: Turns): Table {
  const rows = Object.entries(GATEWAYS).flatMap(([name, { as }]) => {
    const own = turns.get(gatewayName(name));
    if (own === undefined) return [];
    return COMPARISONS.map((comparison) => {
      const peer = turns.get(peerName(comparison)) ?? [];
      const values = ratios(own.map(perSecond), peer.map(perSecond));
      const byProcessor = ratios(own.map(perProcessorSecond), peer.map(perProcessorSecond));
      const goal = as === "shipped" ? comparison.goal : undefined;
      const row = `${name} ÷ ${peerName(comparison)}`;
      return [row, spread(values), describeGoal(goal), verdict(goal, values), spread(byProcessor)];
    });
  });
  const columns = ["", "requests/s", "goal", "", "requests by processor time"];
  return { title: "This gateway ÷ its peers", columns, rows };
}

function perSecond({ perSecond }: Turn): number {
  return perSecond;
}

function perProcessorSecond({ cpuMicroseconds }: Turn): number {
  return 1_000_000 / cpuMicroseconds;
}
