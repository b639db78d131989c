import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { AuditFeed } from "../../src/audit/feed.js";

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
