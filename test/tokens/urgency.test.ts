import { expect, it } from "vitest";
import type { Identity } from "../../src/identities/identity.js";
import { urgencyOf } from "../../src/tokens/urgency.js";

const NOW = 1_800_000_000_000;
const MINUTE = 60_000;

it.each([
  ["has had no token yet", null, null, "normal"],
  ["has one that is good for half an hour more", NOW - 30 * MINUTE, null, "early"],
  ["has one that is good for less", NOW - 31 * MINUTE, null, "expiring"],
  ["has one that has ended", NOW - 100 * MINUTE, null, "expiring"],
  ["has one that was revoked", NOW - 5 * MINUTE, NOW - MINUTE, "expiring"],
  ["has got one since tokens were revoked", NOW - MINUTE, NOW - 5 * MINUTE, "early"],
] as const)("a client that %s", (_, lastTokenIssuedAt, tokensValidAfter, urgency) => {
  const identity = { lastTokenIssuedAt, tokensValidAfter } as Identity;
  expect(urgencyOf(identity, { scopes: ["CHAT"], lifetimeMinutes: 60 }, NOW)).toBe(urgency);
});
