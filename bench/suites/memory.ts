import { START_ENVIRONMENT } from "../../scripts/start-environment.js";
import { figure } from "../figures.js";
import { describeGoal, type Goal, verdict } from "../goals.js";
import { checkIssued, issueRequest } from "../issuing.js";
import { load } from "../load.js";
import { USERS } from "../outside.js";
import type { ServerProcess } from "../server.js";
import { Stage, whatIsLeftOut } from "../stage.js";
import type { BenchOptions, Measured, Suite, Table } from "../suite.js";

const CONNECTIONS = 32;
const SAMPLES = 10;
/** For a tenth of the answers: nothing that hangs is waited for. */
const LIMIT_SECONDS = 300;
const MB = 2 ** 20;
const GOAL: Goal = { is: "at most", value: 150, unit: "MB" };
const ENVIRONMENT = Object.entries(START_ENVIRONMENT)
  .map((variable) => variable.join("="))
  .join(" ");

/** What the process holds, and whether it grows. */
export const memory: Suite = {
  about: `
Resident memory of the process, all that the system counts as its own, while it gives answers (\`--answers\`, a million of each
server unless it says otherwise): \`issueAccessToken\` from the warm cache, ${USERS} users in turn, ${CONNECTIONS} connections in a closed loop.
The gateway as shipped, on SQLite with its trail, and Mercurius with verification remembered, in turns of a tenth. No
collection of garbage is asked for; both run with what \`npm start\` has in the environment (\`${ENVIRONMENT}\`), by which the
heap is swept sooner than on a machine with this much memory it would be. Takes about five minutes for every million answers.`,

  async measure(options: BenchOptions): Promise<Measured> {
    const { gateway, mercurius } = await Stage.play("memory", options, (stage) => measureMemory(stage, options));
    return { tables: [samplesOf(gateway, mercurius), endsOf(gateway, mercurius)], notes: whatIsLeftOut(options) };
  },
};

interface Sample {
  readonly answers: number;
  /** MB */
  readonly resident: number;
}

async function measureMemory(stage: Stage, { answers, say }: BenchOptions) {
  const gateway = await Watched.start(await stage.gateway({ name: "memory", store: "SQLite", as: "shipped" }));
  const mercurius = await Watched.start(await stage.peer("mercurius", "remembered", START_ENVIRONMENT));
  const requests = stage.outside.tokens.map((token) => issueRequest(token));
  const mostAnswers = Math.ceil(answers / SAMPLES);
  for (let sample = 1; sample <= SAMPLES; sample++) {
    for (const watched of [gateway, mercurius]) {
      const options = { url: watched.server.url, connections: CONNECTIONS, seconds: LIMIT_SECONDS, mostAnswers };
      await watched.takeSample((await load({ ...options, requests, check: checkIssued() })).requests);
    }
    say(
      `${sample} of ${SAMPLES}: gateway ${figure(gateway.last.resident)} MB, peer ${figure(mercurius.last.resident)} MB`,
    );
  }
  return { gateway: gateway.samples, mercurius: mercurius.samples };
}

class Watched {
  private constructor(
    readonly server: ServerProcess,
    readonly samples: Sample[],
  ) {}

  static async start(server: ServerProcess): Promise<Watched> {
    const watched = new Watched(server, []);
    await watched.takeSample(0);
    return watched;
  }

  get last(): Sample {
    return this.samples.at(-1) ?? { answers: 0, resident: Number.NaN };
  }

  async takeSample(answers: number): Promise<void> {
    const { residentBytes } = await this.server.usage();
    this.samples.push({ answers: this.last.answers + answers, resident: residentBytes / MB });
  }
}

function samplesOf(gateway: readonly Sample[], peer: readonly Sample[]): Table {
  const rows = gateway.map(({ answers, resident }, sample) => {
    const { resident: peers = Number.NaN } = peer[sample] ?? {};
    return [figure(answers), figure(resident), figure(peers), figure(resident / peers)];
  });
  return { title: "Along the way", columns: ["answers", "this gateway, MB", "Mercurius, MB", "ratio"], rows };
}

function endsOf(gateway: readonly Sample[], peer: readonly Sample[]): Table {
  const [own, peers] = [residentAtEnd(gateway), residentAtEnd(peer)];
  const [growth, peersGrowth] = [growthOf(gateway), growthOf(peer)];
  const columns = ["", "this gateway", "Mercurius", "goal", ""];
  const rows = [
    ["resident at the end, MB", figure(own), figure(peers), describeGoal(GOAL), verdict(GOAL, [own])],
    ["growth in the second half, MB per 100,000 answers", figure(growth), figure(peersGrowth), "–", "–"],
  ];
  return { title: "In the end", columns, rows };
}

function residentAtEnd(samples: readonly Sample[]): number {
  return samples.at(-1)?.resident ?? Number.NaN;
}

function growthOf(samples: readonly Sample[]): number {
  const [half, end] = [samples[SAMPLES / 2], samples.at(-1)];
  if (half === undefined || end === undefined) return Number.NaN;
  return ((end.resident - half.resident) / (end.answers - half.answers)) * 100_000;
}
