import { readdirSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { Redis } from "ioredis";
import { type Journal, now } from "./journal.js";
import { isLeak, LEAST_WINDOWS, type Sample, type SlopeOptions, slopeOf } from "./slope.js";
import type { Stage } from "./stage.js";

interface Figure {
  readonly unit: string;
  /** Of the gateway's metrics. */
  readonly metric?: string;
  readonly of: SlopeOptions["of"];
  /** More by the hour is a leak. Without one the figure is shown and not judged. */
  readonly limitPerHour?: number;
  readonly scale?: number;
}

const MEGABYTE = 2 ** 20;

/** Of the instance that lives through the whole run, but for the last two. */
const FIGURES = {
  "heap in use": { unit: "MB", metric: "nodejs_heap_size_used_bytes", of: "least", limitPerHour: 16, scale: MEGABYTE },
  "outside of the heap": {
    unit: "MB",
    metric: "nodejs_external_memory_bytes",
    of: "least",
    limitPerHour: 16,
    scale: MEGABYTE,
  },
  "resident memory": {
    unit: "MB",
    metric: "process_resident_memory_bytes",
    of: "middle",
    limitPerHour: 48,
    scale: MEGABYTE,
  },
  "open handles": { unit: "", of: "least", limitPerHour: 12 },
  "active resources": { unit: "", metric: "nodejs_active_resources_total", of: "least", limitPerHour: 12 },
  "streams open": { unit: "", metric: "gateway_streams_open", of: "middle", limitPerHour: 4 },
  "requests under way": { unit: "", metric: "gateway_requests_under_way", of: "least", limitPerHour: 4 },
  "event loop delay, p99": { unit: "ms", metric: "nodejs_eventloop_lag_p99_seconds", of: "middle", scale: 1 / 1000 },
  // A pool opens what is asked for at once, and ends it later: what has leaked is there at the quietest, too.
  "connections to Postgres, all instances": { unit: "", of: "least", limitPerHour: 6 },
  "keys in Redis": { unit: "", of: "middle" },
} as const satisfies Record<string, Figure>;

type FigureName = keyof typeof FIGURES;
const NAMES = Object.keys(FIGURES) as readonly FigureName[];

const EVERY_MS = 5_000;
const WINDOW_MS = 60_000;
/** Caches and pools fill, code is compiled: not looked at. */
const WARM_UP_SHARE = 0.2;

export interface Judged {
  readonly name: string;
  readonly unit: string;
  readonly samples: number;
  readonly first: number;
  readonly last: number;
  readonly most: number;
  readonly slope: ReturnType<typeof slopeOf>;
  readonly limitPerHour: number | undefined;
  readonly isLeak: boolean;
}

/** What the processes take, looked at every few seconds. */
export class Samples {
  readonly #taken = new Map<FigureName, Sample[]>(NAMES.map((name) => [name, []]));

  constructor(
    private readonly stage: Stage,
    private readonly journal: Journal,
  ) {}

  async take(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#takeOne();
      await setTimeout(EVERY_MS, undefined, { signal }).catch(() => {});
    }
  }

  latest(name: FigureName): number {
    return this.#taken.get(name)?.at(-1)?.value ?? 0;
  }

  judge(): Judged[] {
    return NAMES.map((name) => {
      const { unit, of, limitPerHour }: Figure = FIGURES[name];
      const samples = this.#taken.get(name) ?? [];
      const warm = samples.slice(Math.floor(samples.length * WARM_UP_SHARE));
      const slope = slopeOf(warm, { windowMs: WINDOW_MS, of });
      const values = warm.map(({ value }) => value);
      return {
        name,
        unit,
        samples: samples.length,
        first: values[0] ?? 0,
        last: values.at(-1) ?? 0,
        most: Math.max(0, ...values),
        slope,
        limitPerHour,
        isLeak: slope !== undefined && limitPerHour !== undefined && isLeak(slope, limitPerHour),
      };
    });
  }

  async #takeOne(): Promise<void> {
    const at = now();
    const { stage } = this;
    const [metrics, connections, keys] = await Promise.all([
      stage.metrics(0),
      this.#connections(),
      countKeys(stage.redis.url),
    ]);
    for (const name of NAMES) {
      const { metric, scale = 1 }: Figure = FIGURES[name];
      if (metric !== undefined) this.#add(name, at, (metricOf(metrics, metric) ?? Number.NaN) / scale);
    }
    this.#add("open handles", at, countHandles(stage.pidOf(0)));
    this.#add("connections to Postgres, all instances", at, connections);
    this.#add("keys in Redis", at, keys);
  }

  /** Undefined while the database is away. */
  async #connections(): Promise<number | undefined> {
    const sql =
      "select count(*) as count from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    const rows = await this.stage.postgres.ask<{ count: string }>(sql).catch(() => []);
    return rows[0] && Number(rows[0].count);
  }

  #add(name: FigureName, at: number, value: number | undefined): void {
    if (value === undefined || Number.isNaN(value)) this.journal.count(`samples left out: ${name}`);
    else this.#taken.get(name)?.push({ at, value });
  }
}

/** Of a metric without labels, as it is exposed; undefined where it is not. */
export function metricOf(metrics: string, name: string): number | undefined {
  const value = new RegExp(`^${name} (\\S+)$`, "m").exec(metrics)?.[1];
  return value === undefined ? undefined : Number(value);
}

/** Sockets, files and pipes, by the system's own account; undefined on systems without /proc. */
function countHandles(pid: number): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return undefined;
  }
}

async function countKeys(url: string): Promise<number | undefined> {
  return await withRedis(url, (client) => client.dbsize());
}

/** How many keys would stay for ever, were nobody to remove them. */
export async function countEverlasting(url: string): Promise<number | undefined> {
  return await withRedis(url, async (client) => {
    let count = 0;
    for await (const keys of client.scanStream({ count: 1000 }) as AsyncIterable<string[]>) {
      const left = await Promise.all(keys.map((key) => client.pttl(key)));
      count += left.filter((milliseconds) => milliseconds === -1).length;
    }
    return count;
  });
}

/** Undefined while it is away. */
async function withRedis<Value>(url: string, ask: (client: Redis) => Promise<Value>): Promise<Value | undefined> {
  const client = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: 1000,
    commandTimeout: 3000,
    maxRetriesPerRequest: 0,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    return await ask(client);
  } catch {
    return undefined;
  } finally {
    client.disconnect();
  }
}

/** For the report. */
export const SAMPLING = `every ${EVERY_MS / 1000} s, the first ${WARM_UP_SHARE * 100} % left out, in windows of ${WINDOW_MS / 1000} s, of which ${LEAST_WINDOWS} at least are needed`;
