import { expect, it } from "vitest";
import { type Priority, WaitingLine } from "../../../src/acs/guard/waiting-line.js";

const waiter = (name: string, priority: Priority, operation = "issueToken" as const) => ({ name, priority, operation });
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

it("says who can be served now, and whether someone was still there to leave", () => {
  const line = new WaitingLine<ReturnType<typeof waiter>>(5);
  const first = waiter("a", "normal");
  line.add(first);
  line.add(waiter("b", "normal"));
  expect(line.first(({ name }) => name !== "a")?.name).toBe("b");
  expect(line.remove(first)).toBe(true);
  expect(line.remove(first)).toBe(false);
  expect(line.length).toBe(1);
});
