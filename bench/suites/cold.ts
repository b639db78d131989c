import { alternate, figure, quantile, spread } from "../figures.js";
import { describeGoal, type Goal, verdict } from "../goals.js";
import { checkIssued, issueRequest } from "../issuing.js";
import { load } from "../load.js";
import { type Offered, offer } from "../offer.js";
import type { ServerProcess } from "../server.js";
import { Stage, whatIsLeftOut } from "../stage.js";
import type { BenchOptions, Measured, Suite, Table } from "../suite.js";

const USERS = Array.from({ length: 20 }, (_, index) => `user-${index}`);
/** A 99th percentile needs many answers, and they come slowly here. */
const LONGER = 4;
const MOST_CONNECTIONS = 256;
/** From the cache: what all requests have in common is compiled, as it is in a process that has been there for a while. */
const WARM_UP = { connections: 32, seconds: 10 };
const SHIPPED_PACE = { ACS_PACE_PERCENT: "100" };
const GOAL: Goal = { is: "at most", value: 5, unit: "ms" };

/** What the gateway adds to the service's own time. */
export const cold: Suite = {
  about: `
\`issueAccessToken\` with \`forceNew\`: each request mints at the emulator, which takes as long as the service was seen to (42 to 53 ms
for a token). Requests come by the clock, so many a second (\`--arrivals\`, 20 unless it says otherwise, which is below what the
service allows a resource), of ${USERS.length} users in turn, each of whom has an identity; a latency is from when the request was due. The
gateway as shipped, which writes two records to the trail, beside a bare \`node:http\` program that verifies with jose and calls
the service through the same client: that is the service's own time. Before the first turn both answer from their cache for
${WARM_UP.seconds} seconds under full load: at so few requests a second V8 takes long to compile what all of them run. A turn is ${LONGER} times
as long as the command says. What is added is a difference of two figures of the same round. Takes about a minute and a half a
round and a minute more, half of it without Postgres.`,

  async measure(options: BenchOptions): Promise<Measured> {
    return await Stage.play("cold", { ...options, users: USERS, latency: "realistic" }, async (stage) => {
      const tables: Table[] = [];
      for (const store of options.postgres ? (["SQLite", "Postgres"] as const) : (["SQLite"] as const)) {
        const gateway = await stage.gateway({ name: store.toLowerCase(), store, as: "shipped", env: SHIPPED_PACE });
        const peer = await stage.peer("node-http", "each");
        const say = (line: string) => options.say(`${store}: ${line}`);
        tables.push(tableOf(store, await takeTurns({ gateway, peer }, stage.outside.tokens, { ...options, say })));
      }
      return { tables, notes: whatIsLeftOut(options) };
    });
  },
};

type Servers = Readonly<Record<"gateway" | "peer", ServerProcess>>;

async function takeTurns({ gateway, peer }: Servers, tokens: readonly string[], options: BenchOptions) {
  const requests = tokens.map((token) => issueRequest(token, { forceNew: true }));
  const common = { perSecond: options.arrivals, mostConnections: MOST_CONNECTIONS, requests };
  const warmUpSeconds = Math.max(options.seconds, tokens.length / options.arrivals);
  const cached = tokens.map((token) => issueRequest(token));
  for (const { url } of [gateway, peer]) {
    await load({ ...WARM_UP, url, requests: cached, check: checkIssued() });
    await offer({ ...common, url, seconds: warmUpSeconds });
  }
  const takeTurn =
    (name: string, { url }: ServerProcess) =>
    async (round: number) => {
      options.say(`round ${round + 1} of ${options.rounds}, ${name}`);
      return allGood(await offer({ ...common, url, seconds: LONGER * options.seconds }));
    };
  return await alternate(options.rounds, { peer: takeTurn("peer", peer), gateway: takeTurn("gateway", gateway) });
}

function allGood(offered: Offered): Offered {
  const { due, latencies, shed, failed, unsent } = offered;
  if (latencies.length === due) return offered;
  throw new Error(`of ${due} requests ${shed} were refused, ${failed} failed and ${unsent} not sent`);
}

function tableOf(title: string, { gateway, peer }: Readonly<Record<"gateway" | "peer", readonly Offered[]>>): Table {
  const shares = { p50: 0.5, p90: 0.9, p99: 0.99 } as const;
  const rows = Object.entries(shares).map(([name, share]) => {
    const [own, peers] = [gateway, peer].map((turns) => turns.map(({ latencies }) => quantile(latencies, share)));
    const added = (own ?? []).map((value, round) => value - (peers?.[round] ?? Number.NaN));
    const goal = name === "p99" ? GOAL : undefined;
    return [
      `${name}, ms`,
      spread(own ?? []),
      spread(peers ?? []),
      spread(added),
      describeGoal(goal),
      verdict(goal, added),
    ];
  });
  const columns = ["", "this gateway", "`node:http`, the service's own time", "added", "goal", ""];
  return { title: `${title}, ${figure(gateway[0]?.due ?? 0)} tokens in each turn`, columns, rows };
}
