import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { GuardedEmulator, times } from "../../fixtures/guard.js";

/** A guard that has made calls enough to repeat some. */
async function warm(options: Parameters<typeof GuardedEmulator.start>[0] = {}): Promise<GuardedEmulator> {
  const guarded = await GuardedEmulator.start(options);
  await times(20, () => guarded.issue());
  await guarded.control("DELETE", "/calls");
  return guarded;
}

describe("a call that failed", () => {
  it.each([
    ["an issue whose outcome is unknown", "issueAccessToken", { kind: "status", status: 500 }],
    ["an issue whose connection broke", "issueAccessToken", { kind: "commitThenDrop" }],
    ["an issue that was put off", "issueAccessToken", { kind: "status", status: 429, retryAfterSeconds: 1 }],
    ["a create that was put off", "createIdentity", { kind: "status", status: 429, retryAfterSeconds: 1 }],
  ])("is made once more: %s", async (_, operation, fault) => {
    const guarded = await warm();
    await guarded.fault({ operation, ...fault });
    expect(operation === "createIdentity" ? await guarded.create() : await guarded.issue()).toBe("ok");
    expect(await guarded.reached(operation)).toBe(2);
  });

  it.each([
    ["a create whose outcome is unknown", "createIdentity", { kind: "status", status: 503 }],
    [
      "a create that was put off and may have been done",
      "createIdentity",
      { kind: "status", status: 503, retryAfterSeconds: 1 },
    ],
    ["a create whose connection broke", "createIdentity", { kind: "commitThenDrop" }],
    ["an issue that was refused", "issueAccessToken", { kind: "status", status: 403 }],
    ["an issue that is too much, nobody says for how long", "issueAccessToken", { kind: "status", status: 429 }],
    ["a revocation, which the worker repeats", "revokeAccessTokens", { kind: "status", status: 500 }],
  ])("is not made again: %s", async (_, operation, fault) => {
    const guarded = await warm();
    await guarded.fault({ operation, ...fault });
    const calls = { createIdentity: () => guarded.create(), revokeAccessTokens: () => guarded.revoke() };
    const call = calls[operation as keyof typeof calls] ?? (() => guarded.issue());
    expect(await call()).not.toBe("ok");
    expect(await guarded.reached(operation)).toBe(1);
  });

  it("reaches the service once if it was a create without a token whose answer was lost, though repeats are left", async () => {
    const guarded = await warm();
    await guarded.fault({ operation: "createIdentity", kind: "commitThenDrop" });
    await expect(guarded.service.createIdentity()).rejects.toMatchObject({ reason: "broken", effect: "unknown" });
    expect(await guarded.reached("createIdentity")).toBe(1);
    await guarded.fault({ operation: "issueAccessToken", kind: "commitThenDrop" });
    expect(await guarded.issue()).toBe("ok");
  });

  it("is made three times at the most", async () => {
    const guarded = await warm();
    await guarded.fault({ operation: "issueAccessToken", kind: "status", status: 500, times: 10 });
    expect(await guarded.issue()).toMatch(/^outOfOrder, effect unknown/);
    expect(await guarded.reached("issueAccessToken")).toBe(3);
  });

  it("fails at once when the service asks to wait for longer than there is time, and says for how long", async () => {
    const guarded = await warm({ acs: { timeoutSeconds: 2 } });
    await guarded.fault({ operation: "issueAccessToken", kind: "status", status: 429, retryAfterSeconds: 2 });
    expect(await guarded.issue()).toBe("throttled, effect none, retry after 2");
    expect(await guarded.reached("issueAccessToken")).toBe(1);
  });

  it("still says that nobody knows, when a repeat comes to nothing", async () => {
    const guarded = await warm();
    await guarded.fault({ operation: "issueAccessToken", kind: "commitThenDrop" });
    await guarded.fault({ operation: "issueAccessToken", kind: "status", status: 403 });
    expect(await guarded.issue()).toMatch(/^broken, effect unknown/);
    expect(await guarded.reached("issueAccessToken")).toBe(2);
  });

  it("is not made again once its caller's time is up", async () => {
    const guarded = await warm();
    await guarded.fault({ operation: "issueAccessToken", kind: "status", status: 429, retryAfterSeconds: 1 });
    expect(await guarded.issue({ beginBy: AbortSignal.timeout(200) })).toMatch(/^throttled/);
    expect(await guarded.reached("issueAccessToken")).toBe(1);
  });
});

describe("a service that asks to wait", () => {
  it("is left alone by other calls of the operation until then, which are made after", async () => {
    const guarded = await warm({ acs: { timeoutSeconds: 60 } });
    await guarded.fault({ operation: "createIdentity", kind: "status", status: 503, retryAfterSeconds: 1 });
    const began = performance.now();
    expect(await guarded.create()).toMatch(/^outOfOrder, effect unknown, retry after 1$/);
    const others = times(5, () => guarded.create());
    expect(await guarded.issue()).toBe("ok");
    expect(guarded.attempts.at(-1)).toMatchObject({ operation: "issueToken", outcome: "ok" });
    expect(await others).toEqual(["ok", "ok", "ok", "ok", "ok"]);
    expect(performance.now() - began).toBeGreaterThan(990);
    expect(
      await guarded.metric('gateway_service_holds_total{operation="createIdentityWithToken",reason="retryAfter"}'),
    ).toBe(1);
  });
});

describe("when not all calls can be under way", () => {
  const oneAtATime = { maxConcurrency: 1, retryPercent: 0 };

  it("the most urgent goes first", async () => {
    const guarded = await GuardedEmulator.start({ acs: oneAtATime });
    await guarded.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 200 });
    const order: string[] = [];
    const note = (name: string, call: Promise<string>) => call.then((outcome) => order.push(`${name} ${outcome}`));
    const first = note("first", guarded.issue());
    await setTimeout(50);
    await Promise.all([
      first,
      note("early", guarded.issue({ urgency: "early" })),
      note("normal", guarded.issue()),
      note("create", guarded.create()),
      note("expiring", guarded.issue({ urgency: "expiring" })),
      note("revocation", guarded.revoke()),
    ]);
    expect(order).toEqual(["first ok", "revocation ok", "expiring ok", "normal ok", "create ok", "early ok"]);
  });

  it("what does not fit into the queue is shed, the least urgent first, without effect", async () => {
    const guarded = await GuardedEmulator.start({ acs: { ...oneAtATime, queueSize: 2 } });
    await guarded.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 1000 });
    const underWay = guarded.issue();
    await setTimeout(50);
    expect(await guarded.metric("gateway_service_calls_under_way")).toBe(1);
    const early = guarded.issue({ urgency: "early" });
    const waiting = [guarded.issue(), guarded.issue({ urgency: "expiring" })];
    expect(await early).toBe("notBegun, effect none, retry after 1");
    expect(await guarded.metric("gateway_service_calls_waiting")).toBe(2);
    expect(await guarded.issue()).toMatch(/^notBegun, effect none/);
    expect(await Promise.all([underWay, ...waiting])).toEqual(["ok", "ok", "ok"]);
    expect(await guarded.metric('gateway_service_calls_shed_total{operation="issueToken",reason="full"}')).toBe(2);
    // Once in a while.
    expect(guarded.logged("too many service calls")).toBe(1);
    expect(await guarded.reached("issueAccessToken")).toBe(3);
  });

  const CURRENT = "gateway_service_concurrency_limit";

  it("more may be the more of them come and are answered fast", async () => {
    const guarded = await GuardedEmulator.start();
    const first = await guarded.metric(CURRENT);
    // A time of its own for the service, beside which what this machine adds is little.
    await guarded.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 100, times: 200 });
    await times(200, () => guarded.issue());
    expect(await guarded.metric(CURRENT)).toBeGreaterThan(first ?? Number.NaN);
  });

  it.each([429, 500, 503])("fewer may be when the service has answered %i", async (status) => {
    const guarded = await GuardedEmulator.start();
    const first = await guarded.metric(CURRENT);
    await guarded.fault({ operation: "issueAccessToken", kind: "status", status });
    await guarded.issue();
    expect(await guarded.metric(CURRENT)).toBeLessThan(first ?? Number.NaN);
  });

  it("one that would not have half of its time left is not begun", async () => {
    const guarded = await GuardedEmulator.start({ acs: { ...oneAtATime, timeoutSeconds: 1 } });
    await guarded.fault({ operation: "issueAccessToken", kind: "hang" });
    const began = performance.now();
    const hung = guarded.issue();
    expect(await guarded.create()).toMatch(/^notBegun, effect none/);
    expect(performance.now() - began).toBeLessThan(900);
    expect(await hung).toMatch(/^timeout, effect unknown/);
    expect(await guarded.reached("createIdentity")).toBe(0);
  });

  it("one that waited ends within its time all the same", async () => {
    const guarded = await GuardedEmulator.start({ acs: { ...oneAtATime, timeoutSeconds: 2 } });
    await guarded.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 500 });
    await guarded.fault({ operation: "createIdentity", kind: "hang" });
    const began = performance.now();
    const first = guarded.issue();
    expect(await guarded.create()).toMatch(/^timeout, effect unknown/);
    // Its time with what it waited would be 2.5 s.
    expect(performance.now() - began).toBeLessThan(2400);
    expect(await first).toBe("ok");
  });

  it("one whose caller's time is up leaves the queue, and one under way goes on", async () => {
    const guarded = await GuardedEmulator.start({ acs: oneAtATime });
    await guarded.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 1500 });
    const beginBy = AbortSignal.timeout(500);
    const underWay = guarded.issue({ beginBy });
    expect(await guarded.create({ beginBy })).toMatch(/^notBegun, effect none/);
    expect(await guarded.create({ beginBy })).toMatch(/^notBegun, effect none/);
    expect(await underWay).toBe("ok");
    expect(await guarded.reached("createIdentity")).toBe(0);
  });
});
