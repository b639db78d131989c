import "reflect-metadata";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, expect, it, vi } from "vitest";
import { AuditFeed, type FeedPosition, type GrowingTrail } from "../../src/audit/feed.js";
import { type AuditRecord, recordId } from "../../src/audit/record.js";
import { auditTopic } from "../../src/graphql/resolvers/audit-feed.js";
import { TestWriter } from "../fixtures/audit.js";

const HOUR = 3_600_000;

afterEach(() => {
  vi.useRealTimers();
});

/** Chains that were written to in one hour after the other, as instances come and go; and what was asked of them and looked at. */
function chains(count: number, length: number) {
  const writers = Array.from({ length: count }, (_, hour) => {
    const writer = new TestWriter(`writer ${hour}`);
    for (let number = 0; number < length; number++) writer.add((hour + 1) * HOUR + number);
    return writer;
  });
  const asked: string[] = [];
  let looks = 0;
  const stored = (record: AuditRecord) => ({
    ...record,
    id: recordId(record),
    get at() {
      looks += 1;
      return record.at;
    },
  });
  const recordsOf = (name: string) => writers.find(({ writer }) => writer === name)?.records ?? [];
  const trail: GrowingTrail = {
    writersSince: async (at) => writers.filter(({ end }) => end.at >= at).map(({ writer }) => writer),
    lastBefore: async (writer) => {
      asked.push(writer);
      return 0;
    },
    after: async (writer, sequence, limit) =>
      recordsOf(writer)
        .slice(sequence, sequence + limit)
        .map(stored),
  };
  const feed = new AuditFeed({ trail, now: () => (count + 1) * HOUR });
  return { writers, feed, asked, looks: () => looks, all: writers.flatMap(({ records }) => records.map(recordId)) };
}

/** So many that follow a position before all of them, by somebody who takes each at once; and the turn of the event loop in which it came. */
async function resumed(feed: AuditFeed, count: number): Promise<{ ids: string[]; turns: number[] }> {
  const over = new AbortController();
  const [ids, turns]: [string[], number[]] = [[], []];
  let turn = 0;
  const passing = (async () => {
    for (; !over.signal.aborted; turn++) await setImmediate();
  })();
  const position = { since: 1, seen: new Map() };
  for await (const { record } of feed.follow({ position, matches: () => true, signal: over.signal })) {
    ids.push(record.id);
    turns.push(turn);
    if (ids.length === count) over.abort();
  }
  await passing;
  return { ids, turns };
}

it("asks once of each chain up to where it was told, however many pages there are", async () => {
  const { feed, asked, all, writers } = chains(30, 250);
  expect((await resumed(feed, all.length)).ids).toEqual(all);
  expect(asked.toSorted()).toEqual(writers.map(({ writer }) => writer).toSorted());
});

it("has others have their turn after each page, though neither database nor reader has to be waited for", async () => {
  const { feed, all } = chains(3, 450);
  const { turns } = await resumed(feed, all.length);
  const most = Math.max(...[...Map.groupBy(turns, (turn) => turn).values()].map(({ length }) => length));
  expect(most).toBeLessThanOrEqual(100);
});

it("merges what many chains have without a look at all of them for each record", async () => {
  const { feed, all, looks } = chains(100, 99);
  expect((await resumed(feed, all.length)).ids).toEqual(all);
  expect(looks() / all.length).toBeLessThan(5);
});

it("what is written while the feed looks is looked for soon after, not with the next look of every half second", async () => {
  vi.useFakeTimers();
  let looks = 0;
  let held = Promise.resolve();
  const trail = {
    writersSince: async () => {
      looks += 1;
      await held;
      return [];
    },
    lastBefore: async () => 0,
    after: async () => [],
  };
  const feed = new AuditFeed({ trail, now: () => 0 });
  const over = new AbortController();
  const position = { since: 0, seen: new Map() };
  const following = feed.follow({ position, matches: () => true, signal: over.signal }).next();
  await vi.advanceTimersByTimeAsync(1);
  expect(looks).toBe(1);
  const { promise, resolve: release } = Promise.withResolvers<void>();
  held = promise;
  feed.nudge();
  await vi.advanceTimersByTimeAsync(25);
  expect(looks).toBe(2);
  feed.nudge();
  await vi.advanceTimersByTimeAsync(5);
  held = Promise.resolve();
  release();
  await vi.advanceTimersByTimeAsync(25);
  expect(looks).toBe(3);
  over.abort();
  await following;
});

it("keeps nothing of who has left, while another follows and nothing is written", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const trail = { writersSince: async () => [], lastBefore: async () => 0, after: async () => [] };
  const feed = new AuditFeed({ trail, now: () => 0 });
  const position = { since: 0, seen: new Map() };
  const begin = () => {
    const over = new AbortController();
    return { over, following: feed.follow({ position, matches: () => true, signal: over.signal }).next() };
  };
  const stays = begin();
  const comeAndGo = async () => {
    const { over, following } = begin();
    await setImmediate();
    over.abort();
    await following;
    return new WeakRef(over.signal);
  };
  const left: WeakRef<AbortSignal>[] = [];
  for (let number = 0; number < 20; number++) left.push(await comeAndGo());
  await setImmediate();
  collect();
  expect(left.filter((signal) => signal.deref() !== undefined)).toEqual([]);
  stays.over.abort();
  await stays.following;
});

it("tells what is recorded once the place is known to begin at, though nobody has followed yet", async () => {
  const writer = new TestWriter("w");
  writer.add(1000);
  const trail = {
    writersSince: async () => ["w"],
    lastBefore: async (_: string, before: number) => writer.records.findLast(({ at }) => at < before)?.sequence ?? 0,
    after: async (_: string, sequence: number, limit: number) => writer.records.slice(sequence, sequence + limit),
  };
  const feed = new AuditFeed({ trail: trail as never, now: () => 2000 });
  const position = await feed.end();
  const record = writer.add(2000);
  const over = new AbortController();
  const following = feed.follow({ position, matches: () => true, signal: over.signal });
  expect((await following.next()).value).toMatchObject({ record });
  over.abort();
  await following.return(undefined);
});

it("has that place before a subscription is answered", async () => {
  vi.useFakeTimers();
  const place = Promise.withResolvers<FeedPosition>();
  const audit = { follow: vi.fn(async () => [await place.promise]) };
  const call = {};
  const asked = { args: {}, context: { call, ended: AbortSignal.abort() } };
  let isAnswered = false;
  const answered = Promise.resolve(auditTopic(audit as never).subscribe("", asked)).then(() => {
    isAnswered = true;
  });
  await vi.advanceTimersByTimeAsync(1000);
  expect(isAnswered).toBe(false);
  place.resolve({ since: 0, seen: new Map() });
  await answered;
});
