import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AuditLog } from "../../src/audit/log.js";
import { Deadline } from "../../src/deadline.js";
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
/** What becomes of who is provisioned. */
let provisioned: Identity | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "gateway-lifecycle-"));
  store = await openStore({ kind: "sqlite", file: join(folder, "gateway.db") });
  const told = () => {};
  lifecycle = new IdentityLifecycle({
    identities: store.identities,
    provisioning: { ensure: async () => ({ identity: provisioned ?? expect.fail("nobody") }) } as never,
    worker: { settle: async () => {} } as never,
    audit: new AuditLog({
      trail: { record: async () => true },
      fingerprint: (token) => token,
      redact: (text) => text,
      timeoutMs: 1000,
      elapsed: () => performance.now(),
    }),
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
