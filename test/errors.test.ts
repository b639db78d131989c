import { describe, expect, it } from "vitest";
import { GatewayError } from "../src/errors.js";
import { type Quota, RateLimited } from "../src/limits/quota.js";

const CROWD = Array.from({ length: 1000 }, (_, index) => () => index / 1000);
const quota: Quota = {
  name: "issuer-mints",
  user: null,
  limit: 1500,
  windowSeconds: 60,
  remaining: 0,
  resetSeconds: 20,
};

/** How many of the crowd return in each second. */
function returns(refuse: (random: () => number) => GatewayError): Map<number, number> {
  const seconds = CROWD.map((random) => refuse(random).retryAfterSeconds ?? 0);
  return new Map([...new Set(seconds)].map((each) => [each, seconds.filter((second) => second === each).length]));
}

describe("a crowd that is refused at one instant", () => {
  it.each(["UPSTREAM_UNAVAILABLE", "AUDIT_UNAVAILABLE", "STORE_UNAVAILABLE", "KEYS_UNAVAILABLE"] as const)(
    "returns within six seconds, and none before five: %s",
    (code) => {
      const back = returns((random) => new GatewayError(code, "Not now.", { random }));
      expect([...back.keys()]).toEqual([5, 6, 7, 8, 9, 10]);
      expect(Math.max(...back.values())).toBeLessThan(CROWD.length / 5);
    },
  );

  it("by the budget of all users of an issuer returns within half a window, and none before it begins anew", () => {
    const back = returns((random) => new RateLimited("Too many.", quota, random));
    expect(Math.min(...back.keys())).toBe(quota.resetSeconds);
    expect(Math.max(...back.keys())).toBe(quota.resetSeconds + 30);
    expect(Math.max(...back.values())).toBeLessThan(CROWD.length / 25);
  });

  it("returns at the very second where somebody knew it, as of a user's own budget", () => {
    const user = { issuer: "https://issuer.example.com", subject: "alice" };
    for (const random of CROWD) {
      expect(new RateLimited("Too many.", { ...quota, user }, random).retryAfterSeconds).toBe(quota.resetSeconds);
      expect(new GatewayError("UPSTREAM_UNAVAILABLE", "", { retryAfterSeconds: 7, random }).retryAfterSeconds).toBe(7);
    }
  });
});
