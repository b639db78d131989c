import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AuditLog } from "../../src/audit/log.js";
import { Trail, type TrailStore } from "../../src/audit/trail.js";
import { Deadline } from "../../src/deadline.js";
import { GatewayError } from "../../src/errors.js";
import type { Identity } from "../../src/identities/identity.js";
import { IdentityLifecycle } from "../../src/identities/lifecycle.js";
import type { Call } from "../../src/policy/call.js";
import { openStore, type Store } from "../../src/store/store.js";

const ISSUER = "https://i.example.com";
const user = { issuer: ISSUER, subject: "alice" };
const now = () => 1000;
const call: Call = {
  requestId: "request",
  client: { name: null, version: null },
  caller: { ...user, claims: {}, senderConstraint: null },
  entitlements: { permissions: new Set(["TOKEN_ISSUE"]), scopes: new Map([["CHAT", 1440]]) },
  deadline: new Deadline(60_000),
  quotas: [],
};
const asAdmin: Call = {
  ...call,
  caller: { ...call.caller, subject: "boss" },
  entitlements: { ...call.entitlements, permissions: new Set(["IDENTITY_MANAGE"]) },
};

let folder: string;
let store: Store;
let lifecycle: IdentityLifecycle;
let audit: AuditLog;
let append: TrailStore["append"];
/** What becomes of who is provisioned. */
let provisioned: Identity | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-lifecycle-"));
  store = await openStore({ kind: "sqlite", file: join(folder, "gateway.db") });
  const told = () => {};
  append = (...args) => store.audit.append(...args);
  const trail = new Trail({
    store: { writesAtOnce: 1, enoughForAWrite: 32, append: (...args) => append(...args) },
    now,
    elapsed: () => performance.now(),
    randomBytes,
    queueSize: 10,
    writeTimeoutMs: 1000,
    observe: { written: told, failed: told },
  });
  audit = new AuditLog({
    trail,
    fingerprint: (token) => token,
    redact: (text) => text,
    timeoutMs: 1000,
    elapsed: () => performance.now(),
  });
  lifecycle = new IdentityLifecycle({
    identities: store.identities,
    provisioning: { ensure: async () => ({ identity: provisioned ?? expect.fail("nobody") }) } as never,
    worker: { settle: async () => {} } as never,
    audit,
    eraser: { erase: async () => true } as never,
    events: { identityDeleted: told, identitySuspended: told, identityReinstated: told } as never,
    now,
    hashUser: ({ subject }) => `hash of ${subject}`,
    issuers: [ISSUER],
  });
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

async function suspended(): Promise<Identity> {
  const claimed = await store.identities.claim(user, "idn_1", now());
  await store.identities.revoke(claimed.id, ["PROVISIONING"], now(), "SUSPENDED");
  return claimed;
}

describe("who deletes their identity", () => {
  it("has it deleted when it is reinstated as they ask, and not only an answer that says so", async () => {
    const { id } = await suspended();
    const { identities } = store;
    const find = identities.findById.bind(identities);
    // What the row says once it was found suspended.
    vi.spyOn(identities, "findById").mockImplementationOnce(async (named) => {
      await identities.reinstate(id);
      return await find(named);
    });
    expect(await lifecycle.delete(call, { identityId: null, reason: null })).toBe(id);
    expect((await identities.findById(id))?.status).toBe("DELETED");
  });

  it("is refused while it is suspended, and an administrator is not", async () => {
    const { id } = await suspended();
    const own = lifecycle.delete(call, { identityId: null, reason: null });
    await expect(own).rejects.toMatchObject({ code: "IDENTITY_SUSPENDED" });
    expect(await lifecycle.delete(asAdmin, { identityId: id, reason: null })).toBe(id);
    expect((await store.identities.findById(id))?.status).toBe("DELETED");
  });
});

describe("a change whose outcome the trail cannot take", () => {
  const suspend = () => lifecycle.suspend(asAdmin, { identityId: "idn_1", reason: null });
  const reinstate = () => lifecycle.reinstate(asAdmin, { identityId: "idn_1", reason: null });
  const fails = async () => {
    throw new GatewayError("STORE_UNAVAILABLE", "away");
  };
  let written: string[];

  beforeEach(async () => {
    await store.identities.claim(user, "idn_1", now());
    written = [];
  });

  /** What becomes of the OUTCOME's first writes, as many as are given; the others are written. */
  function atOutcome(...fates: (() => Promise<void>)[]): void {
    const write = store.audit.append.bind(store.audit);
    append = async (records, options) => {
      const isOutcome = records.some(({ phase }) => phase === "OUTCOME");
      if (isOutcome) await fates.shift()?.();
      const found = await write(records, options);
      written.push(...records.map(({ action, phase }) => `${action} ${phase}`));
      return found;
    };
  }

  it("is told to whoever asked, and to the trail again until that has it, once", async () => {
    atOutcome(fails, fails);
    await expect(suspend()).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
    expect(await suspend()).toMatchObject({ status: "SUSPENDED" });
    expect(written).toEqual(["IDENTITY_SUSPENDED INTENT"]);
    await expect.poll(() => written, { timeout: 5000 }).toContain("IDENTITY_SUSPENDED OUTCOME");
    await setTimeout(1500);
    expect(written).toEqual(["IDENTITY_SUSPENDED INTENT", "IDENTITY_SUSPENDED OUTCOME"]);
  });

  it("is told at once when the process is to end", async () => {
    atOutcome(fails);
    await expect(suspend()).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
    await audit.close(1000);
    expect(written).toEqual(["IDENTITY_SUSPENDED INTENT", "IDENTITY_SUSPENDED OUTCOME"]);
  });

  it("is not told behind what has undone it since", async () => {
    await suspend();
    atOutcome(fails);
    await expect(reinstate()).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
    await suspend();
    await audit.close(1000);
    expect(written).toEqual(["IDENTITY_REINSTATED INTENT", "IDENTITY_SUSPENDED INTENT", "IDENTITY_SUSPENDED OUTCOME"]);
  });

  it("is there once where it is only late for whoever asked", async () => {
    atOutcome(() => setTimeout(500));
    const impatient = { ...asAdmin, deadline: new Deadline(300) };
    const told = lifecycle.suspend(impatient, { identityId: "idn_1", reason: null });
    await expect(told).rejects.toMatchObject({ code: "AUDIT_UNAVAILABLE" });
    await setTimeout(1700);
    expect(written).toEqual(["IDENTITY_SUSPENDED INTENT", "IDENTITY_SUSPENDED OUTCOME"]);
  });
});

describe("who provisions an identity", () => {
  it("is not answered one that is on its way out", async () => {
    const claimed = await store.identities.claim(user, "idn_1", now());
    for (const status of ["DELETING", "DELETED"] as const) {
      provisioned = { ...claimed, status };
      await expect(lifecycle.provision(asAdmin, user)).rejects.toMatchObject({ code: "IDENTITY_DELETING" });
    }
    provisioned = { ...claimed, status: "ACTIVE" };
    expect(await lifecycle.provision(asAdmin, user)).toBe(provisioned);
  });
});
