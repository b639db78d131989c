/**
 * `npm run bench -- [suite …] [options]`: runs the suites, all of them if none is named, and writes what they measured to
 * RESULTS.md. `--rounds N` and `--seconds N` are for turns under load, `--arrivals N` for cold, `--connections N` for overload,
 * `--identities N` for identities, `--answers N` for memory, `--records N` and `--queries N` for the long trail; `--keep` leaves
 * the databases of the last and of identities for the next run, and `--fresh` makes them anew. Each suite's `about` says how
 * long it takes; all of them together about an hour and a half.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findPostgres } from "./postgres.js";
import { record } from "./record.js";
import type { BenchOptions, Suite } from "./suite.js";
import { audit } from "./suites/audit.js";
import { cold } from "./suites/cold.js";
import { identities } from "./suites/identities.js";
import { memory } from "./suites/memory.js";
import { overload } from "./suites/overload.js";
import { peers } from "./suites/peers.js";
import { start } from "./suites/start.js";
import { trail } from "./suites/trail.js";

const SUITES: Readonly<Record<string, Suite>> = { peers, cold, overload, identities, start, memory, audit, trail };
const RESULTS = fileURLToPath(new URL("RESULTS.md", import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "5" },
    records: { type: "string", default: "10000000" },
    queries: { type: "string", default: "60" },
    answers: { type: "string", default: "1000000" },
    arrivals: { type: "string", default: "20" },
    identities: { type: "string", default: "1000000" },
    connections: { type: "string", default: "4000" },
    fresh: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});

// Which ends what was started, too.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

const names = positionals.length > 0 ? positionals : Object.keys(SUITES);
const unknown = names.find((name) => !(name in SUITES));
if (unknown !== undefined) throw new Error(`there is no suite ${unknown}: ${Object.keys(SUITES).join(", ")}`);

const postgres = await findPostgres();
const options: BenchOptions = {
  rounds: positive("rounds"),
  seconds: positive("seconds"),
  records: positive("records"),
  queries: positive("queries"),
  answers: positive("answers"),
  arrivals: positive("arrivals"),
  identities: positive("identities"),
  connections: positive("connections"),
  fresh: values.fresh,
  keep: values.keep,
  postgres,
  folder: fileURLToPath(new URL("data", import.meta.url)),
  say: (line) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`),
};
if (postgres === undefined) options.say("No Postgres answers; TEST_POSTGRES_URL names one.");
const command = ["npm run bench --", ...process.argv.slice(2)].join(" ");
const print = (section: string) => process.stdout.write(`${section}\n\n`);
await record({ suites: SUITES, names, options, command, file: RESULTS, now: Date.now, print });

function positive(name: Exclude<keyof typeof values, "fresh" | "keep">): number {
  const value = Number(values[name]);
  if (!(value > 0)) throw new Error(`--${name} is a number above 0`);
  return value;
}
