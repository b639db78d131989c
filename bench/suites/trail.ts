import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { StoreConfig } from "../../src/config/config.js";
import { GatewayError } from "../../src/errors.js";
import { openStore } from "../../src/store/store.js";
import { alternate, figure, median, quantile, ratios, spread } from "../figures.js";
import { type Place, placesOf } from "../places.js";
import type { BenchOptions, Measured, Suite, Table } from "../suite.js";
import { runCommand, type Sample } from "../trail/command.js";
import { seeded } from "../trail/events.js";
import { fillTrail } from "../trail/fill.js";
import { type Asked, QUERIES, type Query } from "../trail/queries.js";

/** The short trail has one record for so many of the long one. */
const LESS = 1000;
/** A query that takes long is asked less often. */
const ROUND_MS = 2000;
const MB = 2 ** 20;

/** The trail when it is long. */
export const trail: Suite = {
  about: `
The trail when it is long, next to one with a thousandth of its records; both have 10,000 records a day, some 500 of each
user, and chains of four writers that are started anew after some 60,000 records each. They are filled by the store's own
append, and indexed as the migrations do it. \`audit verify\` and \`audit export\` are processes of their own, once for each
trail; their pace is from start to end, with the start of the program (which is most of it for the short trail), and then by
tenths of the long one; memory is the process's peak. Queries go to the gateway's own reader, one at a time, with parameters
by chance, so many in a round as the command says (60 unless it does; fewer of those that take long). A page has 100 records.
A count ends at 100,000, which the short trail does not have, so there the ratio says little.`,

  async measure(options: BenchOptions): Promise<Measured> {
    mkdirSync(options.folder, { recursive: true });
    const places = placesOf(options.folder, options.postgres);
    const tables: Table[] = [];
    const notes = options.postgres ? [] : ["Postgres is left out, as none answered."];
    for (const place of places) {
      const say = (line: string) => options.say(`${place.kind}: ${line}`);
      tables.push(...(await measureIn(place, { ...options, say })));
      notes.push(
        `${place.kind}: the long trail takes ${figure((await place.bytes(nameOf(options.records))) / MB / 1000)} GB.`,
      );
      if (!options.keep) for (const records of lengths(options)) await place.drop(nameOf(records));
    }
    return { tables, notes };
  },
};

function nameOf(records: number): string {
  return `trail-${records}`;
}

function lengths({ records }: BenchOptions): [short: number, long: number] {
  return [Math.max(1, Math.ceil(records / LESS)), records];
}

async function measureIn(place: Place, options: BenchOptions): Promise<Table[]> {
  const [short, long] = lengths(options);
  const trails = { short: await prepare(place, short, options), long: await prepare(place, long, options) };
  return [await measureCommands(place.kind, trails, options), await measureQueries(place.kind, trails, options)];
}

interface LongTrail {
  readonly records: number;
  readonly config: StoreConfig;
  readonly url: string;
}

type Trails = Readonly<Record<"short" | "long", LongTrail>>;

async function prepare(place: Place, records: number, options: BenchOptions): Promise<LongTrail> {
  if (options.fresh) await place.drop(nameOf(records));
  const { config, url } = await place.open(nameOf(records));
  await fillTrail(config, records, options.say);
  return { records, config, url };
}

async function measureCommands(name: string, trails: Trails, options: BenchOptions): Promise<Table> {
  const file = join(options.folder, "export.jsonl");
  const commands = { "audit verify": ["audit", "verify"], "audit export": ["audit", "export", "--out", file] };
  const rows: string[][] = [];
  for (const [command, args] of Object.entries(commands)) {
    const run = async ({ records, url }: LongTrail): Promise<Sample[]> => {
      options.say(`${command} of ${records} records`);
      const samples = await runCommand(args, url);
      rmSync(file, { force: true });
      if (samples.at(-1)?.records !== records)
        throw new Error(`${command} saw ${samples.at(-1)?.records} of ${records}`);
      return samples;
    };
    rows.push([command, ...describeRuns(await run(trails.short), await run(trails.long))]);
  }
  const { short, long } = trails;
  const columns = [
    "",
    `records/s, ${figure(short.records)}`,
    `records/s, ${figure(long.records)}`,
    "by tenths",
    "last ÷ first tenth",
    `MB, ${figure(short.records)}`,
    `MB, ${figure(long.records)}, at half`,
    "at its end",
    "long ÷ short, MB",
  ];
  return { title: `${name}, commands`, columns, rows };
}

function describeRuns(short: readonly Sample[], long: readonly Sample[]): string[] {
  const whole = (samples: readonly Sample[]) => samples.at(-1) ?? { seconds: 0, records: 0, memory: Number.NaN };
  const pace = ({ records, seconds }: Sample) => figure(records / seconds);
  const tenths = pacesByTenth(long);
  const half = long.find(({ records }) => records >= whole(long).records / 2);
  const [before, after] = [whole(short).memory, whole(long).memory];
  return [
    pace(whole(short)),
    pace(whole(long)),
    tenths.length > 0 ? spread(tenths) : "–",
    figure((tenths.at(-1) ?? Number.NaN) / (tenths[0] ?? Number.NaN)),
    figure(before),
    figure(half?.memory ?? Number.NaN),
    figure(after),
    figure(after / before),
  ];
}

/** Records a second, without the start of the program; none when the run was too short to tell. */
function pacesByTenth(samples: readonly Sample[]): number[] {
  const counting = samples.slice(0, -1);
  if (counting.length < 20) return [];
  const step = (counting.length - 1) / 10;
  const marks = Array.from({ length: 11 }, (_, tenth) => counting[Math.round(tenth * step)]);
  return marks.slice(1).flatMap((mark, index) => {
    const before = marks[index];
    return mark && before ? [(mark.records - before.records) / (mark.seconds - before.seconds)] : [];
  });
}

async function measureQueries(place: string, trails: Trails, options: BenchOptions): Promise<Table> {
  const [short, long] = [await openStore(trails.short.config), await openStore(trails.long.config)];
  const asked = {
    short: { reader: short.auditReader, records: trails.short.records },
    long: { reader: long.auditReader, records: trails.long.records },
  };
  const rows: string[][] = [];
  try {
    for (const [query, run] of QUERIES) {
      options.say(query);
      let isAnswered = true;
      const attempt: Query = (...asking) =>
        run(...asking).catch((error: unknown) => {
          if (!isUnavailable(error)) throw error;
          isAnswered = false;
        });
      const times = (trail: Asked) => (round: number) => timesOf({ run: attempt, trail, most: options.queries }, round);
      const rounds = await alternate(options.rounds, { short: times(asked.short), long: times(asked.long) });
      const medians = [rounds.long.map(median), rounds.short.map(median)] as const;
      const name = isAnswered ? query : `${query} (given up at the time-out)`;
      rows.push([name, ...describe(rounds.short.flat()), ...describe(rounds.long.flat()), spread(ratios(...medians))]);
    }
  } finally {
    await short.close();
    await long.close();
  }
  const [few, many] = [figure(trails.short.records), figure(trails.long.records)];
  const columns = ["ms", `p50, ${few}`, `p99, ${few}`, `p50, ${many}`, `p99, ${many}`, "long ÷ short, p50"];
  return { title: `${place}, queries`, columns, rows };
}

/** As a caller of the gateway would be told, once the database has taken too long. */
function isUnavailable(error: unknown): boolean {
  return error instanceof GatewayError && error.code === "STORE_UNAVAILABLE";
}

interface Turn {
  readonly run: Query;
  readonly trail: Asked;
  readonly most: number;
}

async function timesOf({ run, trail, most }: Turn, round: number): Promise<number[]> {
  const random = seeded(round);
  const times: number[] = [];
  const end = performance.now() + ROUND_MS;
  while (times.length < most && performance.now() < end) {
    const start = performance.now();
    await run(trail, random);
    times.push(performance.now() - start);
  }
  return times;
}

function describe(times: readonly number[]): string[] {
  return [figure(median(times)), figure(quantile(times, 0.99))];
}
