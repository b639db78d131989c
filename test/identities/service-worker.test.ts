import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ServiceFailure } from "../../src/acs/service.js";
import type { ServiceWork } from "../../src/identities/service-work.js";
import { ServiceWorker } from "../../src/identities/service-worker.js";

const PATIENCE = { timeout: 5000 };
/** More than two looks. */
const A_WHILE_MS = 1300;

/** Work that is due, and a service that carries out one piece each time it is told to. */
class Surroundings {
  due: string[] = [];
  looks = 0;
  fault: Error | undefined;
  completeFault: Error | undefined;
  /** Each piece is carried out when it is asked for. */
  isQuick = false;
  readonly failures: unknown[] = [];
  serviceFault: Error | undefined;
  readonly asked: string[] = [];
  /** ms, from when a piece is given back until it is to be tried again. */
  readonly pauses: number[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly worker: ServiceWorker;

  constructor() {
    const work = {
      leaseDue: async () => {
        this.looks += 1;
        if (this.fault) throw this.fault;
        const communicationUserId = this.due.shift();
        return communicationUserId && { ...PIECE, communicationUserId };
      },
      complete: async () => {
        if (this.completeFault) throw this.completeFault;
        return true;
      },
      giveBack: async (_work: unknown, _holder: string, nextTryAt: number) => {
        this.pauses.push(nextTryAt - Date.now());
        if (this.completeFault) throw this.completeFault;
      },
    };
    const service = {
      revokeTokens: async (id: string) => {
        this.asked.push(id);
        if (this.serviceFault) throw this.serviceFault;
        if (!this.isQuick) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      },
    };
    const events = {
      workDone: () => {},
      workPostponed: () => {},
      backgroundFailed: (_: string, error: unknown) => this.failures.push(error),
      backgroundWorks: () => {},
    };
    this.worker = new ServiceWorker({
      work,
      service,
      events,
      now: Date.now,
      random: Math.random,
      leaseMs: 60_000,
    } as unknown as ConstructorParameters<typeof ServiceWorker>[0]);
  }

  carryOut(pieces: number): void {
    for (const resolve of this.#waiting.splice(0, pieces)) resolve();
  }
}

const PIECE = { action: "REVOKE", identityId: "i", resource: null, tries: 0 } as unknown as ServiceWork;

let surroundings: Surroundings;
beforeEach(() => {
  surroundings = new Surroundings();
});
afterEach(async () => {
  const stopped = surroundings.worker.stop();
  surroundings.carryOut(Number.POSITIVE_INFINITY);
  await stopped;
});

describe("work that was promised", () => {
  it("is looked for by one for all, twice a second while there is none", async () => {
    surroundings.worker.start();
    await setTimeout(A_WHILE_MS);
    expect(surroundings.looks).toBeGreaterThan(1);
    expect(surroundings.looks).toBeLessThanOrEqual(4);
  });

  it("is carried out four pieces at a time, the next as soon as one is done", async () => {
    surroundings.due = ["a", "b", "c", "d", "e", "f"];
    surroundings.worker.start();
    await expect.poll(() => surroundings.asked, PATIENCE).toEqual(["a", "b", "c", "d"]);
    await setTimeout(A_WHILE_MS);
    expect(surroundings.asked).toHaveLength(4);
    surroundings.carryOut(1);
    await expect.poll(() => surroundings.asked, PATIENCE).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("is begun at once where there is more, not at the next look", async () => {
    surroundings.isQuick = true;
    surroundings.due = Array.from({ length: 40 }, (_, number) => String(number));
    surroundings.worker.start();
    await expect.poll(() => surroundings.asked, PATIENCE).toHaveLength(40);
  });

  it("is told of when what came of it cannot be written down, and the next is begun after a rest", async () => {
    surroundings.isQuick = true;
    surroundings.completeFault = new Error("away");
    surroundings.due = Array.from({ length: 1000 }, (_, number) => String(number));
    surroundings.worker.start();
    await setTimeout(A_WHILE_MS);
    const { asked, failures, completeFault } = surroundings;
    expect(asked.length).toBeGreaterThan(4);
    expect(asked.length).toBeLessThanOrEqual(4 * 4);
    expect(new Set(failures)).toEqual(new Set([completeFault]));
    surroundings.completeFault = undefined;
    await expect.poll(() => surroundings.asked, PATIENCE).toHaveLength(1000);
  });

  it("does not rest when it is to stop", async () => {
    surroundings.isQuick = true;
    surroundings.completeFault = new Error("away");
    surroundings.due = ["a"];
    surroundings.worker.start();
    await expect.poll(() => surroundings.failures, PATIENCE).toHaveLength(1);
    const stopped = surroundings.worker.stop().then(() => "stopped");
    expect(await Promise.race([stopped, setTimeout(250, "rests")])).toBe("stopped");
  });

  it("is waited for by a stop, and no more of it begun", async () => {
    surroundings.due = ["a", "b", "c", "d", "e"];
    surroundings.worker.start();
    await expect.poll(() => surroundings.asked, PATIENCE).toHaveLength(4);
    let isStopped = false;
    const stopped = surroundings.worker.stop().then(() => {
      isStopped = true;
    });
    surroundings.carryOut(3);
    await setTimeout(100);
    expect(isStopped).toBe(false);
    surroundings.carryOut(1);
    await stopped;
    expect(surroundings.due).toEqual(["e"]);
  });

  it("is looked for again after the database was away", async () => {
    surroundings.fault = new Error("away");
    surroundings.worker.start();
    await expect.poll(() => surroundings.failures, PATIENCE).toContain(surroundings.fault);
    surroundings.fault = undefined;
    surroundings.due = ["a"];
    await expect.poll(() => surroundings.asked, PATIENCE).toEqual(["a"]);
  });
});

it("waits as long as the service asks for, and no longer than two minutes", async () => {
  for (const [asked, least, most] of [
    [90, 89_000, 90_000],
    [3600, 119_000, 120_000],
  ] as const) {
    surroundings.serviceFault = new ServiceFailure("throttled", "none", { askedToWaitSeconds: asked });
    surroundings.due = ["8:acs:a"];
    surroundings.worker.start();
    await expect.poll(() => surroundings.pauses.length, PATIENCE).toBe(1);
    await surroundings.worker.stop();
    const [pause = 0] = surroundings.pauses;
    expect(pause).toBeGreaterThanOrEqual(least);
    expect(pause).toBeLessThanOrEqual(most);
    surroundings = new Surroundings();
  }
});
