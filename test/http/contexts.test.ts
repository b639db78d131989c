import { expect, it } from "vitest";
import { newOutcome } from "../../src/graphql/context.js";
import { Contexts } from "../../src/http/contexts.js";

it("takes off a request's time what it has waited for its turn", () => {
  const contexts = new Contexts({
    entitlementsOf: () => ({ permissions: new Set(), scopes: new Map() }),
    identities: {} as never,
    requestTimeoutMs: 60_000,
  });
  const caller = { issuer: "https://i.example.com", subject: "alice", claims: {}, senderConstraint: null };
  const facts = { caller, requestId: "r", client: { name: null, version: null }, outcome: newOutcome(), quotas: [] };
  expect(contexts.now(facts).call.deadline.aborted).toBe(false);
  expect(contexts.now(facts, 30_000).call.deadline.aborted).toBe(false);
  for (const tooLong of [60_000, 90_000]) expect(contexts.now(facts, tooLong).call.deadline.aborted).toBe(true);
});
