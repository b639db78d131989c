import { expect, it } from "vitest";
import { Readiness } from "../../src/http/readiness.js";

it("what is missing is told with the code that lies behind it, however far", async () => {
  const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  const behind = new Error("the keys are away", { cause: new Error("an address", { cause: refused }) });
  const check = (error: Error) => () => Promise.reject(error);
  const dependencies = [
    { name: "issuer", check: check(behind) },
    { name: "store", check: check(new Error("it is away")) },
  ];
  const readiness = new Readiness({ dependencies, elapsed: () => 0, isOverloaded: () => false });
  const { body } = await readiness.answer({ withProblems: true });
  expect(JSON.parse(String(body)).dependencies).toEqual([
    { name: "issuer", ok: false, problem: "the keys are away (ECONNREFUSED)" },
    { name: "store", ok: false, problem: "it is away" },
  ]);
});
