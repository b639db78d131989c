import { expect, it } from "vitest";
import { type Priority, WaitingLine } from "../../../src/acs/guard/waiting-line.js";
import type { ServiceOperation } from "../../../src/acs/service.js";

const waiter = (name: string, priority: Priority, operation: ServiceOperation = "issueToken") => ({
  name,
  priority,
  operation,
});
const namesOf = (line: WaitingLine<ReturnType<typeof waiter>>) => line.all(() => true).map(({ name }) => name);

it("serves by priority, and in the order of arrival within one", () => {
  const line = new WaitingLine<ReturnType<typeof waiter>>(10);
  for (const [name, priority] of [
    ["a", "normal"],
    ["b", "early"],
    ["c", "expiring"],
    ["d", "normal"],
    ["e", "safety"],
    ["f", "expiring"],
  ] as const) {
    expect(line.add(waiter(name, priority))).toBeUndefined();
  }
  expect(namesOf(line)).toEqual(["e", "c", "f", "a", "d", "b"]);
});

it("when it is full, sends away the last to come of the lowest priority", () => {
  const line = new WaitingLine<ReturnType<typeof waiter>>(2);
  line.add(waiter("a", "normal"));
  line.add(waiter("b", "early"));
  expect(line.add(waiter("c", "early"))?.name).toBe("c");
  expect(line.add(waiter("d", "expiring"))?.name).toBe("b");
  expect(line.add(waiter("e", "safety"))?.name).toBe("a");
  expect(line.add(waiter("f", "normal"))?.name).toBe("f");
  expect(namesOf(line)).toEqual(["e", "d"]);
});

it("says how many of the same operation are ahead of one, and would be of one that came now", () => {
  const line = new WaitingLine<ReturnType<typeof waiter>>(5);
  const [urgent, first, second] = [waiter("a", "expiring"), waiter("b", "early"), waiter("c", "early")];
  for (const newcomer of [first, waiter("other", "safety", "exchangeTeamsToken"), second, urgent]) line.add(newcomer);
  expect([urgent, first, second].map((one) => line.ahead(one))).toEqual([0, 1, 2]);
  const newcomers = ["safety", "expiring", "normal", "early"] as const;
  expect(newcomers.map((priority) => line.ahead(waiter("d", priority)))).toEqual([0, 1, 1, 3]);
});

it("says who can be served now, and whether someone is still there to leave", () => {
  const line = new WaitingLine<ReturnType<typeof waiter>>(5);
  const first = waiter("a", "normal");
  line.add(first);
  line.add(waiter("b", "normal"));
  expect(line.first(({ name }) => name !== "a")?.name).toBe("b");
  expect(line.has(first)).toBe(true);
  line.remove(first);
  expect(line.has(first)).toBe(false);
  line.remove(first);
  expect(line.length).toBe(1);
});
