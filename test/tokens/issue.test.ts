import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import { AuditLog } from "../../src/audit/log.js";
import { Trail, type TrailStore } from "../../src/audit/trail.js";
import { Secret } from "../../src/config/secret.js";
import { Deadline } from "../../src/deadline.js";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.js";
import { Provisioning } from "../../src/identities/provisioning.js";
import { Limits } from "../../src/limits/limits.js";
import { Events } from "../../src/observe/events.js";
import { createLogger } from "../../src/observe/logger.js";
import { Metrics } from "../../src/observe/metrics.js";
import { createRedact } from "../../src/observe/redact.js";
import type { Call } from "../../src/policy/call.js";
import type { ByteCache } from "../../src/shared/byte-cache.js";
import { memoryByteCache } from "../../src/shared/byte-cache-memory.js";
import { openStore, type Store } from "../../src/store/store.js";
import { TokenCache } from "../../src/tokens/cache.js";
import { type IssueInput, TokenIssuance } from "../../src/tokens/issue.js";
import { noSeal } from "../../src/tokens/seal.js";
import { GuardedEmulator } from "../fixtures/guard.js";

const now = () => Date.now();
const call: Call = {
  requestId: "request",
  client: { name: null, version: null },
  caller: { issuer: "https://i.example.com", subject: "alice", claims: {}, senderConstraint: null },
  entitlements: { permissions: new Set(["TOKEN_ISSUE"]), scopes: new Map([["CHAT", 1440]]) },
  deadline: new Deadline(60_000),
  quotas: [],
};
const input = { scopes: ["CHAT"] as const, lifetimeMinutes: null, identityId: null, forceNew: false };

/** A cache whose answers can be held back, as Redis over a slow line does. */
class GatedCache implements ByteCache {
  readonly #inner = memoryByteCache({ maxEntries: 10, now });
  #gate = Promise.withResolvers<void>();
  arrived = Promise.withResolvers<void>();
  #closed: readonly ("get" | "set")[] = [];

  close(...what: ("get" | "set")[]): void {
    this.#closed = what;
    this.#gate = Promise.withResolvers();
    this.arrived = Promise.withResolvers();
  }

  open(): void {
    this.#closed = [];
    this.#gate.resolve();
  }

  async get(key: string): Promise<Buffer | undefined> {
    await this.#pass("get");
    return await this.#inner.get(key);
  }

  async set(key: string, value: Buffer, ttlMs: number): Promise<void> {
    await this.#pass("set");
    await this.#inner.set(key, value, ttlMs);
  }

  async #pass(what: "get" | "set"): Promise<void> {
    if (!this.#closed.includes(what)) return;
    this.arrived.resolve();
    await this.#gate.promise;
  }
}

describe("issuing a token", () => {
  let emulator: Emulator;
  let guarded: GuardedEmulator;
  let store: Store;
  let folder: string;
  let gated: GatedCache;
  /** What a record waits for before it is stored. */
  let beforeRecord: (() => Promise<void>) | undefined;
  /** What it waits for before it is told as stored. */
  let afterRecord: (() => Promise<void>) | undefined;
  let issuance: TokenIssuance;

  beforeEach(async () => {
    emulator = await startEmulator({ host: "127.0.0.1", port: 0, latency: "none", rateLimits: false });
    folder = mkdtempSync(join(tmpdir(), "gateway-issue-"));
    store = await openStore({ kind: "sqlite", file: join(folder, "gateway.db") });
    guarded = await GuardedEmulator.start({ emulator });
    const { service } = guarded;
    const events = new Events(
      createLogger({ level: "silent", secrets: [], destination: process.stdout }),
      new Metrics(),
    );
    const { identities, attempts, work } = store;
    const observe = { written: () => {}, failed: () => {} };
    const elapsed = () => performance.now();
    const timing = { now, elapsed, writeTimeoutMs: 5000 };
    [beforeRecord, afterRecord] = [undefined, undefined];
    const records: TrailStore = {
      writesAtOnce: 1,
      enoughForAWrite: 32,
      append: async (...args) => {
        await beforeRecord?.();
        const isStored = await store.audit.append(...args);
        await afterRecord?.();
        return isStored;
      },
    };
    const trail = new Trail({ store: records, ...timing, randomBytes, queueSize: 10, observe });
    const key = new Secret(Buffer.alloc(32, 5).toString("base64"));
    const audit = new AuditLog({
      trail,
      fingerprint: createFingerprint(key),
      redact: createRedact([]),
      timeoutMs: 5000,
      elapsed,
    });
    gated = new GatedCache();
    const limit = 1000;
    issuance = new TokenIssuance({
      identities,
      work,
      audit,
      service,
      events,
      now,
      random: () => 0,
      provisioning: new Provisioning({
        identities,
        attempts,
        service,
        audit,
        events,
        now,
        leaseMs: 5000,
        mostAtOnce: 10,
      }),
      cache: new TokenCache({
        bytes: gated,
        seal: noSeal,
        credentialId: () => service.credentialId,
        mintsAtOnce: 10,
        now,
        observe: () => {},
      }),
      limits: new Limits({
        key,
        config: {
          mintsPerSubject: limit,
          revocationsPerSubject: limit,
          mintsPerIssuer: limit,
          requestsPerSubject: limit,
          failedAuthPerAddress: limit,
          instances: 1,
          rememberedCounts: limit,
        },
        now,
        observe: () => {},
      }),
      onLostIdentity: "provision",
    });
  });
  afterEach(async () => {
    await store.close();
    await emulator.close();
    rmSync(folder, { recursive: true });
  });

  const issue = (order: IssueInput = input) => issuance.issue(call, order).catch((error: unknown) => error);
  const issued = { scopes: ["CHAT"] };
  const refused = { name: "Refusal", code: "REVOCATION_PENDING" };
  const anotherLifetime = { ...input, lifetimeMinutes: 60 };
  const revoke = (identity: { readonly id: string }) => store.identities.revoke(identity.id, ["ACTIVE"], now());

  it("looks at the row behind the record, and again where that took too long for the look to be the last", async () => {
    const behind = vi.spyOn(store.identities, "findBehindRecord");
    for (const order of [input, { ...input, forceNew: true }]) {
      await issuance.issue(call, input);
      behind.mockClear();
      await issuance.issue(call, order);
      expect(behind).toHaveBeenCalledTimes(1);
      const told = vi.spyOn(store.audit, "append");
      afterRecord = () => setTimeout(told.mock.calls.length === (order.forceNew ? 2 : 1) ? 150 : 0);
      behind.mockClear();
      await issuance.issue(call, order);
      expect(behind).toHaveBeenCalledTimes(2);
      told.mockRestore();
      afterRecord = undefined;
    }
  });

  it("makes no other identity for who asks for one by its id that is deleted before it was made", async () => {
    const { identities } = store;
    const { id } = await identities.claim(call.caller, "idn_named", now());
    const find = identities.findById.bind(identities);
    // Once found, it is looked at again by whoever is to make it.
    const spy = vi.spyOn(identities, "findById").mockImplementationOnce(find);
    spy.mockImplementationOnce(async (named) => {
      await identities.delete(id, ["PROVISIONING"], now(), () => "hash");
      return await find(named);
    });
    const answer = await issue({ ...input, identityId: id });
    expect(answer).toMatchObject({ name: "Refusal", code: "IDENTITY_NOT_FOUND" });
    expect(await identities.findByUser(call.caller)).toBeUndefined();
  });

  it("lets no token from a slow cache out that was revoked meanwhile", async () => {
    const { identity } = await issuance.issue(call, input);
    gated.close("get");
    const underWay = issue();
    await gated.arrived.promise;
    await revoke(identity);
    gated.open();
    expect(await underWay).toMatchObject(refused);
  });

  it.each([
    ["reused", input],
    ["minted", { ...input, forceNew: true }],
  ])("lets no token out that was %s before a revocation and is recorded after it", async (_, order) => {
    const { identity } = await issuance.issue(call, input);
    const records = vi.spyOn(store.audit, "append");
    beforeRecord = async () => {
      // The last of this call: an intent comes before what is minted.
      if (records.mock.calls.length === (order.forceNew ? 1 : 0)) await revoke(identity);
    };
    expect(await issue(order)).toMatchObject(refused);
    expect(records.mock.calls.flatMap(([[record]]) => record?.action)).toEqual(
      order.forceNew ? ["TOKEN_ISSUED", "TOKEN_ISSUED", "TOKEN_REFUSED"] : ["TOKEN_REUSED", "TOKEN_REFUSED"],
    );
  });

  it("holds up for no cache what it has minted, nor for those who come before the cache has it", async () => {
    gated.close("set");
    expect(await issue()).toMatchObject(issued);
    const another = () => issuance.issue(call, anotherLifetime);
    const tokens = [...(await Promise.all([another(), another()])), await another()].map(({ token }) => token);
    expect(new Set(tokens).size).toBe(1);
    gated.open();
  });

  it("asks the service for nobody whose time is up by then, and for who shares that token all the same", async () => {
    await issuance.issue(call, input);
    const records = vi.spyOn(store.audit, "append");
    const first = { ...call, deadline: new Deadline(200) };
    // The first one's intent takes longer than its caller has.
    beforeRecord = async () => {
      if (records.mock.calls.length === 0) await setTimeout(400);
    };
    const late = issuance.issue(first, anotherLifetime).catch((error: unknown) => error);
    const shared = issue(anotherLifetime);
    expect(await late).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(await shared).toMatchObject(issued);
    expect(await guarded.reached("issueAccessToken")).toBe(1);
    const written = records.mock.calls.flatMap(([of]) => of.map(({ action, phase }) => `${action} ${phase}`));
    expect(written).toEqual(["TOKEN_ISSUED INTENT", "TOKEN_ISSUED INTENT", "TOKEN_ISSUED OUTCOME"]);
  });

  it("has the cache know a token that was to be new before it is told", async () => {
    await issuance.issue(call, input);
    gated.close("set");
    const underWay = issuance.issue(call, { ...input, forceNew: true });
    await gated.arrived.promise;
    expect(await Promise.race([underWay, setTimeout(100, "waits")])).toBe("waits");
    gated.open();
    const { token } = await underWay;
    expect(await issue()).toMatchObject({ token });
  });
});
