import { describe, expect, it } from "vitest";
import { refreshAfter } from "../../src/tokens/lifetime.js";

const CLIENTS = 1_000_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = Date.parse("2026-01-01T12:00:00Z");

/** A million draws in an order of their own, each as likely: additive recurrence by the golden ratio. */
const draw = (index: number) => (index * 0.6180339887498949) % 1;

describe("a million clients that start within one minute", () => {
  it.each([
    ["of 24 hours", 24 * HOUR, 0, 1 / 300],
    ["of 24 hours, kept for 6 of them", 24 * HOUR, 6 * HOUR, 1 / 250],
    ["of 24 hours, kept for as long as any is", 24 * HOUR, 12 * HOUR - 10_000, 1 / 150],
    ["of an hour", HOUR, 0, 1 / 14],
    ["of an hour, kept for 15 minutes", HOUR, 15 * MINUTE, 1 / 10],
    ["of an hour, kept for 25 minutes", HOUR, 25 * MINUTE, 1 / 8],
    ["of an hour, kept for as long as any is", HOUR, HOUR / 2 - 10_000, 1 / 7],
  ])("and get a token %s do not return within one", (_, life, age, most) => {
    const first = new Float64Array(CLIENTS);
    const second = new Float64Array(CLIENTS);
    for (let client = 0; client < CLIENTS; client++) {
      const started = START + (client / CLIENTS) * MINUTE;
      const back = refreshAfter(started, started - age + life, draw(client));
      first[client] = back;
      // Then it gets one that is new.
      second[client] = refreshAfter(back, back + life, draw(client * 7 + 3));
    }
    expect(busiestMinute(first)).toBeLessThan(most);
    expect(busiestMinute(second)).toBeLessThan(Math.min(most, life === HOUR ? 1 / 14 : 1 / 300));
  });

  it("and get one and the same token do not return within one, nor while it is still handed out", () => {
    const expiresOn = START + HOUR;
    const got = START + 29 * MINUTE;
    const back = Float64Array.from({ length: CLIENTS }, (_, client) =>
      refreshAfter(got + (client / CLIENTS) * MINUTE, expiresOn, draw(client)),
    );
    expect(busiestMinute(back)).toBeLessThan(1 / 7);
    expect(back.reduce((earliest, time) => Math.min(earliest, time))).toBeGreaterThan(START + HOUR / 2);
    // The client's own library would ask by itself 10 minutes before the end.
    expect(back.reduce((latest, time) => Math.max(latest, time))).toBeLessThanOrEqual(expiresOn - 15 * MINUTE + 1);
  });
});

/** The share of all that the minute has in which most return, wherever it begins. */
function busiestMinute(times: Float64Array): number {
  const sorted = times.toSorted();
  let most = 0;
  for (let end = 0, begin = 0; end < sorted.length; end++) {
    while ((sorted[end] ?? 0) - (sorted[begin] ?? 0) > MINUTE) begin++;
    most = Math.max(most, end - begin + 1);
  }
  return most / sorted.length;
}
