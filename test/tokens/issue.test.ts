import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connectAzureService } from "../../src/acs/service-azure.js";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import { AuditLog } from "../../src/audit/log.js";
import { Trail } from "../../src/audit/trail.js";
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
import { TokenIssuance } from "../../src/tokens/issue.js";
import { noSeal } from "../../src/tokens/seal.js";

const now = () => Date.now();
const call: Call = {
  requestId: "request",
  client: { name: null, version: null },
  caller: { issuer: "https://i.example.com", subject: "alice", claims: {}, senderConstraint: null },
  entitlements: { permissions: new Set(["TOKEN_ISSUE"]), scopes: new Set(["CHAT"]), maxLifetimeMinutes: 1440 },
  deadline: new Deadline(60_000),
  quotas: [],
};
const input = { scopes: ["CHAT"] as const, lifetimeMinutes: null, identityId: null, forceNew: false };

/** A cache whose answers can be held back, as Redis over a slow line does. */
class GatedCache implements ByteCache {
  readonly #inner = memoryByteCache({ maxEntries: 10, now });
  #gate = Promise.withResolvers<void>();
  arrived = Promise.withResolvers<void>();
  isOpen = true;

  close(): void {
    this.isOpen = false;
    this.#gate = Promise.withResolvers();
    this.arrived = Promise.withResolvers();
  }

  open(): void {
    this.isOpen = true;
    this.#gate.resolve();
  }

  async get(key: string): Promise<Buffer | undefined> {
    await this.#pass();
    return await this.#inner.get(key);
  }

  async set(key: string, value: Buffer, ttlMs: number): Promise<void> {
    await this.#pass();
    await this.#inner.set(key, value, ttlMs);
  }

  async #pass(): Promise<void> {
    if (this.isOpen) return;
    this.arrived.resolve();
    await this.#gate.promise;
  }
}

describe("a revocation that lands while the token cache is slow", () => {
  let emulator: Emulator;
  let store: Store;
  let folder: string;
  let gated: GatedCache;
  let issuance: TokenIssuance;

  beforeEach(async () => {
    emulator = await startEmulator({ host: "127.0.0.1", port: 0, latency: "none", rateLimits: false });
    folder = mkdtempSync(join(tmpdir(), "gateway-issue-"));
    store = await openStore({ kind: "sqlite", file: join(folder, "gateway.db") });
    const accessKeys = [new Secret(emulator.connectionString.split("accesskey=")[1] ?? "")] as const;
    const access = { kind: "key", endpoint: emulator.endpoint, accessKeys } as const;
    const service = await connectAzureService({ access, timeoutMs: 2000, observe: () => {} });
    const events = new Events(
      createLogger({ level: "silent", secrets: [], destination: process.stdout }),
      new Metrics(),
    );
    const { identities, attempts, work } = store;
    const observe = { written: () => {}, failed: () => {} };
    const elapsed = () => performance.now();
    const timing = { now, elapsed, writeTimeoutMs: 5000 };
    const trail = new Trail({ store: store.audit, ...timing, randomBytes, queueSize: 10, observe });
    const key = new Secret(Buffer.alloc(32, 5).toString("base64"));
    const audit = new AuditLog({
      trail,
      fingerprint: createFingerprint(key),
      redact: createRedact([]),
      timeoutMs: 5000,
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

  async function revokeWhileHeldBack(order: typeof input & { forceNew: boolean }): Promise<unknown> {
    const { identity } = await issuance.issue(call, input);
    gated.close();
    const underWay = issuance.issue(call, order).catch((error: unknown) => error);
    await gated.arrived.promise;
    await store.identities.revoke(identity.id, ["ACTIVE"], now());
    gated.open();
    return await underWay;
  }

  it("lets no token from the cache out", async () => {
    expect(await revokeWhileHeldBack(input)).toMatchObject({ name: "Refusal", code: "REVOCATION_PENDING" });
  });

  it("lets no token out that was minted before it", async () => {
    expect(await revokeWhileHeldBack({ ...input, forceNew: true })).toMatchObject({
      name: "Refusal",
      code: "REVOCATION_PENDING",
    });
  });

  it("does not hold up a first token, which waits for no cache", async () => {
    gated.close();
    expect(await issuance.issue(call, input)).toMatchObject({ scopes: ["CHAT"] });
    gated.open();
  });
});
