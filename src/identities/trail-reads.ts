import { setImmediate } from "node:timers/promises";
import type { ActivityCounts, ActivityQuery, AuditFilter, AuditPageQuery, StoredRecord } from "../audit/query.js";
import type { Deadline } from "../deadline.js";
import type { AuditReader } from "../store/audit-reader.js";
import { requestIsOver } from "./waiting.js";

/** Records that are counted into buckets before others have their turn: some 20 ms. */
const COUNTED_IN_A_TURN = 20_000;

/**
 * What one call reads of the trail: the same only once, and one after the other with a turn for other calls in between, since on SQLite a
 * read has nothing to wait for, and on Postgres each takes a connection. When the call's time is up none is begun any more:
 * DEADLINE_EXCEEDED.
 */
export class TrailReads {
  readonly #made = new Map<string, Promise<unknown>>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly trail: AuditReader,
    private readonly deadline: Pick<Deadline, "aborted">,
  ) {}

  async page(query: AuditPageQuery): Promise<readonly StoredRecord[]> {
    return await this.#once(["page", query], () => this.trail.page(query));
  }

  async count(filter: AuditFilter, most: number): Promise<number> {
    return await this.#once(["count", filter, most], () => this.trail.count(filter, most));
  }

  async activity(query: ActivityQuery): Promise<ReadonlyMap<number, Partial<ActivityCounts>>> {
    return await this.#once(["activity", query], () => this.#activity(query));
  }

  /** In parts, as there may be any number of records in the time that is asked for. */
  async #activity({ since, until, bucket }: ActivityQuery): Promise<ReadonlyMap<number, Partial<ActivityCounts>>> {
    const counts = new Map<number, Record<string, number>>();
    for (let from = since; from < until; ) {
      const to = Math.max(from + 1, (await this.trail.atOffset(from, until, COUNTED_IN_A_TURN)) ?? until);
      for (const [start, part] of await this.trail.activity({ since: from, until: to, bucket })) {
        const sum = counts.get(start) ?? {};
        for (const [name, count] of Object.entries(part)) sum[name] = (sum[name] ?? 0) + count;
        counts.set(start, sum);
      }
      from = to;
      if (from < until) await this.#turn();
    }
    return counts;
  }

  #once<Result>(what: readonly unknown[], read: () => Promise<Result>): Promise<Result> {
    const key = JSON.stringify(what);
    const made = (this.#made.get(key) as Promise<Result> | undefined) ?? this.#inLine(read);
    this.#made.set(key, made);
    return made;
  }

  #inLine<Result>(read: () => Promise<Result>): Promise<Result> {
    const made = this.#last.then(() => this.#turn()).then(read);
    this.#last = made.catch(() => {});
    return made;
  }

  async #turn(): Promise<void> {
    await setImmediate();
    if (this.deadline.aborted) throw requestIsOver();
  }
}
