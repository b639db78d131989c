import { alternate, figure, median, quantile, ratios, share, spread } from "../figures.js";
import { describeGoal, type Goal, verdict } from "../goals.js";
import { issueRequest } from "../issuing.js";
import type { LoadRequest } from "../load.js";
import { type Offered, offer } from "../offer.js";
import type { ServerProcess } from "../server.js";
import { Stage, whatIsLeftOut } from "../stage.js";
import type { BenchOptions, Measured, Suite, Table } from "../suite.js";
import { turn } from "../turn.js";

const CONNECTIONS = 32;
const TIMES_CAPACITY = 2;
const WARM_UP_SECONDS = 5;
const GOAL: Goal = { is: "at least", value: 0.8 };

/** What becomes of a server that is asked for more than it can do. */
export const overload: Suite = {
  about: `
\`issueAccessToken\` from the warm cache. The *peak* is what ${CONNECTIONS} connections get out of a server in a closed loop; then
${TIMES_CAPACITY} times as much is offered by the clock on many connections (\`--connections\`, 4,000 unless it says otherwise), whether or not
it is answered; then as many connections ask in a closed loop. Counted are answers with a token; what is refused for the time being (503, 429); what
fails; and what could not be sent, as every connection was waiting. A latency is from when the request was due. The gateway as
shipped, on SQLite with its trail, beside Apollo on Express with jose on each request. A ratio is of answers with a token by
the peak of the same round. Takes some half a minute a round.`,

  async measure(options: BenchOptions): Promise<Measured> {
    return await Stage.play("overload", options, async (stage) => {
      const requests = stage.outside.tokens.map((token) => issueRequest(token));
      const servers = {
        "this gateway": await stage.gateway({ name: "overload", store: "SQLite", as: "shipped" }),
        "Apollo on Express": await stage.peer("apollo-express", "each"),
      };
      const seconds = Math.min(WARM_UP_SECONDS, options.seconds);
      for (const server of Object.values(servers)) await turn(server, requests, { connections: CONNECTIONS, seconds });
      const take = (name: keyof typeof servers) => async (round: number) => {
        options.say(`round ${round + 1} of ${options.rounds}, ${name}`);
        return await overloadOnce(servers[name], requests, options);
      };
      const turns = await alternate(options.rounds, {
        "this gateway": take("this gateway"),
        "Apollo on Express": take("Apollo on Express"),
      });
      return { tables: [tableOf(turns, options)], notes: whatIsLeftOut(options) };
    });
  },
};

interface Overloaded {
  readonly peak: number;
  readonly open: Offered;
  readonly closed: Offered;
}

async function overloadOnce(
  server: ServerProcess,
  requests: readonly LoadRequest[],
  { seconds, connections, say }: BenchOptions,
): Promise<Overloaded> {
  const { perSecond: peak } = await turn(server, requests, { connections: CONNECTIONS, seconds });
  const common = { url: server.url, seconds, mostConnections: connections, requests };
  const open = await offer({ ...common, perSecond: TIMES_CAPACITY * peak });
  const closed = await offer({ ...common, perSecond: Number.POSITIVE_INFINITY });
  say(
    `peak ${figure(peak)}/s, offered twice as much ${figure(perSecond(open, "good"))}/s, closed loop ${figure(perSecond(closed, "good"))}/s`,
  );
  return { peak, open, closed };
}

type Count = "good" | "shed" | "failed" | "unsent";

function perSecond(offered: Offered, count: Count): number {
  return offered[count] / offered.seconds;
}

function tableOf(turns: Readonly<Record<string, readonly Overloaded[]>>, { connections }: BenchOptions): Table {
  const rows = Object.entries(turns).flatMap(([name, of]) => {
    const peaks = of.map(({ peak }) => peak);
    const goal = name === "this gateway" ? GOAL : undefined;
    return [
      rowOf(`${name}, offered ${TIMES_CAPACITY} × the peak`, { of: of.map(({ open }) => open), peaks, goal }),
      rowOf(`${name}, ${connections} connections`, { of: of.map(({ closed }) => closed), peaks, goal }),
    ];
  });
  const columns = [
    "",
    "peak/s",
    "answers/s",
    "÷ peak",
    "goal",
    "",
    "p99, ms",
    "refused/s",
    "failed/s",
    "unsent/s",
    "load busy",
  ];
  return { title: "Too much", columns, rows };
}

interface Row {
  readonly of: readonly Offered[];
  readonly peaks: readonly number[];
  readonly goal: Goal | undefined;
}

function rowOf(name: string, { of, peaks, goal }: Row): string[] {
  const counted = (count: Count) => of.map((offered) => perSecond(offered, count));
  const kept = ratios(counted("good"), peaks);
  const slow = of.map(({ latencies }) => quantile(latencies, 0.99));
  const rest = (["shed", "failed", "unsent"] as const).map((count) => spread(counted(count)));
  return [
    name,
    spread(peaks),
    spread(counted("good")),
    spread(kept),
    describeGoal(goal),
    verdict(goal, kept),
    spread(slow),
    ...rest,
    share(median(of.map(({ busy }) => busy))),
  ];
}
