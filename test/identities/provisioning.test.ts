import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connectAzureService } from "../../src/acs/service-azure.js";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import { AuditLog } from "../../src/audit/log.js";
import { Secret } from "../../src/config/secret.js";
import { Deadline } from "../../src/deadline.js";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.js";
import { GatewayError } from "../../src/errors.js";
import { newAttemptId, newIdentityId } from "../../src/identities/ids.js";
import { Provisioning } from "../../src/identities/provisioning.js";
import { Events } from "../../src/observe/events.js";
import { createLogger } from "../../src/observe/logger.js";
import { Metrics } from "../../src/observe/metrics.js";
import type { Call } from "../../src/policy/call.js";
import { openStore, type Store } from "../../src/store/store.js";

const now = () => Date.now();
const user = { issuer: "https://i.example.com", subject: "alice" };
const SHORT_LEASE_MS = 600;
const callOf = (requestId: string): Call => ({
  requestId,
  client: { name: null, version: null },
  caller: { ...user, claims: {}, senderConstraint: null },
  entitlements: { permissions: new Set(["TOKEN_ISSUE"]), scopes: new Set(["CHAT"]), maxLifetimeMinutes: 1440 },
  deadline: new Deadline(30_000),
  quotas: [],
});

let emulator: Emulator;
let store: Store;
let folder: string;
/** By the id of the request: what its first record waits for, and what it fails with. */
let held: Map<string, Promise<void>>;

beforeEach(async () => {
  emulator = await startEmulator({ host: "127.0.0.1", port: 0, latency: "none", rateLimits: false });
  folder = mkdtempSync(join(tmpdir(), "gateway-provisioning-"));
  store = await openStore({ kind: "sqlite", file: join(folder, "gateway.db") });
  held = new Map();
});
afterEach(async () => {
  await store.close();
  await emulator.close();
  rmSync(folder, { recursive: true });
});

/** Of one process; several share the store. */
async function provisioning(): Promise<Provisioning> {
  const accessKeys = [new Secret(emulator.connectionString.split("accesskey=")[1] ?? "")] as const;
  const access = { kind: "key", endpoint: emulator.endpoint, accessKeys } as const;
  return new Provisioning({
    identities: store.identities,
    attempts: store.attempts,
    service: await connectAzureService({ access, timeoutMs: 2000, observe: () => {} }),
    audit: new AuditLog({
      trail: { record: async ({ requestId }) => await held.get(requestId) },
      fingerprint: createFingerprint(new Secret(Buffer.alloc(32, 5).toString("base64"))),
      redact: (text) => text,
      timeoutMs: 5000,
    }),
    events: new Events(createLogger({ level: "silent", secrets: [], destination: process.stdout }), new Metrics()),
    now,
    leaseMs: 5000,
    mostAtOnce: 10,
  });
}

/** One whose record cannot be written, once it is told so; and another of the same user, who waits for the first. */
async function firstIsNotAdmitted(one: Provisioning, other: Provisioning) {
  const { promise, reject } = Promise.withResolvers<void>();
  held.set("first", promise);
  const first = one.ensure(user, callOf("first")).catch((error: unknown) => error);
  const isUnderWay = async () => {
    const row = await store.identities.findByUser(user);
    return row !== undefined && (await store.attempts.findRunning(row.id, now())) !== undefined;
  };
  while (!(await isUnderWay())) await setTimeout(5);
  const second = other.ensure(user, callOf("second"));
  await setTimeout(50);
  reject(new GatewayError("AUDIT_UNAVAILABLE", "The record could not be written."));
  return { first: await first, second: await second };
}

describe("those who wait while an identity is being made", () => {
  it.each([
    ["in the same process", 1],
    ["in another", 2],
  ])("make it themselves when the first call is not admitted, %s", async (_, processes) => {
    const all = await Promise.all(Array.from({ length: processes }, provisioning));
    const [one, other = one] = all as [Provisioning, Provisioning?];
    const { first, second } = await firstIsNotAdmitted(one, other);
    expect(first).toMatchObject({ name: "GatewayError", code: "AUDIT_UNAVAILABLE" });
    expect(second.identity).toMatchObject({ status: "ACTIVE" });
    expect(await store.attempts.countInDoubt(now())).toBe(0);
  });

  it("make it themselves when the lease of somebody who died runs out, and leave that in doubt", async () => {
    const row = await store.identities.claim(user, newIdentityId(), now());
    const leaseUntil = now() + SHORT_LEASE_MS;
    await store.attempts.begin({ id: newAttemptId(), identityId: row.id, leaseUntil, now: now() });
    const processes = await Promise.all([provisioning(), provisioning()]);
    const made = await Promise.all(processes.map((each, index) => each.ensure(user, callOf(`call ${index}`))));
    expect(now()).toBeGreaterThanOrEqual(leaseUntil);
    expect(new Set(made.map(({ identity }) => identity.communicationUserId)).size).toBe(1);
    expect(made[0]?.identity).toMatchObject({ id: row.id, status: "ACTIVE" });
    expect(await store.attempts.countInDoubt(now())).toBe(1);
  });

  it("give up at their own time while the lease lasts", async () => {
    const row = await store.identities.claim(user, newIdentityId(), now());
    await store.attempts.begin({ id: newAttemptId(), identityId: row.id, leaseUntil: now() + 2000, now: now() });
    const impatient = { ...callOf("impatient"), deadline: new Deadline(200) };
    const one = await provisioning();
    await expect(one.ensure(user, impatient)).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await one.finish();
    expect(await store.identities.findByUser(user)).toMatchObject({ status: "PROVISIONING" });
  });

  it("are told what the service has said to the first", async () => {
    const row = await store.identities.claim(user, newIdentityId(), now());
    const attempt = { id: newAttemptId(), identityId: row.id };
    await store.attempts.begin({ ...attempt, leaseUntil: now() + 5000, now: now() });
    const waiting = (await provisioning()).ensure(user, callOf("second")).catch((error: unknown) => error);
    await setTimeout(50);
    const failure = { errorCode: "UPSTREAM_UNAVAILABLE", retryAfterSeconds: 7 };
    await store.attempts.fail(attempt.id, "RELEASED", failure, now());
    expect(await waiting).toMatchObject({ code: "UPSTREAM_UNAVAILABLE", retryAfterSeconds: 7 });
  });
});
