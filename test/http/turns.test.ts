import { setImmediate } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { Turns } from "../../src/http/turns.js";

const MOST = 32;
const CROWD = 1000;

let now: number;
beforeEach(() => {
  now = 0;
});
const newTurns = () => new Turns(() => now);

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
    const turns = newTurns();
    for (let round = 0; round < 3; round++) {
      for (let one = 0; one < MOST; one++) expect(turns.take(CROWD)).toBeUndefined();
      expect(turns.take(CROWD)).toBeInstanceOf(Promise);
      await setImmediate();
      await setImmediate();
      await setImmediate();
    }
  });

  it("let requests begin at once as long as few are under way and few come in a turn of the event loop", async () => {
    const turns = newTurns();
    for (let round = 0; round < 100; round++) {
      for (let one = 0; one < MOST / 2; one++) expect(turns.take(MOST)).toBeUndefined();
      await setImmediate();
    }
  });

  it("let no more than two turns' begin at once, though each is answered before the next one comes", async () => {
    const turns = newTurns();
    const waiting = Array.from({ length: 1000 }, () => turns.take(1)).filter((turn) => turn !== undefined);
    expect(waiting).toHaveLength(1000 - 2 * MOST);
    let begun = 0;
    for (const turn of waiting) void turn.then(() => begun++);
    await setImmediate();
    expect(begun).toBe(MOST);
  });

  it("let a crowd begin in its order, so many in a turn of the event loop", async () => {
    const seen = await beginAll(newTurns(), 1000);
    expect(seen.at(-1)).toEqual(Array.from({ length: 1000 }, (_, index) => index));
    const steps = seen.map((begun, turn) => begun.length - (seen[turn - 1]?.length ?? 0));
    expect(Math.max(...steps)).toBe(MOST);
    expect(seen.length).toBeGreaterThanOrEqual(Math.ceil(1000 / MOST));
  });

  it("let nobody overtake who waits", async () => {
    const turns = newTurns();
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

/** A connection of somebody who asks again as soon as there is an answer, so often, in a process that answers in the next turn. */
class Asker {
  isPaused = false;
  isWaiting = false;
  destroyed = false;
  answers = 0;
  #hasAsked = false;

  constructor(
    private readonly turns: Turns,
    private readonly times: number,
  ) {}

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    // The system's next look brings what has come.
    if (this.#hasAsked) void setImmediate().then(() => this.#read());
  }

  ask(): void {
    this.#hasAsked = true;
    if (!this.isPaused) this.#read();
  }

  #read(): void {
    if (this.isPaused || !this.#hasAsked) return;
    this.#hasAsked = false;
    this.isWaiting = true;
    const turn = this.turns.take(10_000);
    void (turn ?? Promise.resolve()).then(async () => {
      this.isWaiting = false;
      await setImmediate();
      this.answers += 1;
      this.turns.answered(this);
      if (this.answers < this.times) this.ask();
    });
  }
}

describe("connections that have been answered", () => {
  const CROWDED = 8 * MOST;
  const READ_AHEAD = 2 * MOST;

  const asking = (turns: Turns, count: number, times = 1) => {
    const askers = Array.from({ length: count }, () => new Asker(turns, times));
    for (const asker of askers) asker.ask();
    return askers;
  };
  const answered = (turns: Turns) => {
    const asker = new Asker(turns, 1);
    turns.answered(asker);
    return asker;
  };

  it("are read on as long as no crowd waits", async () => {
    const turns = newTurns();
    expect(answered(turns).isPaused).toBe(false);
    asking(turns, MOST + CROWDED - 1);
    expect(answered(turns).isPaused).toBe(false);
    asking(turns, 1);
    expect(answered(turns).isPaused).toBe(true);
    expect(turns.unread).toBe(1);
  });

  it("are read in a crowd when there will soon be a turn for them, so few requests wait, and each gets as many answers as any other", async () => {
    const turns = newTurns();
    const askers = asking(turns, 1000, 20);
    let [most, least, mostWaiting] = [0, 0, 0];
    while (askers.some(({ answers }) => answers < 20)) {
      await setImmediate();
      const answers = askers.map((asker) => asker.answers);
      [most, least] = [Math.max(...answers), Math.min(...answers)];
      expect(most - least).toBeLessThanOrEqual(2);
      if (least > 1) mostWaiting = Math.max(mostWaiting, askers.filter(({ isWaiting }) => isWaiting).length);
    }
    expect(mostWaiting).toBeGreaterThan(0);
    expect(mostWaiting).toBeLessThanOrEqual(READ_AHEAD + MOST);
  });

  it("are all read once nobody waits any more, however many ask nothing, and then nothing goes on", async () => {
    const turns = newTurns();
    asking(turns, MOST + CROWDED);
    const silent = Array.from({ length: 3000 }, () => answered(turns));
    expect(turns.unread).toBe(3000);
    for (let turn = 0; turn < 3000 / READ_AHEAD + 2 * CROWDED; turn++) await setImmediate();
    expect(turns.unread).toBe(0);
    expect(silent.some(({ isPaused }) => isPaused)).toBe(false);
    expect(turns.take(1)).toBeUndefined();
    for (let more = 0; more < MOST; more++) expect(turns.take(MOST)).toBeUndefined();
  });

  it("are read after a second at the latest, however many wait", async () => {
    const turns = newTurns();
    asking(turns, CROWDED + MOST);
    const first = answered(turns);
    now = 1;
    const second = answered(turns);
    now = 999;
    asking(turns, 10 * CROWDED);
    await setImmediate();
    expect([first.isPaused, second.isPaused]).toEqual([true, true]);
    now = 1000;
    await setImmediate();
    expect([first.isPaused, second.isPaused]).toEqual([false, true]);
    now = 1001;
    await setImmediate();
    expect(second.isPaused).toBe(false);
  });

  it("wait behind those who were answered before, also when no crowd waits by then", async () => {
    const turns = newTurns();
    asking(turns, CROWDED + MOST);
    const before = Array.from({ length: 4 * CROWDED }, () => answered(turns));
    for (let turn = 0; turn < CROWDED / MOST; turn++) await setImmediate();
    expect(before.at(-1)?.isPaused).toBe(true);
    expect(answered(turns).isPaused).toBe(true);
  });

  it("wait for a second from when they were left unread, whatever is answered on them meanwhile, and hold up nobody", async () => {
    const turns = newTurns();
    asking(turns, CROWDED + MOST);
    const ahead = answered(turns);
    const behind = answered(turns);
    for (now = 100; now <= 1000; now += 100) {
      asking(turns, CROWDED);
      turns.answered(ahead);
      expect(behind.isPaused).toBe(true);
      await setImmediate();
    }
    expect([ahead.isPaused, behind.isPaused]).toEqual([false, false]);
  });

  it("are let alone when they are gone, and those that go meanwhile take nobody's place", async () => {
    const turns = newTurns();
    asking(turns, CROWDED + MOST);
    const gone = new Asker(turns, 1);
    gone.destroyed = true;
    turns.answered(gone);
    expect(turns.unread).toBe(0);
    const going = Array.from({ length: CROWDED }, () => answered(turns));
    const others = Array.from({ length: READ_AHEAD }, () => answered(turns));
    for (const connection of going) connection.destroyed = true;
    while (turns.unread > READ_AHEAD) await setImmediate();
    expect(going.every(({ isPaused }) => isPaused)).toBe(true);
    for (let turn = 0; turn < 3; turn++) await setImmediate();
    expect(others.some(({ isPaused }) => isPaused)).toBe(false);
  });
});
