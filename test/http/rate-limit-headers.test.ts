import { describe, expect, it } from "vitest";
import { rateLimitHeaders } from "../../src/http/rate-limit-headers.js";
import type { Quota } from "../../src/limits/quota.js";

const alice = { issuer: "https://issuer.example.com", subject: "alice" };
const quota = (changed: Partial<Quota>): Quota => ({
  name: "requests",
  user: alice,
  limit: 600,
  windowSeconds: 60,
  remaining: 599,
  resetSeconds: 42,
  ...changed,
});

describe("the RateLimit headers", () => {
  it("are lists of structured-field strings with integer parameters", () => {
    const mints = quota({ name: "mints", limit: 30, remaining: 0, resetSeconds: 1 });
    expect(rateLimitHeaders([quota({}), mints], alice)).toEqual({
      "ratelimit-policy": '"requests";q=600;w=60, "mints";q=30;w=60',
      ratelimit: '"requests";r=599;t=42, "mints";r=0;t=1',
    });
  });

  it("tell nobody of another user's budget, whose subject or issuer may be the same", () => {
    const quotas = [
      quota({ user: { ...alice, subject: "bob" } }),
      quota({ user: { ...alice, issuer: "https://other" } }),
    ];
    expect(rateLimitHeaders(quotas, alice)).toEqual({});
    expect(rateLimitHeaders([quota({})], undefined)).toEqual({});
  });

  it("tell anybody of a budget that is no user's", () => {
    const failedAuth = quota({ name: "failed-auth", user: null, limit: 120, remaining: 0 });
    expect(rateLimitHeaders([failedAuth], undefined)).toEqual({
      "ratelimit-policy": '"failed-auth";q=120;w=60',
      ratelimit: '"failed-auth";r=0;t=42',
    });
  });

  it("tell the last of several states of one budget", () => {
    const { ratelimit } = rateLimitHeaders([quota({ remaining: 1 }), quota({ remaining: 0 })], alice);
    expect(ratelimit).toBe('"requests";r=0;t=42');
  });
});
