import { setTimeout } from "node:timers/promises";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuditFeed, type FeedItem, type FeedPosition } from "../../src/audit/feed.js";
import { type AuditRecord, recordId } from "../../src/audit/record.js";
import { TestWriter } from "../fixtures/audit.js";
import type { OpenedStore } from "./identity-store.js";

const SLOW_OPENING_MS = 60_000;
const MINUTE = 60_000;
/** All of a write has to be on disk within the window of a minute; some writes pass before the next look at what is due. */
const LATEST_MS = 55_000;

/** What happens to a trail: a writer makes records, some of which are on disk only later, and somebody looks. */
type Step =
  | { readonly kind: "write"; readonly writer: number; readonly count: number; readonly late: boolean }
  | { readonly kind: "commit" }
  | { readonly kind: "pass"; readonly milliseconds: number }
  | { readonly kind: "read"; readonly resume: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      writer: fc.nat(3),
      count: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 90, max: 250 })),
      late: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("commit" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      milliseconds: fc.oneof(fc.nat(40_000), fc.nat(200_000)),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("read" as const), resume: fc.boolean() }) },
);

let runs = 0;

/** What every database has to do for whoever follows the trail. */
export function auditFeedConformance(name: string, open: () => Promise<OpenedStore>): void {
  describe(`audit feed on ${name}`, () => {
    let opened: OpenedStore;
    beforeAll(async () => {
      opened = await open();
    }, SLOW_OPENING_MS);
    afterAll(async () => {
      await opened.close();
    });

    it("tells each record once, each writer's in their order, whenever they come to be on disk and whoever resumes where", async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          const run = new Run(opened);
          await run.begin();
          for (const next of steps) await run.take(next);
          await run.end();
          expect(run.told).toEqual(run.expected());
        }),
        { numRuns: 12, endOnFailure: true },
      );
    }, 120_000);

    it("begins with what comes, and passes by what the filter does not let through", async () => {
      const writer = newWriter();
      writer.add(10 * MINUTE, { reason: "before" });
      await opened.store.audit.append(writer.records);
      const feed = new AuditFeed({ trail: opened.store.auditTail, now: () => 10 * MINUTE });
      const follower = new Follower(feed, undefined, ({ reason }) => reason !== "no");
      await follower.begun(opened, writer, 10 * MINUTE);
      await opened.store.audit.append([
        writer.add(10 * MINUTE, { reason: "no" }),
        writer.add(10 * MINUTE, { reason: "yes" }),
      ]);
      await expect.poll(() => follower.items.map(({ record }) => record.reason)).toEqual(["first", "yes"]);
      await follower.end();
    });

    it("tells a failure of the database, and goes on from the last position afterwards", async () => {
      const writer = newWriter();
      let isDown = false;
      const { auditTail } = opened.store;
      const trail = {
        writersSince: (at: number) => (isDown ? Promise.reject(new Error("down")) : auditTail.writersSince(at)),
        lastBefore: auditTail.lastBefore.bind(auditTail),
        after: auditTail.after.bind(auditTail),
      };
      const feed = new AuditFeed({ trail, now: () => 20 * MINUTE });
      const follower = new Follower(feed);
      await follower.begun(opened, writer, 20 * MINUTE);
      isDown = true;
      await expect(follower.over).rejects.toThrow("down");
      await opened.store.audit.append([writer.add(20 * MINUTE, { reason: "meanwhile" })]);
      isDown = false;
      const again = new Follower(feed, follower.items.at(-1)?.position);
      await expect.poll(() => again.items.map(({ record }) => record.reason)).toEqual(["meanwhile"]);
      await again.end();
    });

    it("knows up to where a chain is from before an instant, without its beginning and where clocks were set back, too", async () => {
      const instant = fc.nat(20);
      await fc.assert(
        fc.asyncProperty(
          fc.array(instant, { minLength: 1, maxLength: 12 }),
          fc.nat(),
          instant,
          async (times, gone, at) => {
            const writer = newWriter();
            for (const time of times) writer.add(time);
            const left = writer.records.slice(gone % times.length);
            await opened.store.audit.append(left);
            const last = await opened.store.auditTail.lastBefore(writer.writer, at);
            const places = [{ sequence: (left[0]?.sequence ?? 0) - 1, at: 0 }, ...left].map(
              ({ sequence }, index, all) => {
                const [before, after] = [all[index]?.at ?? 0, all[index + 1]?.at ?? Number.POSITIVE_INFINITY];
                return (index === 0 || before < at) && after >= at ? sequence : undefined;
              },
            );
            expect(places).toContain(last);
          },
        ),
        { numRuns: 100 },
      );
      expect(await opened.store.auditTail.lastBefore("nobody", 1)).toBe(0);
    });

    it("goes on with a chain that was silent until all of it was dropped for its age", async () => {
      const writer = newWriter();
      let now = 30 * MINUTE;
      const feed = new AuditFeed({ trail: opened.store.auditTail, now: () => now });
      const follower = new Follower(feed);
      await follower.begun(opened, writer, now);
      const more = (count: number) => opened.store.audit.append(Array.from({ length: count }, () => writer.add(now)));
      await more(99);
      await expect.poll(() => follower.items.length).toBe(100);
      const [first, last] = [writer.records[0] ?? expect.fail("none"), writer.end];
      now += 10 * MINUTE;
      // It is no longer looked at.
      await setTimeout(1200);
      await opened.store.audit.drop({ first, last, line: "line", said: undefined });
      for (const told of [102, 103]) {
        await more(told - follower.items.length);
        await expect.poll(() => follower.items.length, { timeout: 5000 }).toBe(told);
      }
      await follower.end();
      expect(follower.items.map(({ record }) => record.sequence)).toEqual(
        writer.records.map(({ sequence }) => sequence),
      );
    });
  });
}

/** One history, and one reader of it who goes away and comes back. */
class Run {
  readonly told: string[][] = [];
  readonly #feed: AuditFeed;
  readonly #opened: OpenedStore;
  readonly #writers = Array.from({ length: 4 }, newWriter);
  readonly #waiting: AuditRecord[][] = [];
  #now: number;
  #follower: Follower;
  readonly #items: FeedItem[] = [];

  constructor(opened: OpenedStore) {
    this.#opened = opened;
    // Each history has a time of its own, so that it has no records in common with any before.
    runs += 1;
    this.#now = runs * 1000 * MINUTE;
    this.#feed = new AuditFeed({ trail: opened.store.auditTail, now: () => this.#now });
    this.#follower = new Follower(this.#feed);
  }

  async begin(): Promise<void> {
    const [first] = this.#writers;
    if (first) await this.#follower.begun(this.#opened, first, this.#now);
  }

  async take(next: Step): Promise<void> {
    if (next.kind === "pass") {
      // What would be too late by then is on disk before.
      const until = this.#now + next.milliseconds;
      await this.#commit((records) => until - (records[0]?.at ?? 0) > LATEST_MS);
      this.#now = until;
    }
    if (next.kind === "commit") await this.#commit();
    if (next.kind === "read") await this.#read(next.resume);
    if (next.kind !== "write") return;
    const writer = this.#writers[next.writer];
    if (writer === undefined) return;
    // One writer's writes come one after the other.
    const waits = this.#waiting.some((records) => records[0]?.writer === writer.writer);
    const records = Array.from({ length: next.count }, () => writer.add(this.#now));
    if (next.late || waits) this.#waiting.push(records);
    else await this.#opened.store.audit.append(records);
    this.#now += 100;
  }

  async end(): Promise<void> {
    await this.#commit();
    await this.#read(false);
    await this.#follower.end();
    this.#items.push(...this.#follower.items);
    for (const { writer } of this.#writers)
      this.told.push(
        this.#items.filter(({ record }) => record.writer === writer).map(({ record }) => recordId(record)),
      );
  }

  expected(): string[][] {
    return this.#writers.map(({ records }) => records.map(recordId));
  }

  async #commit(isDue: (records: readonly AuditRecord[]) => boolean = () => true): Promise<void> {
    // The later ones first, as far as each writer's own order lets them.
    const writerOf = (records: AuditRecord[]) => records[0]?.writer ?? "";
    const waiting = this.#waiting.splice(0);
    this.#waiting.push(...waiting.filter((records) => !isDue(records)));
    const order = waiting.filter(isDue).sort((one, other) => writerOf(other).localeCompare(writerOf(one)));
    for (const records of order) await this.#opened.store.audit.append(records);
  }

  async #read(resume: boolean): Promise<void> {
    const waiting = this.#waiting.flat().length;
    const all = this.#writers.reduce((sum, { records }) => sum + records.length, 0);
    this.#feed.nudge();
    if (!resume) {
      await expect
        .poll(() => this.#items.length + this.#follower.items.length, { timeout: 10_000 })
        .toBe(all - waiting);
      return;
    }
    // In the middle, perhaps.
    await this.#follower.end();
    this.#items.push(...this.#follower.items);
    this.#follower = new Follower(this.#feed, this.#items.at(-1)?.position);
  }
}

class Follower {
  readonly items: FeedItem[] = [];
  readonly over: Promise<void>;
  readonly #ended = new AbortController();

  constructor(feed: AuditFeed, position?: FeedPosition, matches: (record: AuditRecord) => boolean = () => true) {
    this.over = this.#follow(feed, position, matches);
    this.over.catch(() => {});
  }

  /** Resolves once it has begun: it has been told of a record that was added. */
  async begun({ store }: OpenedStore, writer: TestWriter, now: number): Promise<void> {
    // For its first look, which tells nothing of what it finds.
    await setTimeout(300);
    await store.audit.append([writer.add(now, { reason: "first" })]);
    await expect.poll(() => this.items.length).toBe(1);
  }

  async end(): Promise<void> {
    this.#ended.abort();
    await this.over;
  }

  async #follow(feed: AuditFeed, given: FeedPosition | undefined, matches: (record: AuditRecord) => boolean) {
    const position = given ?? (await feed.end());
    await this.#read(feed.follow({ position, matches, signal: this.#ended.signal }));
  }

  async #read(items: AsyncGenerator<FeedItem>): Promise<void> {
    for await (const item of items) this.items.push(item);
  }
}

/** As the trail names them. */
function newWriter(): TestWriter {
  return new TestWriter(Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64url"));
}
