import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ServiceFailure } from "../../src/acs/service.js";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import { AuditLog } from "../../src/audit/log.js";
import type { AuditEvent } from "../../src/audit/record.js";
import { Secret } from "../../src/config/secret.js";
import { Deadline } from "../../src/deadline.js";
import { GatewayError } from "../../src/errors.js";
import { newAttemptId, newIdentityId } from "../../src/identities/ids.js";
import { Provisioning } from "../../src/identities/provisioning.js";
import { Events } from "../../src/observe/events.js";
import { createLogger } from "../../src/observe/logger.js";
import { Metrics } from "../../src/observe/metrics.js";
import type { Call } from "../../src/policy/call.js";
import { openStore, type Store } from "../../src/store/store.js";
import { GuardedEmulator } from "../fixtures/guard.js";

const now = () => Date.now();
const user = { issuer: "https://i.example.com", subject: "alice" };
const request = { scopes: ["CHAT"], lifetimeMinutes: 60 } as const;
const LEASE_MS = 10_000;
const PLENTY_MS = 30_000;
const unavailable = new GatewayError("AUDIT_UNAVAILABLE", "The record could not be written.");

const callOf = (requestId: string, milliseconds = PLENTY_MS): Call => ({
  requestId,
  client: { name: null, version: null },
  caller: { ...user, claims: {}, senderConstraint: null },
  entitlements: { permissions: new Set(["TOKEN_ISSUE"]), scopes: new Map([["CHAT", 1440]]) },
  deadline: new Deadline(milliseconds),
  quotas: [],
});

let guarded: GuardedEmulator;
let store: Store;
let folder: string;
let onRecord: (event: AuditEvent) => Promise<void>;
let written: AuditEvent[];

beforeEach(async () => {
  guarded = await GuardedEmulator.start();
  folder = mkdtempSync(join(tmpdir(), "gateway-provisioning-"));
  store = await openStore({ kind: "sqlite", file: join(folder, "gateway.db") });
  onRecord = async () => {};
  written = [];
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

/** Of so many processes, which share the store. */
function provisionings(processes: number): [Provisioning, ...Provisioning[]] {
  const make = () =>
    new Provisioning({
      identities: store.identities,
      attempts: store.attempts,
      service: guarded.service,
      audit: new AuditLog({
        trail: {
          record: async (event, _deadline, { lost } = {}) => {
            await onRecord(event).catch((error: unknown) => {
              lost?.();
              throw error;
            });
            written.push(event);
            return true;
          },
        },
        fingerprint: createFingerprint(new Secret(Buffer.alloc(32, 5).toString("base64"))),
        redact: (text) => text,
        timeoutMs: 5000,
        elapsed: () => performance.now(),
      }),
      events: new Events(createLogger({ level: "silent", secrets: [], destination: process.stdout }), new Metrics()),
      now,
      leaseMs: LEASE_MS,
      mostAtOnce: 10,
    });
  return [make(), ...Array.from({ length: processes - 1 }, make)];
}

/** The user's attempt that nobody here has under way. */
async function begunElsewhere(leaseMs: number) {
  const row = await store.identities.claim(user, newIdentityId(), now());
  const attempt = { id: newAttemptId(), identityId: row.id, leaseUntil: now() + leaseMs };
  await store.attempts.begin({ ...attempt, now: now() });
  return attempt;
}

/** The row's state, or the code of the error. */
async function outcomeOf(made: ReturnType<Provisioning["ensure"]>): Promise<string> {
  return await made.then(
    ({ identity }) => identity.status,
    (error) => error.code,
  );
}

async function callsAtService(): Promise<number> {
  const { calls } = (await guarded.control("GET", "/calls")) as { calls: Record<string, number> };
  return calls.createIdentity ?? 0;
}

const HERE_AND_ELSEWHERE = [
  ["in the same process", 1],
  ["in another", 2],
] as const;

/** The first call's records are held until it is told what becomes of them; the second comes meanwhile. */
async function twoCalls(
  processes: number,
  { first = callOf("first"), phase = "INTENT", fails = unavailable as Error | null, heldMs = 300, token = false } = {},
) {
  const [one, other = one] = provisionings(processes);
  onRecord = async (event) => {
    if (event.requestId !== "first" || event.phase !== phase) return;
    await setTimeout(heldMs);
    if (fails) throw fails;
  };
  const wanted = token ? { first: { request, admit: async () => {}, failed: async () => {} } } : {};
  const begun = outcomeOf(one.ensure(user, first, wanted));
  await setTimeout(heldMs / 3);
  const second = outcomeOf(other.ensure(user, callOf("second"), wanted));
  return { first: await begun, second: await second };
}

it("an attempt whose beginning was written, and not answered, holds up nobody and is not in doubt", async () => {
  const [one] = provisionings(1);
  const begin = store.attempts.begin.bind(store.attempts);
  vi.spyOn(store.attempts, "begin").mockImplementationOnce(async (attempt) => {
    await begin(attempt);
    throw new GatewayError("STORE_UNAVAILABLE", "The gateway's database does not answer.");
  });
  expect(await outcomeOf(one.ensure(user, callOf("first")))).toBe("STORE_UNAVAILABLE");
  expect(await outcomeOf(one.ensure(user, callOf("second", LEASE_MS / 4)))).toBe("ACTIVE");
  expect(await callsAtService()).toBe(1);
  expect(await store.attempts.countInDoubt(now() + 2 * LEASE_MS)).toBe(0);
});

describe("those who wait while an identity is being made", () => {
  it("are told of a trail that cannot be written in their process, and make it themselves in another", async () => {
    expect(await twoCalls(1)).toEqual({ first: "AUDIT_UNAVAILABLE", second: "AUDIT_UNAVAILABLE" });
    expect(await twoCalls(2)).toEqual({ first: "AUDIT_UNAVAILABLE", second: "ACTIVE" });
    expect(await callsAtService()).toBe(1);
    expect(await store.attempts.countInDoubt(now())).toBe(0);
  });

  it.each([false, true].flatMap((token) => HERE_AND_ELSEWHERE.map(([where, count]) => [where, count, token] as const)))(
    "make it themselves when the first caller's time was up before the service was asked, %s (%i), for a token: %s",
    async (_, processes, token) => {
      const first = callOf("first", 200);
      const told = await twoCalls(processes, { first, fails: null, heldMs: 600, token });
      expect(told).toEqual({ first: "DEADLINE_EXCEEDED", second: "ACTIVE" });
      expect(await callsAtService()).toBe(1);
      const outcomes = written.filter(({ phase }) => phase === "OUTCOME").map(({ requestId }) => requestId);
      expect(new Set(outcomes)).toEqual(new Set(["second"]));
      expect(await store.attempts.countInDoubt(now())).toBe(0);
    },
  );

  it.each(HERE_AND_ELSEWHERE)(
    "have it though the record of what was made fails, which the first is told, and the trail again, %s",
    async (_, processes) => {
      const told = await twoCalls(processes, { phase: "OUTCOME" });
      expect(told).toEqual({ first: "AUDIT_UNAVAILABLE", second: "ACTIVE" });
      expect(await callsAtService()).toBe(1);
      onRecord = async () => {};
      const outcomes = () => written.filter(({ phase }) => phase === "OUTCOME").map(({ action }) => action);
      await expect.poll(outcomes, { timeout: 5000 }).toEqual(["IDENTITY_PROVISIONED"]);
    },
  );

  it.each(HERE_AND_ELSEWHERE)("are told what the service has said to the first, %s", async (_, processes) => {
    await guarded.control("POST", "/faults", {
      operation: "createIdentity",
      kind: "status",
      status: 401,
      code: "Denied",
      times: 1,
    });
    const told = await twoCalls(processes, { fails: null });
    expect(told).toEqual({ first: "UPSTREAM_UNAVAILABLE", second: "UPSTREAM_UNAVAILABLE" });
    expect(await callsAtService()).toBe(1);
  });

  it("share a spent budget for tokens, if they want one", async () => {
    const [one] = provisionings(1);
    const spent = async () => {
      await setTimeout(100);
      throw new GatewayError("RATE_LIMITED", "The budget is spent.");
    };
    let asked = 0;
    const admit = async () => {
      asked += 1;
      await spent();
    };
    const first = { request, admit, failed: async () => {} };
    const wanting = () => outcomeOf(one.ensure(user, callOf("wants a token"), { first }));
    const told = [wanting(), wanting(), wanting()];
    await setTimeout(30);
    const operator = outcomeOf(one.ensure(user, callOf("wants none")));
    expect(await Promise.all(told)).toEqual(["RATE_LIMITED", "RATE_LIMITED", "RATE_LIMITED"]);
    expect(asked).toBe(1);
    expect(await operator).toBe("ACTIVE");
  });

  it("make it themselves, once, when the lease of somebody who died runs out, and leave that in doubt", async () => {
    const { leaseUntil } = await begunElsewhere(600);
    const made = await Promise.all(provisionings(3).map((each) => each.ensure(user, callOf("waits"))));
    expect(now()).toBeGreaterThanOrEqual(leaseUntil);
    expect(new Set(made.map(({ identity }) => identity.communicationUserId)).size).toBe(1);
    expect(await callsAtService()).toBe(1);
    expect(await store.attempts.countInDoubt(now())).toBe(1);
  });

  it("wait no longer than they have time, and leave nothing that does", async () => {
    const { leaseUntil } = await begunElsewhere(LEASE_MS);
    const [one] = provisionings(1);
    expect(await outcomeOf(one.ensure(user, callOf("impatient", 200)))).toBe("DEADLINE_EXCEEDED");
    await one.finish();
    expect(now()).toBeLessThan(leaseUntil);
    expect(await store.identities.findByUser(user)).toMatchObject({ status: "PROVISIONING" });
  });

  it("begin nothing once the process is to end", async () => {
    const [one] = provisionings(1);
    onRecord = async () => {
      await setTimeout(200);
      throw new GatewayError("RATE_LIMITED", "The budget is spent.");
    };
    const first = outcomeOf(one.ensure(user, callOf("first")));
    await setTimeout(50);
    const second = outcomeOf(one.ensure(user, callOf("second")));
    await setTimeout(50);
    await one.finish();
    expect([await first, await second]).toEqual(["RATE_LIMITED", "UPSTREAM_UNAVAILABLE"]);
    expect(await callsAtService()).toBe(0);
  });
});

describe("an attempt that fails", () => {
  it("tells of it whoever was admitted, whose time may be up by then", async () => {
    const [one] = provisionings(1);
    await guarded.fault({ operation: "createIdentity", kind: "status", status: 503, delayMs: 400 });
    const failures: unknown[] = [];
    const first = {
      request,
      admit: async () => {},
      failed: async (error: unknown) => {
        failures.push(error);
      },
    };
    expect(await outcomeOf(one.ensure(user, callOf("impatient", 150), { first }))).toBe("DEADLINE_EXCEEDED");
    expect(failures).toEqual([]);
    await one.finish();
    expect(failures).toEqual([expect.any(ServiceFailure)]);
  });

  it("admits nobody whose time is up, and asks nobody", async () => {
    const [one] = provisionings(1);
    const call = callOf("late", 100);
    const findById = store.identities.findById.bind(store.identities);
    store.identities.findById = async (id) => {
      await setTimeout(200);
      return await findById(id);
    };
    let admitted = 0;
    const admit = async () => {
      admitted += 1;
    };
    const first = { request, admit, failed: async () => {} };
    expect(await outcomeOf(one.ensure(user, call, { first }))).toBe("DEADLINE_EXCEEDED");
    await one.finish();
    expect([admitted, await callsAtService(), await store.attempts.countInDoubt(now() + LEASE_MS)]).toEqual([0, 0, 0]);
  });

  it("for want of the database before the service was asked is nobody's to wait for, and leaves no doubt", async () => {
    const [one] = provisionings(1);
    const findById = store.identities.findById.bind(store.identities);
    store.identities.findById = async () => {
      store.identities.findById = findById;
      throw new GatewayError("STORE_UNAVAILABLE", "away");
    };
    expect(await outcomeOf(one.ensure(user, callOf("first")))).toBe("STORE_UNAVAILABLE");
    expect(await outcomeOf(one.ensure(user, callOf("second", 2000)))).toBe("ACTIVE");
    expect(await callsAtService()).toBe(1);
    expect(await store.attempts.countInDoubt(now() + LEASE_MS)).toBe(0);
  });
});
