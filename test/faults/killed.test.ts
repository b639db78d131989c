import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Callers } from "./callers.js";
import { Cluster } from "./cluster.js";
import { clock, type Downtime, type Entry } from "./history.js";
import { checkAnswers, checkTrail } from "./invariants.js";
import { LEFT_OUT, SERVERS } from "./settings.js";

const PROCESSES = 2;
const CALLERS = 8;
const PATIENCE_MS = 30_000;
const POLLING = { interval: 1, timeout: PATIENCE_MS } as const;
const LIMIT_MS = 120_000;
/** How many tokens a process hands out before it is killed, when records of others are under way. */
const TOKENS = 50;
const HELD_MS = 300;
const AWAY_PAUSE_MS = 250;

describe("the trail of two processes that write at once, each of which is killed while the other goes on", () => {
  it("on SQLite is whole, and has each token that anybody got", () => isHeld(undefined), LIMIT_MS);

  it.skipIf(!SERVERS)(
    `on Postgres is whole, and has each token that anybody got${LEFT_OUT}`,
    () => isHeld(SERVERS),
    LIMIT_MS,
  );
});

describe("a gateway on SQLite that is killed while records are not listed", () => {
  it(
    "leaves a whole trail, and lists them when it is started again, though nobody reads",
    async () => {
      const cluster = await Cluster.start({ instances: 1, serviceTimeoutSeconds: 1, requestTimeoutSeconds: 10 });
      try {
        const callers = new Callers(cluster, PATIENCE_MS);
        let isOver = false;
        const calling = Array.from({ length: CALLERS }, async (_, caller) => {
          while (!isOver) {
            await callers.send({ action: "issue", by: "user", subject: `s-${caller}`, instance: 0, scopes: ["CHAT"] });
          }
        });
        await expect
          .poll(() => callers.history.filter(({ token }) => token !== undefined).length, POLLING)
          .toBeGreaterThan(TOKENS);
        await cluster.kill(0);
        isOver = true;
        await Promise.all(calling);
        expect(await cluster.unlisted()).toBeGreaterThan(0);
        expect(await cluster.verifyTrail()).toMatchObject({ code: 0, stdout: expect.stringContaining(", whole") });
        await cluster.startInstance(0);
        await expect.poll(() => cluster.unlisted(), POLLING).toBe(0);
        const found = { trail: await cluster.trail(), fingerprint: (token: string) => cluster.fingerprint(token) };
        expect(checkTrail(callers.history, found)).toEqual([]);
        expect(await cluster.verifyTrail()).toMatchObject({ code: 0, stdout: expect.stringContaining(", whole") });
      } finally {
        await cluster.close();
      }
    },
    LIMIT_MS,
  );
});

async function isHeld(servers: typeof SERVERS): Promise<void> {
  const cluster = await Cluster.start({
    instances: PROCESSES,
    servers,
    serviceTimeoutSeconds: 1,
    requestTimeoutSeconds: 10,
  });
  try {
    const callers = new Callers(cluster, PATIENCE_MS);
    const downtimes: Downtime[] = [];
    let isOver = false;
    const issue = (caller: number) =>
      callers.send({
        action: "issue",
        by: "user",
        subject: `subject-${caller}`,
        instance: caller % PROCESSES,
        scopes: ["CHAT"],
        forceNew: true,
      });
    const calling = Array.from({ length: CALLERS }, async (_, caller) => {
      while (!isOver) {
        const { outcome } = await issue(caller);
        if (outcome === "cut") await setTimeout(AWAY_PAUSE_MS);
      }
    });
    for (let instance = 0; instance < PROCESSES; instance++) {
      const isFrom = (entry: Entry) => entry.instance === instance && entry.token !== undefined;
      await expect.poll(() => callers.history.filter(isFrom).length, POLLING).toBeGreaterThan(TOKENS);
      // One is killed in whatever it does, the other while all that is to be recorded waits.
      const release = instance === 0 ? undefined : await cluster.lockTrail();
      if (release) await setTimeout(HELD_MS);
      const downtime = { instance, from: clock(), until: Number.POSITIVE_INFINITY };
      downtimes.push(downtime);
      await cluster.kill(instance);
      await release?.();
      // As it was left, while the other process writes.
      expect(await cluster.verifyTrail()).toMatchObject({ code: 0, stdout: expect.stringContaining(", whole") });
      await cluster.startInstance(instance);
      downtime.until = clock();
    }
    isOver = true;
    await Promise.all(calling);
    expect(callers.history.some(({ outcome }) => outcome === "cut")).toBe(true);
    const found = { trail: await cluster.trail(), fingerprint: (token: string) => cluster.fingerprint(token) };
    expect([...checkAnswers(callers.history, downtimes), ...checkTrail(callers.history, found)]).toEqual([]);
  } finally {
    await cluster.close();
  }
}
