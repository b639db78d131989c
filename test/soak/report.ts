import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, platform, release, totalmem } from "node:os";
import type { Journal, Spell } from "./journal.js";
import { ANSWERED_WITHIN_MS, RECOVERY_MS } from "./rules.js";
import { type Judged, SAMPLING } from "./samples.js";
import { FAULT_KINDS } from "./schedule.js";
import { serverVersions } from "./servers.js";
import type { SoakOptions, SoakResult } from "./soak.js";

/** Long enough, warm-up and all, for the windows that a slope needs. */
const LONG_MINUTES = 15;

/** Whether a run is as it should be. */
export function isSound({ journal, figures, minutes }: SoakResult): boolean {
  const isNothingFound = journal.totals.lost === 0 && journal.totals.wrong === 0;
  return isNothingFound && !figures.some(({ isLeak }) => isLeak) && (minutes < LONG_MINUTES || leaksAreJudged(figures));
}

function leaksAreJudged(figures: readonly Judged[]): boolean {
  return figures.every(({ limitPerHour, slope }) => limitPerHour === undefined || slope !== undefined);
}

/** The whole run as a page of Markdown. */
export function reportOf(result: SoakResult, options: SoakOptions, date: Date): string {
  const { journal, figures, minutes, endedEarly, flood } = result;
  const { seed, rate, instances } = options;
  const leaks = figures.filter(({ isLeak }) => isLeak);
  return [
    `# Soak of ${date.toISOString().slice(0, 10)}`,
    "",
    `\`npm run test:soak -- --minutes ${options.minutes} --seed ${seed} --rate ${rate} --instances ${instances}\`, commit ${commit()}, ${minutes.toFixed(1)} minutes${endedEarly ? ", ended early by hand" : ""}.`,
    `On ${machine()}.`,
    "",
    `**${journal.totals.lost} requests lost, ${journal.totals.wrong} wrong answers, ${leaksAreJudged(figures) ? `${leaks.length} leaks` : "and too short a run to see a leak"}.**`,
    ...journal.findings.map(({ sort, at, what }) => `- ${sort} at ${journal.since(at)}: ${what}`),
    ...leaks.map(({ name }) => `- leak: ${name}`),
    "",
    "## Faults",
    "",
    ...faults(journal),
    "",
    "## Traffic",
    "",
    ...traffic(journal),
    `| the flood of one user: let through | ${flood.taken} |`,
    `| the flood of one user: RATE_LIMITED | ${flood.refused} |`,
    "",
    "## What the processes take",
    "",
    `Of the gateway that lives through the whole run; sampled ${SAMPLING}.`,
    "",
    ...slopes(figures),
    "",
  ].join("\n");
}

function faults({ spells }: Journal): string[] {
  const recovery = (spell: Spell) => (spell.lastTrouble === undefined ? 0 : (spell.lastTrouble - spell.until) / 1000);
  const rows = FAULT_KINDS.map((kind) => {
    const own = spells.filter((spell) => spell.kind === kind);
    const longest = Math.max(0, ...own.map(({ from, until }) => (until - from) / 1000));
    return `| ${kind} | ${own.length} | ${longest.toFixed(1)} | ${Math.max(0, ...own.map(recovery)).toFixed(1)} |`;
  });
  return [
    `Trouble after the end: how long after it a good caller was last told of an error. Up to ${RECOVERY_MS / 1000} s are allowed; 0.0 is none.`,
    "",
    "| what was broken | times | longest, s | longest trouble after its end, s |",
    "|---|---|---|---|",
    ...rows,
  ];
}

function traffic({ counts, answerTimes, entries }: Journal): string[] {
  const sorted = [...answerTimes].sort((one, other) => one - other);
  const quantile = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
  const quantiles = [0.5, 0.99, 0.999].map((share) => `${share * 100} %: ${quantile(share)} ms`).join(", ");
  return [
    `Good callers repeat what may be repeated, after the time they are told; an answer within ${ANSWERED_WITHIN_MS / 1000} s, or the request is lost.`,
    `Answers to good callers in calm times: ${quantiles}. Tries about tokens and identities that the invariants were held to: ${entries.length}.`,
    "",
    "| what | how many |",
    "|---|---|",
    ...[...counts].sort(([one], [other]) => one.localeCompare(other)).map(([what, count]) => `| ${what} | ${count} |`),
  ];
}

function slopes(figures: readonly Judged[]): string[] {
  const number = (value: number) => value.toFixed(1);
  const rows = figures.map(({ name, unit, samples, first, last, most, slope, limitPerHour, isLeak }) => {
    const grows = slope
      ? `${number(slope.perHour)} (${number(slope.low)} to ${number(slope.high)})`
      : "too short to say";
    const limit = limitPerHour === undefined ? "not judged" : String(limitPerHour);
    const range = [first, last, most].map(number).join(" / ");
    return `| ${name}${unit && `, ${unit}`} | ${samples} | ${range} | ${grows} | ${limit} | ${isLeak ? "**leak**" : slope && limitPerHour !== undefined ? "no leak" : ""} |`;
  });
  return [
    "| figure | samples | first / last / most | grows by the hour (95 %) | limit | |",
    "|---|---|---|---|---|---|",
    ...rows,
  ];
}

function machine(): string {
  const memory = Math.round(totalmem() / 2 ** 30);
  const model = cpus()[0]?.model ?? "unknown processor";
  return `${model}, ${availableParallelism()} cores, ${memory} GB, ${platform()} ${release()}; Node ${process.versions.node}, ${serverVersions()}`;
}

/** With a note when files differ from it. */
function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync("git", args, { encoding: "utf8", stdio: "pipe" }).trim();
    return `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain") === "" ? "" : " with changes"}`;
  } catch {
    return "unknown";
  }
}
