import { afterEach, beforeEach, expect, it, vi } from "vitest";
import "reflect-metadata";
import { AuditFeed, type FeedPosition } from "../../src/audit/feed.js";
import { auditTopic } from "../../src/graphql/resolvers/audit-feed.js";
import { TestWriter } from "../fixtures/audit.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("what is written while the feed looks is looked for soon after, not with the next look of every half second", async () => {
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
