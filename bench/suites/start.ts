import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { alternate, ratios, spread } from "../figures.js";
import { type Program, timeToFirstToken } from "../first-token.js";
import { describeGoal, type Goal, verdict } from "../goals.js";
import { builtFile } from "../machine.js";
import { builtProgram } from "../programs.js";
import { Stage, whatIsLeftOut } from "../stage.js";
import type { BenchOptions, Measured, Suite } from "../suite.js";

const GOAL: Goal = { is: "at most", value: 500, unit: "ms" };
const DEV = "this gateway, `dev`: issuer, service and database embedded";
const PEER = "Apollo on Express";

/** How soon there is a token. */
export const start: Suite = {
  about: `
From the start of the process to the end of its first answer with a token, on one core; whoever asks tries every millisecond
to connect, with a token at hand, or takes the one that \`dev\` prints. \`dev\` starts an issuer and a service emulator, too, in
the one process; the others find them running in another. At a *first start* folder and database are new, and whatever cache a
program keeps in the folder for temporary files is empty; a *later start* is the next one in the same folders. Files come from
the system's memory in both. Takes some 10 s a round.`,

  async measure(options: BenchOptions): Promise<Measured> {
    const starts = await Stage.play("start", options, (stage) => measureStarts(stage, options));
    const rows = Object.entries(starts).flatMap(([name, times]) =>
      WHICH.map((which) => {
        const of = times.map((time) => time[which]);
        const peers = (starts[PEER] ?? []).map((time) => time[which]);
        const goal = name === DEV ? GOAL : undefined;
        const ratio = name === PEER ? "1" : spread(ratios(of, peers));
        return [`${name}, ${which} start`, spread(of), ratio, describeGoal(goal), verdict(goal, of)];
      }),
    );
    const columns = ["", "ms", `÷ ${PEER}`, "goal", ""];
    return { tables: [{ title: "To the first token", columns, rows }], notes: whatIsLeftOut(options) };
  },
};

const WHICH = ["first", "later"] as const;
type Starts = Readonly<Record<(typeof WHICH)[number], number>>;

async function measureStarts(stage: Stage, options: BenchOptions): Promise<Readonly<Record<string, Starts[]>>> {
  const { env, tokens } = stage.outside;
  const [token = ""] = tokens;
  const outside = { token, env: { ...env, NODE_ENV: "production", VERIFICATION: "each" } };
  const programs: Readonly<Record<string, Program>> = {
    [DEV]: { args: [builtFile("main.js"), "dev"], env: {} },
    "this gateway, `serve`": { ...outside, args: [builtFile("main.js"), "serve"] },
    [PEER]: { ...outside, args: [builtProgram("peers/apollo-express")] },
    "`node:http` alone, no GraphQL": { ...outside, args: [builtProgram("peers/node-http")] },
  };
  const takers = Object.entries(programs).map(([name, program], index) => {
    const take = async (round: number): Promise<Starts> => {
      options.say(`round ${round + 1} of ${options.rounds}: ${name}`);
      const folder = join(stage.folder, `${index}-${round}`);
      mkdirSync(folder);
      return { first: await timeToFirstToken(program, folder), later: await timeToFirstToken(program, folder) };
    };
    return [name, take] as const;
  });
  return await alternate(options.rounds, Object.fromEntries(takers));
}
