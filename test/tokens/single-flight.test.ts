import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { waitFor } from "../../src/identities/waiting.js";
import { SingleFlight } from "../../src/tokens/single-flight.js";

function flight(most = 10) {
  const flights = new SingleFlight<string>(most);
  const started: PromiseWithResolvers<string>[] = [];
  const followed: PromiseWithResolvers<void>[] = [];
  const run = (key = "a") => {
    const work = () => {
      const result = Promise.withResolvers<string>();
      started.push(result);
      return result.promise;
    };
    const after = () => {
      const over = Promise.withResolvers<void>();
      followed.push(over);
      return over.promise;
    };
    return flights.run(key, work, after);
  };
  return { run, followed, alone: () => flights.alone(async () => "alone"), started };
}

describe("single flight", () => {
  it("starts the work of one key once and gives all its callers the result", async () => {
    const { run, started } = flight();
    const callers = Array.from({ length: 1000 }, () => run());
    started[0]?.resolve("done");
    expect(new Set(await Promise.all(callers))).toEqual(new Set(["done"]));
    expect(started).toHaveLength(1);
  });

  it("keeps keys apart", async () => {
    const { run, started } = flight();
    const callers = [run("a"), run("b")];
    started[1]?.resolve("b");
    started[0]?.resolve("a");
    expect(await Promise.all(callers)).toEqual(["a", "b"]);
  });

  it("shares an error and does not remember it, nor a result", async () => {
    const { run, started, followed } = flight();
    const callers = Promise.allSettled([run(), run()]);
    started[0]?.reject(new Error("down"));
    expect((await callers).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    for (const result of ["first", "second"]) {
      const next = run();
      started.at(-1)?.resolve(result);
      expect(await next).toBe(result);
      followed.at(-1)?.resolve();
      await setImmediate();
    }
  });

  it("lets nobody wait for what comes after the work, and gives the result to who comes meanwhile", async () => {
    const { run, started, followed } = flight();
    const first = run();
    started[0]?.resolve("first");
    expect(await first).toBe("first");
    expect(await run()).toBe("first");
    followed[0]?.resolve();
    await setImmediate();
    const second = run();
    started[1]?.resolve("second");
    expect(await second).toBe("second");
    followed[1]?.reject(new Error("it is not kept"));
    await setImmediate();
    void run();
    expect(started).toHaveLength(3);
  });

  it("goes on for the others when one caller's time is up, and leaves no stray rejection when nobody waits", async () => {
    const { run, started } = flight();
    const impatient = waitFor(run(), AbortSignal.abort());
    const patient = run();
    await expect(impatient).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    started[0]?.resolve("done");
    expect(await patient).toBe("done");
    const alone = waitFor(run(), AbortSignal.abort());
    await expect(alone).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    started[1]?.reject(new Error("nobody waits for this"));
  });

  it("refuses what does not fit, to be tried again, and takes it once there is room", async () => {
    const { run, alone, started } = flight(2);
    const callers = [run("a"), run("b"), run("a")];
    const refusal = { code: "UPSTREAM_UNAVAILABLE", retryAfterSeconds: expect.any(Number) };
    await expect(run("c")).rejects.toMatchObject(refusal);
    await expect(alone()).rejects.toMatchObject(refusal);
    for (const work of started) work.resolve("done");
    await Promise.all(callers);
    const next = run("c");
    started.at(-1)?.resolve("c");
    expect(await next).toBe("c");
  });
});
