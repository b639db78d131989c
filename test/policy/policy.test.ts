import { describe, expect, it } from "vitest";
import type { Caller } from "../../src/auth/caller.js";
import type { RuleConfig } from "../../src/config/config.js";
import { requirePermission, resolveEntitlements } from "../../src/policy/policy.js";

const rule = (part: Partial<RuleConfig>): RuleConfig => ({
  name: "rule",
  when: {},
  permissions: [],
  scopes: [],
  maxLifetimeMinutes: 1440,
  ...part,
});
const caller = (claims: Record<string, unknown> = {}, issuer = "https://a.example.com"): Caller => ({
  issuer,
  subject: "s",
  claims,
  senderConstraint: null,
});
const granted = (when: RuleConfig["when"], who = caller()) =>
  resolveEntitlements([rule({ when, permissions: ["TOKEN_ISSUE"] })], who).permissions.has("TOKEN_ISSUE");

describe("the policy", () => {
  it("grants nothing without a rule", () => {
    expect(resolveEntitlements([], caller())).toEqual({
      permissions: new Set(),
      scopes: new Map(),
    });
  });

  it("unites the rules that match, and only those", () => {
    const rules = [
      rule({ permissions: ["TOKEN_ISSUE"], scopes: ["CHAT"], maxLifetimeMinutes: 60 }),
      rule({
        when: { claim: "roles", includes: "x" },
        permissions: ["AUDIT_READ"],
        scopes: ["VOIP"],
        maxLifetimeMinutes: 120,
      }),
      rule({
        when: { claim: "roles", includes: "y" },
        permissions: ["IDENTITY_MANAGE"],
        scopes: ["VOIP_JOIN"],
        maxLifetimeMinutes: 1440,
      }),
    ];
    expect(resolveEntitlements(rules, caller({ roles: ["x"] }))).toEqual({
      permissions: new Set(["TOKEN_ISSUE", "AUDIT_READ"]),
      scopes: new Map([
        ["CHAT", 60],
        ["VOIP", 120],
      ]),
    });
  });

  it("grants what is for sender-constrained callers to those who have proven their key, by either way", () => {
    const when = { senderConstrained: true } as const;
    expect(granted(when)).toBe(false);
    for (const senderConstraint of ["dpop", "certificate"] as const) {
      expect(granted(when, { ...caller(), senderConstraint })).toBe(true);
      expect(granted({ ...when, claim: "roles", includes: "x" }, { ...caller(), senderConstraint })).toBe(false);
    }
  });

  it("grants a scope for as long as one rule that has it says, in whatever order they come", () => {
    const rules = [60, 480, 120].map((maxLifetimeMinutes) => rule({ scopes: ["CHAT"], maxLifetimeMinutes }));
    const long = rule({ scopes: ["VOIP"], maxLifetimeMinutes: 1440 });
    for (const matching of [
      [...rules, long],
      [long, ...rules.toReversed()],
    ]) {
      const { scopes } = resolveEntitlements(matching, caller());
      expect([scopes.get("CHAT"), scopes.get("VOIP")]).toEqual([480, 1440]);
    }
  });

  it("takes no lifetime from a rule that grants no scopes", () => {
    const rules = [rule({ scopes: ["CHAT"], maxLifetimeMinutes: 60 }), rule({ permissions: ["AUDIT_READ"] })];
    expect(resolveEntitlements(rules, caller()).scopes).toEqual(new Map([["CHAT", 60]]));
  });

  it.each<[string, RuleConfig["when"], Record<string, unknown>, boolean]>([
    ["a list that has the text", { claim: "roles", includes: "x" }, { roles: ["w", "x"] }, true],
    ["a list that does not", { claim: "roles", includes: "x" }, { roles: ["w"] }, false],
    ["a text that contains it", { claim: "roles", includes: "x" }, { roles: "xyz" }, false],
    ["a text that is it, where a list is asked for", { claim: "roles", includes: "x" }, { roles: "x" }, false],
    ["no such claim", { claim: "roles", includes: "x" }, {}, false],
    ["a claim by a name that every object has", { claim: "constructor", equals: "x" }, {}, false],
    ["a text that is equal", { claim: "tier", equals: "gold" }, { tier: "gold" }, true],
    ["a text that differs in case", { claim: "tier", equals: "gold" }, { tier: "Gold" }, false],
    ["no claim where nothing is asked of it", { claim: "tier" }, {}, false],
    ["any claim where nothing is asked of it", { claim: "tier" }, { tier: "gold" }, false],
    ["a list of the equal text", { claim: "tier", equals: "gold" }, { tier: ["gold"] }, false],
  ])("compares claims exactly: %s", (_, when, claims, expected) => {
    expect(granted(when, caller(claims))).toBe(expected);
  });

  it("can tie a rule to an issuer, and to a claim of that issuer only", () => {
    const when = { issuer: "https://a.example.com", claim: "roles", includes: "x" };
    expect(granted(when, caller({ roles: ["x"] }))).toBe(true);
    expect(granted(when, caller({ roles: ["x"] }, "https://b.example.com"))).toBe(false);
    expect(granted(when, caller({ roles: [] }))).toBe(false);
  });

  it("names the permission that is missing", () => {
    const { permissions, ...rest } = resolveEntitlements([], caller());
    expect(() => requirePermission({ permissions, ...rest }, "AUDIT_READ")).toThrow(/permission AUDIT_READ/);
    expect(() => requirePermission({ permissions, ...rest }, "IDENTITY_READ", "AUDIT_READ")).toThrow(
      "This needs the permission IDENTITY_READ or AUDIT_READ, which no policy rule grants you.",
    );
    expect(() =>
      requirePermission({ ...rest, permissions: new Set(["AUDIT_READ"]) }, "IDENTITY_READ", "AUDIT_READ"),
    ).not.toThrow();
  });
});
