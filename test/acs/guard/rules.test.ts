import { describe, expect, it } from "vitest";
import { mayRepeat } from "../../../src/acs/guard/rules.js";
import type { FailureReason, ServiceOperation } from "../../../src/acs/service.js";

type Rule = "yes" | "no" | "if asked to wait";

/** What a failure of each kind allows: what surely did nothing, and what nobody knows of. */
const CREATE: Record<FailureReason, Rule> = {
  unreachable: "yes",
  throttled: "if asked to wait",
  broken: "no",
  outOfOrder: "no",
  timeout: "no",
  notBegun: "no",
  refused: "no",
  left: "no",
};
const TOKEN: Record<FailureReason, Rule> = { ...CREATE, broken: "yes", outOfOrder: "yes" };
const BY_THE_WORKER: Record<FailureReason, Rule> = { ...CREATE, unreachable: "no", throttled: "no" };

const RULES: Record<ServiceOperation, Record<FailureReason, Rule>> = {
  createIdentity: CREATE,
  createIdentityWithToken: CREATE,
  issueToken: TOKEN,
  exchangeTeamsToken: TOKEN,
  revokeTokens: BY_THE_WORKER,
  deleteIdentity: BY_THE_WORKER,
};

const cases = Object.entries(RULES).flatMap(([operation, rules]) =>
  Object.entries(rules).map(([reason, rule]) => [operation, reason, rule] as const),
);

describe("whether a call may be repeated", () => {
  it.each(cases)("%s that failed as %s: %s", (operation, reason, rule) => {
    const may = (askedToWait: boolean) =>
      mayRepeat(operation as ServiceOperation, reason as FailureReason, askedToWait);
    expect([may(false), may(true)]).toEqual([rule === "yes", rule !== "no"]);
  });
});
