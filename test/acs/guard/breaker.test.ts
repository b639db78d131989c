import { beforeEach, describe, expect, it } from "vitest";
import { Breaker } from "../../../src/acs/guard/breaker.js";
import { IdentityNotOwned, ServiceFailure } from "../../../src/acs/service.js";

const OUT = new ServiceFailure("outOfOrder", "out of order");

let time: number;
let turns: string[];
let breaker: Breaker;

beforeEach(() => {
  time = 0;
  turns = [];
  // Pauses are three quarters of the longest.
  breaker = new Breaker({
    elapsed: () => time,
    random: () => 0.5,
    observe: (state, pauseMs) => turns.push(`${state} ${pauseMs}`),
  });
});

const fails = (error: Error = OUT) => breaker.run(() => Promise.reject(error)).catch((thrown: unknown) => thrown);
const works = () => breaker.run(async () => "made");

async function fail(count: number, error?: Error): Promise<void> {
  for (let call = 0; call < count; call++) await fails(error);
}

describe("the breaker", () => {
  it("passes on what a call answers and throws", async () => {
    expect(await works()).toBe("made");
    expect(await fails()).toBe(OUT);
  });

  it("opens when most of 20 calls have failed, and says for how long", async () => {
    await fail(19);
    expect(breaker.openFor("issueToken")).toBe(0);
    await fails();
    expect(breaker.isOpen).toBe(true);
    expect(turns).toEqual(["open 750"]);
    expect(breaker.openFor("issueToken")).toBe(750);
    expect(breaker.openFor("createIdentity")).toBe(750 * 1.5);
  });

  it("stays closed while half of the calls are answered, and for failures that are no outage", async () => {
    for (let call = 0; call < 100; call++) await (call % 2 === 0 ? works() : fails());
    await fail(100, new ServiceFailure("throttled", "too many"));
    await fail(100, new ServiceFailure("refused", "no"));
    await fail(100, new IdentityNotOwned("not ours"));
    expect(turns).toEqual([]);
  });

  it("takes a probe whose caller has left for no answer, and any other call's for nothing", async () => {
    const left = new ServiceFailure("left", "the caller's time was up");
    await fail(100, left);
    expect(turns).toEqual([]);
    await fail(100);
    time += breaker.openFor("issueToken");
    await fail(1, left);
    expect(breaker.isOpen).toBe(true);
    expect(breaker.openFor("issueToken")).toBe(1500);
    time += 1500;
    await works();
    expect(breaker.isOpen).toBe(false);
  });

  it("probes after pauses that are doubled up to half a minute, and closes at the first answer", async () => {
    await fail(20);
    const pauses: number[] = [];
    for (let probe = 0; probe < 7; probe++) {
      const pause = breaker.openFor("issueToken");
      pauses.push(pause);
      time += pause;
      expect(breaker.openFor("issueToken")).toBe(0);
      await fails();
    }
    expect(pauses).toEqual([750, 1500, 3000, 6000, 12_000, 22_500, 22_500]);
    time += 22_500;
    expect(await works()).toBe("made");
    expect(breaker.openFor("issueToken")).toBe(0);
    expect(turns).toEqual(["open 750", "closed 22500"]);
    // The answer that closed it is the first of 20.
    await fail(18);
    expect(breaker.isOpen).toBe(false);
    await fails();
    expect(turns.at(-1)).toBe("open 750");
  });

  it("lets one probe be under way at a time, and takes a refusal for an answer", async () => {
    await fail(20);
    time += 750;
    const { promise, reject } = Promise.withResolvers<never>();
    const probe = breaker.run(() => promise).catch(() => {});
    expect(breaker.openFor("issueToken")).toBeGreaterThan(0);
    reject(new ServiceFailure("refused", "no"));
    await probe;
    expect(breaker.openFor("issueToken")).toBe(0);
  });

  it("learns nothing from calls that were under way when it opened", async () => {
    const late = Promise.withResolvers<never>();
    const early = breaker.run(() => late.promise).catch(() => {});
    await fail(20);
    time += 750;
    const { promise, resolve } = Promise.withResolvers<string>();
    const probe = breaker.run(() => promise);
    late.reject(OUT);
    await early;
    resolve("made");
    expect(await probe).toBe("made");
    expect(turns).toEqual(["open 750", "closed 750"]);
  });
});
