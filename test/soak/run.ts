/**
 * `npm run test:soak -- --minutes N`: soaks the built gateway, and says what was lost, wrong or leaking. Exit code 0: nothing;
 * 1: something; 2: wrong usage, or it could not be begun; 130: ended by Ctrl-C, after what was started has been ended.
 */
import { randomInt } from "node:crypto";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { isSound, reportOf } from "./report.js";
import { whyNoServers } from "./servers.js";
import { type SoakOptions, soak } from "./soak.js";

const USAGE = "usage: npm run test:soak -- --minutes N [--seed N] [--rate N] [--instances N] [--report FILE] [--keep]";
/** Beyond the time that was asked for: what ends and judges a run takes less. */
const OVERTIME_MS = 15 * 60_000;

interface Command {
  readonly options: SoakOptions;
  readonly report: string | undefined;
}

function readCommand(): Command {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "5" },
      seed: { type: "string", default: String(randomInt(2 ** 31)) },
      rate: { type: "string", default: "30" },
      instances: { type: "string", default: "3" },
      report: { type: "string" },
      keep: { type: "boolean", default: false },
    },
  });
  const read = (name: "minutes" | "seed" | "rate" | "instances", least: number, isWhole: boolean) => {
    const value = Number(values[name]);
    const fits = value >= least && (!isWhole || Number.isSafeInteger(value));
    if (!fits) throw new Error(`--${name} is a ${isWhole ? "whole " : ""}number from ${least} on, not ${values[name]}`);
    return value;
  };
  return {
    options: {
      minutes: read("minutes", 0.1, false),
      seed: read("seed", 0, true),
      rate: read("rate", 1, false),
      instances: read("instances", 2, true),
      keep: values.keep,
    },
    report: values.report,
  };
}

const say = (line: string) => process.stdout.write(`${new Date().toISOString()} ${line}\n`);
const fail = (line: string, code: number) => {
  process.stderr.write(`${line}\n`);
  process.exit(code);
};

async function main(): Promise<void> {
  const { options, report } = readCommand();
  const missing = whyNoServers();
  if (missing) return fail(`It cannot be run here${missing}.`, 2);
  const interrupted = new AbortController();
  process.once("SIGINT", () => {
    say("ending: what is under way is waited for; Ctrl-C once more ends at once");
    interrupted.abort();
    process.once("SIGINT", () => process.exit(130));
  });
  process.once("SIGTERM", () => interrupted.abort());
  setTimeout(() => fail("The soak does not end by itself.", 1), options.minutes * 60_000 + OVERTIME_MS).unref();
  say(
    `seed ${options.seed}: ${options.instances} gateways, ${options.rate} scenes a second, ${options.minutes} minutes`,
  );
  const result = await soak({ ...options, signal: interrupted.signal, say });
  const text = reportOf(result, options, new Date());
  if (report) writeFileSync(report, text);
  process.stdout.write(`\n${text}`);
  if (!isSound(result) && options.keep) say(`logs and databases are in ${result.folder}`);
  process.exitCode = result.endedEarly ? 130 : isSound(result) ? 0 : 1;
}

try {
  await main();
} catch (error) {
  fail(
    error instanceof Error && /^--|Unknown option/.test(error.message)
      ? `${error.message}\n${USAGE}`
      : String((error as Error).stack),
    2,
  );
}
