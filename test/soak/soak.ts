/**
 * A soak: everybody's traffic, good and hostile, against gateways as they are shipped, while one part after the other is
 * killed, stopped, slowed down and brought back. Then all is mended, what was accepted is waited for, and what was seen is held
 * against the contract (`rules.ts`), the invariants (test/faults) and what the processes have taken (`slope.ts`).
 *
 * The seed decides who asks for what and what is broken when. It does not decide how the machine runs it all.
 */
import { setTimeout } from "node:timers/promises";
import { Balancer } from "./balancer.js";
import { Chaos } from "./chaos.js";
import { Follower } from "./followers.js";
import { GoodCaller } from "./good-caller.js";
import { type Flood, flood } from "./hostile.js";
import { Journal, now } from "./journal.js";
import { isSound } from "./report.js";
import { RECOVERY_MS } from "./rules.js";
import { countEverlasting, type Judged, metricOf, Samples } from "./samples.js";
import { scheduleOf } from "./schedule.js";
import { Stage } from "./stage.js";
import { Traffic } from "./traffic.js";
import { type Parts, Users } from "./users.js";
import { drain, judgeLogs, judgeState, trailOf } from "./verdict.js";

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  /** Scenes begun in a second. */
  readonly rate: number;
  readonly instances: number;
  /** Ends it early; what is said then is about what was run. */
  readonly signal?: AbortSignal;
  readonly say?: (line: string) => void;
  /** Leaves everybody's logs and databases behind when something was found. */
  readonly keep?: boolean;
  /** Stands between callers and an instance, such as something that lies, to see that lies are noticed. */
  readonly urlThrough?: (url: string) => string;
  /** How long an answer may take, in ms. */
  readonly patienceMs?: number;
  /** Nothing is broken. */
  readonly calm?: boolean;
}

export interface SoakResult {
  readonly journal: Journal;
  readonly figures: readonly Judged[];
  readonly flood: Flood;
  readonly minutes: number;
  readonly endedEarly: boolean;
  readonly folder: string;
}

const SAY_EVERY_MS = 10_000;
const FLOOD_AT_ONCE = 3;
/** `limits.requestsPerSubject` as shipped, in a minute. */
const FLOOD_BUDGET = 600;
const FLOOD_MS = 40_000;
/** With a pause between bursts, so that the budget of the user who floods is full again. */
const FLOOD_EVERY_MS = 120_000;

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const stage = await Stage.start(options.instances);
  const run = new Soak(stage, options);
  let failed = true;
  try {
    const result = await run.run();
    failed = !isSound(result);
    return result;
  } finally {
    await stage.close({ keep: failed && options.keep === true });
  }
}

class Soak {
  readonly #journal: Journal;
  readonly #users: Users;
  readonly #traffic: Traffic;
  readonly #samples: Samples;
  readonly #chaos: Chaos;
  readonly #followers: readonly Follower[];
  readonly #parts: Parts;
  readonly #flood: Flood = { taken: 0, refused: 0 };

  constructor(
    private readonly stage: Stage,
    private readonly options: SoakOptions,
  ) {
    const { urlThrough = (url: string) => url } = options;
    const balancer = new Balancer((instance) => urlThrough(stage.url(instance)), options.instances, options.patienceMs);
    const journal = new Journal(options.say);
    this.#journal = journal;
    this.#parts = { stage, journal, balancer, caller: new GoodCaller(balancer, journal) };
    this.#users = new Users(this.#parts);
    this.#traffic = new Traffic(this.#parts, this.#users, options);
    this.#samples = new Samples(stage, journal);
    this.#chaos = new Chaos(stage, journal, options.say ?? (() => {}));
    this.#followers = (["server-sent events", "a WebSocket"] as const).map(
      (over) => new Follower(`who follows over ${over}`, over, this.#parts, this.#users),
    );
  }

  async run(): Promise<SoakResult> {
    const { minutes, seed, calm = false, say = () => {} } = this.options;
    say(`everything runs, in ${this.stage.folder}`);
    const judged = new AbortController();
    const watchingItself = this.#journal.watchItself(judged.signal);
    for (const follower of this.#followers) follower.start();
    await setTimeout(1000);
    await this.#traffic.signIn();
    const began = now();
    const time = AbortSignal.timeout(minutes * 60_000);
    const over = this.options.signal ? AbortSignal.any([time, this.options.signal]) : time;
    const chaos = new AbortController();
    const schedule = calm ? [] : scheduleOf(seed, minutes);
    // A schedule that takes longer than the time is followed to its end, unless somebody ends it.
    const broken = this.#chaos.follow(
      schedule,
      AbortSignal.any([chaos.signal, ...(this.options.signal ? [this.options.signal] : [])]),
    );
    const stop = new AbortController();
    const traffic = this.#traffic.run(stop.signal);
    const watching = [this.#samples.take(stop.signal), this.#say(began, stop.signal), this.#floods(stop.signal)];
    await Promise.all([aborted(over), broken]);
    chaos.abort();
    if (!calm && !this.options.signal?.aborted) await setTimeout(RECOVERY_MS);
    stop.abort();
    say("the time is up; what is under way is waited for");
    await Promise.all([traffic, ...watching]);
    await this.#end(say);
    judged.abort();
    await watchingItself;
    const endedEarly = this.options.signal?.aborted ?? false;
    const lasted = (now() - began) / 60_000;
    return {
      journal: this.#journal,
      figures: this.#samples.judge(),
      flood: this.#flood,
      minutes: lasted,
      endedEarly,
      folder: this.stage.folder,
    };
  }

  async #end(say: (line: string) => void): Promise<void> {
    const { stage } = this;
    const journal = this.#journal;
    await drain(stage, journal);
    await this.#traffic.askOnceMore();
    const everlasting = await countEverlasting(stage.redis.url);
    if (everlasting !== 0) journal.wrong(`${everlasting} keys in Redis never expire`);
    const records = (await trailOf(stage)).flat().length;
    await Promise.all(this.#followers.map((follower) => follower.finish(records)));
    for (const instance of stage.instances.keys()) await stage.stopInstance(instance, "SIGTERM");
    const wrongExits = stage.exits.filter((exit) => exit !== 0);
    if (wrongExits.length > 0) journal.wrong(`SIGTERM ends with 0, not with ${wrongExits.join(", ")}`);
    this.#parts.balancer.close();
    say("no gateway runs any more; what was seen is judged");
    const trail = await trailOf(stage);
    for (const follower of this.#followers) {
      follower.check(trail);
      journal.count(`events told over ${follower.name.slice("who follows over ".length)}`, follower.seen.length);
    }
    await judgeState(stage, journal, trail);
    await judgeLogs(stage, journal);
    journal.count("stalls of the run itself, of half a second or more", journal.stalls.length);
    journal.count(
      "longest stall of the run itself, ms",
      Math.max(0, ...journal.stalls.map(({ from, until }) => until - from)),
    );
    journal.count("slowest event told in calm times, ms", Math.max(...this.#followers.map(({ slowest }) => slowest)));
  }

  async #floods(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const from = now();
      const until = from + FLOOD_MS;
      const before = await this.#countedHere();
      const { taken, refused } = await flood(this.#parts, this.#users, FLOOD_AT_ONCE, signal.aborted ? 0 : until);
      this.#flood.taken += taken;
      this.#flood.refused += refused;
      const after = await this.#countedHere();
      const more = (count: number | undefined, instance: number) =>
        (count ?? Number.NaN) - (before[instance] ?? Number.NaN);
      this.#judgeFlood(
        taken,
        after.map(more).reduce((sum, one) => sum + one, 0),
        from,
      );
      await setTimeout(FLOOD_EVERY_MS - FLOOD_MS, undefined, { signal }).catch(() => {});
    }
  }

  /** Of each instance: what Redis did not count in time, so that the instance let it through or not by itself. */
  async #countedHere(): Promise<(number | undefined)[]> {
    const all = await Promise.all(this.stage.instances.map((_, instance) => this.stage.metrics(instance)));
    return all.map((metrics) => metricOf(metrics, "gateway_limits_counted_here_total"));
  }

  /**
   * A burst is over before the minute of its first request is, and the one before was in an earlier minute. `countedHere`: NaN
   * where an instance was away at its begin or its end.
   */
  #judgeFlood(taken: number, countedHere: number, from: number): void {
    const { spells, absences } = this.#journal;
    // A Redis that is restarted has forgotten what was counted, and so has an instance.
    const isForgotten =
      Number.isNaN(countedHere) ||
      spells.some(({ kind, until }) => kind.startsWith("Redis") && until + RECOVERY_MS > from) ||
      absences.some(({ until }) => until > from);
    this.#journal.count(
      isForgotten ? "bursts of the flood that cannot be judged" : "bursts of the flood that were judged",
    );
    if (isForgotten) return;
    this.#journal.count("counts in those bursts that Redis did not answer in time", countedHere);
    if (taken > FLOOD_BUDGET + countedHere) {
      const counted = `${countedHere} of them not counted by Redis`;
      this.#journal.wrong(`a flood was let through: ${taken} requests of one user in a minute, ${counted}`);
    }
  }

  async #say(began: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await setTimeout(SAY_EVERY_MS, undefined, { signal }).catch(() => {});
      const { entries, totals, spells, counts } = this.#journal;
      const broken = spells.findLast(({ until }) => until === Number.POSITIVE_INFINITY)?.kind ?? "nothing";
      const facts = [
        `${Math.round((now() - began) / 1000)} s`,
        `${counts.get("good callers answered") ?? 0} answered`,
        `${entries.length} about tokens`,
        `${this.#traffic.underWay} under way`,
        `${spells.length} faults, broken now: ${broken}`,
        `${totals.lost} lost`,
        `${totals.wrong} wrong`,
        `heap ${this.#samples.latest("heap in use").toFixed(0)} MB`,
        `resident ${this.#samples.latest("resident memory").toFixed(0)} MB`,
        `${this.#samples.latest("open handles")} handles`,
      ];
      this.options.say?.(facts.join(", "));
    }
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
