import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { startEmulator } from "../../../src/emulator/emulator.js";
import { EMULATOR, GuardedEmulator, times } from "../../fixtures/guard.js";

const CALLS = 300;
const FOR_EVER = 1_000_000;
/** Those that an outage may add. */
const MOST_CALLS = CALLS * 1.2;

/** Callers who come ten at a time, each once. */
async function callers(guarded: GuardedEmulator, count = CALLS): Promise<string[]> {
  const outcomes: string[] = [];
  for (let round = 0; round < count / 10; round++) outcomes.push(...(await times(10, () => guarded.issue())));
  return outcomes;
}

/** Until the breaker has let a probe through, and that was answered. */
async function recovers(guarded: GuardedEmulator): Promise<void> {
  await expect.poll(() => guarded.issue(), { interval: 50, timeout: 5000 }).toBe("ok");
  expect(await callers(guarded, 50)).toEqual(Array.from({ length: 50 }, () => "ok"));
  expect(guarded.logged("service outage: ")).toBe(1);
  expect(guarded.logged("service outage over")).toBe(1);
  expect(await guarded.metric("gateway_service_breaker_open")).toBe(0);
}

describe("an outage of the service", () => {
  it.each([
    ["answers 503", { kind: "status", status: 503 }],
    ["answers 500 with a page", { kind: "html503" }],
    ["does the work and drops the connection", { kind: "commitThenDrop" }],
  ])(
    "that %s multiplies calls by no more than 1.2, is soon spared most of them, and ends by itself",
    async (_, fault) => {
      const guarded = await GuardedEmulator.start();
      expect(await callers(guarded, 100)).not.toContain("failed");
      await guarded.control("DELETE", "/calls");
      await guarded.fault({ operation: "*", times: FOR_EVER, ...fault });
      const outcomes = await callers(guarded);
      expect(outcomes).not.toContain("ok");
      expect(await guarded.reached("issueAccessToken")).toBeLessThanOrEqual(MOST_CALLS);
      // Twenty failures tell, and as many again were on their way; then come probes.
      expect(await guarded.reached("issueAccessToken")).toBeLessThan(CALLS / 3);
      expect(outcomes.at(-1)).toMatch(/^notBegun, effect none, retry after [123]$/);
      expect(await guarded.metric("gateway_service_breaker_open")).toBe(1);
      // An outage is no crowd.
      expect(guarded.logged("too many service calls")).toBe(0);
      await guarded.control("DELETE", "/faults");
      await recovers(guarded);
    },
  );

  it("that hangs holds up some calls for their time, and no more", async () => {
    const guarded = await GuardedEmulator.start({ acs: { timeoutSeconds: 1 } });
    await callers(guarded, 50);
    await guarded.control("DELETE", "/calls");
    await guarded.fault({ operation: "*", kind: "hang", times: FOR_EVER });
    const began = performance.now();
    const outcomes = await callers(guarded);
    expect(outcomes.filter((outcome) => outcome.startsWith("timeout, effect unknown")).length).toBeGreaterThan(0);
    expect(await guarded.reached("issueAccessToken")).toBeLessThan(CALLS / 3);
    // Ten at a time would have taken 30 s.
    expect(performance.now() - began).toBeLessThan(15_000);
    await guarded.control("DELETE", "/faults");
    await recovers(guarded);
  });

  it("in which it cannot be reached is tried with 1.2 attempts a call at the most, and ends by itself", async () => {
    const folder = mkdtempSync(join(tmpdir(), "guard-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "emulator.db");
    const emulator = await startEmulator({ ...EMULATOR, file });
    const guarded = await GuardedEmulator.start({ emulator });
    await callers(guarded, 50);
    await emulator.close();
    // What was kept alive has to be found closed first.
    await setTimeout(50);
    const before = guarded.attempts.length;
    const outcomes = await callers(guarded);
    expect(outcomes.some((outcome) => outcome.startsWith("unreachable, effect none"))).toBe(true);
    expect(guarded.attempts.length - before).toBeLessThanOrEqual(MOST_CALLS);
    const again = await startEmulator({ ...EMULATOR, file, port: emulator.port });
    onTestFinished(() => again.close());
    await recovers(guarded);
  });

  it("of a third of all calls multiplies them by no more than 1.2, and most callers notice nothing", async () => {
    const guarded = await GuardedEmulator.start();
    const outcomes: string[] = [];
    for (let call = 0; call < CALLS; call++) {
      if (call % 3 === 0) await guarded.fault({ operation: "*", kind: "status", status: 500 });
      outcomes.push(await guarded.issue());
    }
    const reached = await guarded.reached("issueAccessToken");
    expect(reached).toBeLessThanOrEqual(MOST_CALLS);
    expect(reached).toBeGreaterThan(CALLS * 1.1);
    expect(outcomes.filter((outcome) => outcome === "ok").length).toBeGreaterThan(CALLS * 0.8);
    expect(await guarded.metric('gateway_service_calls_repeated_total{operation="issueToken"}')).toBe(reached - CALLS);
    expect(guarded.logged("service outage")).toBe(0);
  });

  it("is probed by one call at a time", async () => {
    const guarded = await GuardedEmulator.start({ acs: { retryPercent: 0 } });
    await guarded.fault({ operation: "*", kind: "status", status: 500, times: FOR_EVER });
    await times(20, () => guarded.issue());
    await guarded.control("DELETE", "/faults");
    await guarded.control("DELETE", "/calls");
    await guarded.fault({ operation: "*", kind: "delay", delayMs: 300 });
    await setTimeout(510);
    // Time for a probe. While one is under way the others fail fast.
    const [probe, ...others] = await times(10, () => guarded.issue());
    expect(probe).toBe("ok");
    expect(others.every((outcome) => outcome.startsWith("notBegun, effect none"))).toBe(true);
    expect(await guarded.reached("issueAccessToken")).toBe(1);
    expect(await guarded.create()).toBe("ok");
  });

  it("is not what refusals are, nor what asks for fewer calls", async () => {
    const guarded = await GuardedEmulator.start({ acs: { retryPercent: 0 } });
    for (const status of [400, 401, 403, 404, 409, 429]) {
      await guarded.fault({ operation: "*", kind: "status", status, times: 10 });
      await times(10, () => guarded.issue());
    }
    expect(await guarded.issue()).toBe("ok");
    expect(guarded.logged("service outage")).toBe(0);
  });

  it("is not what a caller shows who comes with hardly any time left", async () => {
    const guarded = await GuardedEmulator.start();
    await guarded.fault({
      operation: "exchangeTeamsUserAccessToken",
      kind: "delay",
      delayMs: 300,
      times: FOR_EVER,
    });
    const limit = await guarded.metric("gateway_service_concurrency_limit");
    const outcomes = await times(60, () => guarded.exchange({ deadline: AbortSignal.timeout(50) }));
    expect(new Set(outcomes.map((outcome) => outcome.split(",")[0]))).toEqual(new Set(["left"]));
    expect(await guarded.metric("gateway_service_teams_breaker_open")).toBe(0);
    expect(await guarded.metric("gateway_service_concurrency_limit")).toBe(limit);
  });

  it("of the exchange alone, which a user might bring about, leaves everybody else in peace", async () => {
    const guarded = await GuardedEmulator.start();
    await guarded.fault({ operation: "exchangeTeamsUserAccessToken", kind: "status", status: 500, times: FOR_EVER });
    expect((await times(100, () => guarded.exchange())).filter((outcome) => outcome === "ok")).toEqual([]);
    expect(await guarded.exchange()).toMatch(/^notBegun/);
    expect(await guarded.metric("gateway_service_teams_breaker_open")).toBe(1);
    expect(await guarded.metric("gateway_service_breaker_open")).toBe(0);
    expect(await callers(guarded, 50)).toEqual(Array.from({ length: 50 }, () => "ok"));
  });
});
