import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { alternate, figure, ratios, spread } from "../figures.js";
import { describeGoal, type Goal, verdict } from "../goals.js";
import { fillIdentities, subjectOf } from "../identities/fill.js";
import { checkIssued, issueRequest } from "../issuing.js";
import { type LoadRequest, load } from "../load.js";
import { type Place, placesOf } from "../places.js";
import type { ServerProcess } from "../server.js";
import { Stage, whatIsLeftOut } from "../stage.js";
import type { BenchOptions, Measured, Suite, Table } from "../suite.js";
import { type Turn, turn } from "../turn.js";

/** The small store has one identity for so many of the large one. */
const LESS = 1000;
const CONNECTIONS = [32, 1];
const LIMIT_SECONDS = 600;
const GOAL: Goal = { is: "at most", value: 1.2 };

/** Many identities in the store. */
export const identities: Suite = {
  about: `
\`issueAccessToken\` from the warm cache of a gateway, as shipped, that has many identities in its store (\`--identities\`, a million
unless it says otherwise), beside one that has a thousandth of them. At both as many users come, in turn: all of the few, and
of the many those who are spread evenly over them. Each answer reads the user's row and writes a record to the trail.
Takes about six minutes, of which filling in a million takes one in each database; \`--keep\` keeps them for the next run.`,

  async measure(options: BenchOptions): Promise<Measured> {
    const folder = join(options.folder, "identities");
    mkdirSync(folder, { recursive: true });
    // Rows name the issuer, and so its port, which is kept in its file: without that, those of a run before are of no use.
    const fresh = options.fresh || !existsSync(join(folder, "issuer.json"));
    const sizes = sizesOf(options.identities);
    const users = [...callersOf(sizes.few, sizes), ...callersOf(sizes.many, sizes)].map(subjectOf);
    return await Stage.play("identities", { ...options, users, issuerFolder: folder }, async (stage) => {
      const tables: Table[] = [];
      for (const place of placesOf(folder, options.postgres)) {
        const say = (line: string) => options.say(`${place.kind}: ${line}`);
        tables.push(await measureIn({ place, stage, sizes }, { ...options, fresh, say }));
      }
      return { tables, notes: whatIsLeftOut(options) };
    });
  },
};

type Sizes = Readonly<Record<"few" | "many", number>>;

function sizesOf(many: number): Sizes {
  return { few: Math.max(1, Math.ceil(many / LESS)), many };
}

/** Which identities of a store users come for. */
function callersOf(total: number, { few }: Sizes): number[] {
  return Array.from({ length: few }, (_, caller) => Math.floor((caller * total) / few));
}

interface Setting {
  readonly place: Place;
  readonly stage: Stage;
  readonly sizes: Sizes;
}

async function measureIn({ place, stage, sizes }: Setting, options: BenchOptions): Promise<Table> {
  const requests = stage.outside.tokens.map((token) => issueRequest(token));
  const prepare = (total: number, own: readonly LoadRequest[]) =>
    prepareStore({ place, stage, sizes }, { ...options, total, requests: own });
  try {
    const few = await prepare(sizes.few, requests.slice(0, sizes.few));
    const many = await prepare(sizes.many, requests.slice(sizes.few));
    const rows: string[][] = [];
    for (const connections of CONNECTIONS) {
      const take =
        (name: "few" | "many", { server, requests: own }: Prepared) =>
        (round: number) => {
          options.say(`connections ${connections}, round ${round + 1} of ${options.rounds}, ${figure(sizes[name])}`);
          return turn(server, own, { connections, seconds: options.seconds });
        };
      const turns = await alternate(options.rounds, { few: take("few", few), many: take("many", many) });
      rows.push(...rowsOf(connections === 1 ? "1 connection" : `${connections} connections`, turns));
    }
    const columns = ["", `${figure(sizes.few)} identities`, `${figure(sizes.many)} identities`, "ratio", "goal", ""];
    return { title: place.kind, columns, rows };
  } finally {
    await stage.closeServers();
    if (!options.keep) for (const total of Object.values(sizes)) await place.drop(nameOf(total));
  }
}

function nameOf(total: number): string {
  return `identities-${total}`;
}

interface Prepared {
  readonly server: ServerProcess;
  readonly requests: readonly LoadRequest[];
}

async function prepareStore(
  { place, stage, sizes }: Setting,
  { total, requests, fresh, say }: BenchOptions & { readonly total: number; readonly requests: readonly LoadRequest[] },
): Promise<Prepared> {
  const name = nameOf(total);
  if (fresh) await place.drop(name);
  const { config, url } = await place.open(name);
  say(`fills in ${figure(total)}`);
  await fillIdentities({ config, total, callers: callersOf(total, sizes), outside: stage.outside, say });
  const server = await stage.gateway({ name, store: place.kind, as: "shipped", databaseUrl: url });
  say(`has a token minted for each of ${figure(requests.length)} users`);
  // Twice each: the second time from the cache.
  const warmUp = { connections: 16, seconds: LIMIT_SECONDS, mostAnswers: 2 * requests.length };
  await load({ ...warmUp, url: server.url, requests, check: checkIssued() });
  return { server, requests };
}

function rowsOf(name: string, { few, many }: Readonly<Record<"few" | "many", readonly Turn[]>>): string[][] {
  const figures: Readonly<Record<string, (turn: Turn) => number>> = {
    "requests/s": ({ perSecond }) => perSecond,
    "p50, ms": ({ middle }) => middle,
    "p99, ms": ({ slow }) => slow,
  };
  return Object.entries(figures).map(([figureName, of]) => {
    const values = ratios(many.map(of), few.map(of));
    const goal = figureName === "p99, ms" ? GOAL : undefined;
    const row = [`${name}: ${figureName}`, spread(few.map(of)), spread(many.map(of)), spread(values)];
    return [...row, describeGoal(goal), verdict(goal, values)];
  });
}
