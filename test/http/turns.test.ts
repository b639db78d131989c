import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Turns } from "../../src/http/turns.js";

const MOST = 32;
const CROWD = 1000;

/** Takes so many turns; what has begun by the end of each turn of the event loop, until all have. */
async function beginAll(turns: Turns, count: number): Promise<number[][]> {
  const begun: number[] = [];
  for (let index = 0; index < count; index++) {
    const turn = turns.take(CROWD);
    if (turn === undefined) begun.push(index);
    else void turn.then(() => begun.push(index));
  }
  const seen = [[...begun]];
  while (begun.length < count) {
    await setImmediate();
    seen.push([...begun]);
    if (seen.length > count) expect.fail("they do not all begin");
  }
  return seen;
}

describe("turns", () => {
  it("let those who come alone, or few at once, begin at once", async () => {
    const turns = new Turns();
    for (let round = 0; round < 3; round++) {
      for (let one = 0; one < MOST; one++) expect(turns.take(CROWD)).toBeUndefined();
      expect(turns.take(CROWD)).toBeInstanceOf(Promise);
      await setImmediate();
      await setImmediate();
      await setImmediate();
    }
  });

  it("cost nothing as long as few are under way", () => {
    const turns = new Turns();
    for (let one = 0; one < CROWD; one++) expect(turns.take(MOST)).toBeUndefined();
  });

  it("let a crowd begin in its order, so many in a turn of the event loop", async () => {
    const seen = await beginAll(new Turns(), 1000);
    expect(seen.at(-1)).toEqual(Array.from({ length: 1000 }, (_, index) => index));
    const steps = seen.map((begun, turn) => begun.length - (seen[turn - 1]?.length ?? 0));
    expect(Math.max(...steps)).toBe(MOST);
    expect(seen.length).toBeGreaterThanOrEqual(Math.ceil(1000 / MOST));
  });

  it("let nobody overtake who waits", async () => {
    const turns = new Turns();
    const order: string[] = [];
    const come = (name: string) => {
      const turn = turns.take(CROWD);
      if (turn === undefined) order.push(name);
      else void turn.then(() => order.push(name));
    };
    for (let index = 0; index < 3 * MOST; index++) come(`early ${index}`);
    while (order.length < 3 * MOST) {
      come("late");
      await setImmediate();
      if (order.length > 10 * MOST) break;
    }
    expect(order.slice(0, 3 * MOST)).toEqual(Array.from({ length: 3 * MOST }, (_, index) => `early ${index}`));
  });
});
