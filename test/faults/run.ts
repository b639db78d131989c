/**
 * `npm run test:faults -- --minutes N`: rounds of faults, one after the other, each with a seed of its own, three processes on
 * Postgres and Redis and one on SQLite in turn. Ends at the first violation, with exit code 1, or when the time is up, with 0.
 * FAULT_SEED=N replays the round that printed it: with the same variant and length first.
 */
import { parseArgs } from "node:util";
import { runRound } from "./round.js";
import { firstSeed, LEFT_OUT, SERVERS } from "./settings.js";

const ROUND_SECONDS = 30;

const { values } = parseArgs({ options: { minutes: { type: "string", default: "5" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error("--minutes is a number above 0");

const say = (line: string) => process.stdout.write(`${new Date().toISOString()} ${line}\n`);
const end = performance.now() + minutes * 60_000;
let seed = firstSeed();
if (LEFT_OUT) say(`No rounds on Postgres and Redis${LEFT_OUT}`);
do {
  // The seed says which, so that it alone replays the round.
  const servers = seed % 3 === 0 ? undefined : SERVERS;
  say(`seed ${seed}: ${servers ? "three processes on Postgres and Redis" : "one process on SQLite"}`);
  const seconds = Math.max(5, Math.min(ROUND_SECONDS, (end - performance.now()) / 1000));
  const { violations, summary } = await runRound({
    seed,
    instances: 3,
    servers,
    seconds,
    freezes: true,
    report: (progress) => say(`seed ${seed}: ${progress}`),
  });
  say(`seed ${seed}: ${violations.length} violations; ${summary}`);
  if (violations.length > 0) {
    for (const violation of violations.slice(0, 20)) process.stdout.write(`${violation}\n`);
    say(`FAILED with seed ${seed}; replay it with FAULT_SEED=${seed} npm run test:faults`);
    process.exitCode = 1;
    break;
  }
  seed += 1;
} while (performance.now() < end);
