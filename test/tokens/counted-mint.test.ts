import { describe, expect, it } from "vitest";
import { IdentityNotOwned, ServiceFailure, TeamsTokenRejected } from "../../src/acs/service.js";
import { GatewayError } from "../../src/errors.js";
import type { Quota } from "../../src/limits/quota.js";
import { countedMint, mintCounted } from "../../src/tokens/counted-mint.js";

const user = { issuer: "https://i.example.com", subject: "alice" };
const quota = { name: "mints", user, limit: 2, windowSeconds: 60, remaining: 1, resetSeconds: 60 } as const;
const requests = { ...quota, name: "requests" } as const;

/** What the call is told of its budgets, and whether the token was given back, after work that ends so. */
async function outcomeOf(work: () => Promise<unknown>) {
  const quotas: Quota[] = [requests];
  let isGivenBack = false;
  const giveBack = async () => {
    isGivenBack = true;
  };
  const mint = countedMint({ takeMint: async () => ({ quota, giveBack }) }, { quotas }, user);
  const outcome = await mintCounted(mint, work).catch((error: unknown) => error);
  return { outcome, isGivenBack, told: quotas.map(({ name }) => name) };
}

describe("a token that is counted", () => {
  it("stays so, and is told, when it is there", async () => {
    expect(await outcomeOf(async () => "token")).toEqual({
      outcome: "token",
      isGivenBack: false,
      told: ["requests", "mints"],
    });
  });

  it.each([
    ["the service has made none", new ServiceFailure("unreachable", "away")],
    ["it has no record", new GatewayError("AUDIT_UNAVAILABLE", "away")],
    ["its identity is lost", new IdentityNotOwned("lost")],
  ])("is given back and no longer told when %s", async (_, error) => {
    const failing = await outcomeOf(() => Promise.reject(error));
    expect(failing).toEqual({ outcome: error, isGivenBack: true, told: ["requests"] });
  });

  it.each([
    ["nobody knows whether the service has made one", new ServiceFailure("timeout", "no answer")],
    ["the service has rejected what was to be exchanged", new TeamsTokenRejected("rejected")],
    ["it failed for another reason", new GatewayError("STORE_UNAVAILABLE", "away")],
  ])("stays so when %s", async (_, error) => {
    const failing = await outcomeOf(() => Promise.reject(error));
    expect(failing).toEqual({ outcome: error, isGivenBack: false, told: ["requests", "mints"] });
  });
});
