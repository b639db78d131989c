import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import type { ServiceToken } from "../../src/acs/service.js";
import { Secret } from "../../src/config/secret.js";
import type { ByteCache } from "../../src/shared/byte-cache.js";
import { memoryByteCache } from "../../src/shared/byte-cache-memory.js";
import { redisByteCache } from "../../src/shared/byte-cache-redis.js";
import { type CacheOutcome, TokenCache, type TokenLookup } from "../../src/tokens/cache.js";
import { refreshAfter } from "../../src/tokens/lifetime.js";
import { createSeal, noSeal, type Seal } from "../../src/tokens/seal.js";
import { FaultyLine, redisUrl, removeKeys, TEST_REDIS_URL, TestRedis, WHY_SKIPPED } from "../fixtures/redis.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = Date.UTC(2026, 0, 1);
const LOOKUP: TokenLookup = { identityId: "idn_alice", scopes: ["CHAT", "VOIP"], lifetimeMinutes: 1440 };
/** As it was written before entries named the access key. */
const WITHOUT_KEY = JSON.stringify({ token: "eyJ", expiresOn: START + HOUR, issuedAt: START, revocations: 0 });
const seal = createSeal([new Secret(Buffer.alloc(32, 1).toString("base64"))]);

let time: number;
let outcomes: CacheOutcome[];
beforeEach(() => {
  time = START;
  outcomes = [];
});

const now = () => time;
const memory = () => memoryByteCache({ maxEntries: 1000, now });
const token = (lifeMs = 24 * HOUR, text = "eyJ.a-bearer-secret"): ServiceToken => ({
  token: text,
  expiresOn: time + lifeMs,
  credentialId: "key-1",
});

/** The last thing written, for tests that look at it or change it. */
function spied(bytes: ByteCache) {
  const written: { key: string; value: Buffer; ttlMs: number }[] = [];
  const spy: ByteCache = {
    get: (key) => bytes.get(key),
    set: async (key, value, ttlMs) => {
      written.push({ key, value, ttlMs });
      await bytes.set(key, value, ttlMs);
    },
  };
  return { spy, written };
}

/** As issuing does it. */
async function getOrMint(
  cache: TokenCache,
  lookup: TokenLookup,
  revocations: number,
  mint: () => Promise<ServiceToken>,
) {
  return (await cache.get(lookup, revocations)) ?? (await cache.mint(lookup, revocations, mint, { alone: false }));
}

function open(bytes: ByteCache = memory(), by: Seal = noSeal): TokenCache {
  return new TokenCache({
    bytes,
    seal: by,
    credentialId: () => "key-1",
    mintsAtOnce: 10,
    now,
    observe: (outcome) => outcomes.push(outcome),
  });
}

describe("the token cache", () => {
  it("gives a token back for the same identity, scopes and lifetime", async () => {
    const cache = open();
    const issued = token();
    await cache.put(LOOKUP, 0, issued);
    expect(await cache.get(LOOKUP, 0)).toEqual(issued);
    expect(outcomes).toEqual(["hit"]);
  });

  it("does not mind the order of scopes, nor one named twice", async () => {
    const cache = open();
    await cache.put(LOOKUP, 0, token());
    expect(await cache.get({ ...LOOKUP, scopes: ["VOIP", "CHAT", "VOIP"] }, 0)).toBeDefined();
  });

  it.each<[string, Partial<TokenLookup>]>([
    ["another identity", { identityId: "idn_bob" }],
    ["fewer scopes", { scopes: ["CHAT"] }],
    ["more scopes", { scopes: ["CHAT", "VOIP", "CHAT_JOIN"] }],
    ["a shorter lifetime", { lifetimeMinutes: 60 }],
    ["parts that run into each other", { identityId: 'idn_alice",["CHAT"', scopes: ["VOIP"] }],
  ])("has no token for %s", async (_, change) => {
    const cache = open();
    await cache.put(LOOKUP, 0, token());
    expect(await cache.get({ ...LOOKUP, ...change }, 0)).toBeUndefined();
    expect(outcomes).toEqual(["miss"]);
  });

  it("never gives a token to who sees another count of revocations, in either direction", async () => {
    const cache = open();
    await cache.put(LOOKUP, 3, token());
    expect(await cache.get(LOOKUP, 4)).toBeUndefined();
    expect(await cache.get(LOOKUP, 2)).toBeUndefined();
    expect(outcomes).toEqual(["stale", "stale"]);
    expect(await cache.get(LOOKUP, 3)).toBeDefined();
  });

  it("never gives a token that was made with another access key than the one in use", async () => {
    let credentialId = "key-1";
    const parts = {
      bytes: memory(),
      seal: noSeal,
      mintsAtOnce: 10,
      now,
      observe: (outcome: CacheOutcome) => outcomes.push(outcome),
    };
    const cache = new TokenCache({ ...parts, credentialId: () => credentialId });
    await cache.put(LOOKUP, 0, token());
    credentialId = "key-2";
    expect(await cache.get(LOOKUP, 0)).toBeUndefined();
    // Made with the old one before the switch, and here only after it.
    await cache.put(LOOKUP, 0, token());
    expect(await cache.get(LOOKUP, 0)).toBeUndefined();
    expect(outcomes).toEqual(["stale", "stale"]);
    await cache.put(LOOKUP, 0, { ...token(), credentialId });
    expect(await cache.get(LOOKUP, 0)).toBeDefined();
  });

  it("does not let a caller share what is being made with an older access key", async () => {
    let credentialId = "key-1";
    const parts = { bytes: memory(), seal: noSeal, mintsAtOnce: 10, now, observe: () => {} };
    const cache = new TokenCache({ ...parts, credentialId: () => credentialId });
    const slow = Promise.withResolvers<ServiceToken>();
    const begun = Promise.withResolvers<void>();
    const first = getOrMint(cache, LOOKUP, 0, () => {
      begun.resolve();
      return slow.promise;
    });
    await begun.promise;
    credentialId = "key-2";
    const second = await getOrMint(cache, LOOKUP, 0, async () => ({ ...token(HOUR, "eyJ.new"), credentialId }));
    slow.resolve(token());
    expect([second.token, (await first).token]).toEqual(["eyJ.new", token().token]);
  });

  it("replaces a revoked token by the next", async () => {
    const cache = open();
    await cache.put(LOOKUP, 0, token());
    const next = token(24 * HOUR, "eyJ.next");
    await cache.put(LOOKUP, 1, next);
    expect(await cache.get(LOOKUP, 1)).toEqual(next);
    expect(await cache.get(LOOKUP, 0)).toBeUndefined();
  });

  it("gives a token with 15 minutes or more left, before its first refresh, and never longer-lived than it was issued", async () => {
    const step = fc.integer({ min: 0, max: 25 * HOUR });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 24 * HOUR }), step, async (lifeMs, age) => {
        time = START;
        const cache = open();
        const issued = token(lifeMs);
        await cache.put(LOOKUP, 0, issued);
        time += age;
        const found = await cache.get(LOOKUP, 0);
        if (found === undefined) return;
        expect(found).toEqual(issued);
        expect(found.expiresOn - time).toBeGreaterThanOrEqual(15 * MINUTE);
        expect(age).toBeLessThan(lifeMs / 2);
      }),
    );
  });

  it.each([
    ["24 hours", 24 * HOUR, 12 * HOUR - 10_000],
    ["1 hour", HOUR, HOUR / 2 - 10_000],
    ["20 minutes, shorter than the service gives", 20 * MINUTE, 5 * MINUTE - 10_000],
  ])("reuses a token of %s until a known moment and not from there on", async (_, lifeMs, reusableMs) => {
    const cache = open();
    await cache.put(LOOKUP, 0, token(lifeMs));
    time = START + reusableMs - 1;
    expect(await cache.get(LOOKUP, 0)).toBeDefined();
    time = START + reusableMs;
    expect(await cache.get(LOOKUP, 0)).toBeUndefined();
  });

  it("has a newer token for every client that comes back when it was told to", async () => {
    const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    await fc.assert(
      fc.asyncProperty(fraction, fraction, fc.integer({ min: 15, max: 1440 }), async (when, random, minutes) => {
        time = START;
        const cache = open();
        const issued = token(minutes * MINUTE);
        await cache.put(LOOKUP, 0, issued);
        time = START + when * minutes * MINUTE;
        if ((await cache.get(LOOKUP, 0)) === undefined) return;
        time = refreshAfter(time, issued.expiresOn, random);
        expect(await cache.get(LOOKUP, 0)).toBeUndefined();
      }),
    );
  });

  it("does not keep what could not be handed out again, and the rest no longer than it can", async () => {
    const { spy, written } = spied(memory());
    const cache = open(spy);
    for (const lifeMs of [-HOUR, 0, 15 * MINUTE]) await cache.put(LOOKUP, 0, token(lifeMs));
    expect(written).toEqual([]);
    await cache.put(LOOKUP, 0, token(HOUR));
    expect(written.map(({ ttlMs }) => ttlMs)).toEqual([HOUR / 2 - 10_000]);
  });

  it("takes no expiry for a time that is none", async () => {
    const cache = open();
    await cache.put(LOOKUP, 0, { ...token(), expiresOn: Number.NaN });
    expect(await cache.get(LOOKUP, 0)).toBeUndefined();
  });
});

describe("what is not there", () => {
  it("mints once for a thousand callers at the same time, and not again while the token is good", async () => {
    const cache = open();
    let mints = 0;
    const mint = async () => {
      mints++;
      await new Promise((resolve) => setImmediate(resolve));
      return token();
    };
    const tokens = await Promise.all(Array.from({ length: 1000 }, () => getOrMint(cache, LOOKUP, 0, mint)));
    expect(new Set(tokens.map(({ token: text }) => text)).size).toBe(1);
    await getOrMint(cache, LOOKUP, 0, mint);
    expect(mints).toBe(1);
  });

  it("gives nobody who has seen a later revocation a token that is being made under an earlier count", async () => {
    const cache = open();
    const before = Promise.withResolvers<ServiceToken>();
    const early = getOrMint(cache, LOOKUP, 0, () => before.promise);
    const late = await getOrMint(cache, LOOKUP, 1, async () => token(HOUR, "eyJ.after"));
    expect(late.token).toBe("eyJ.after");
    before.resolve(token(HOUR, "eyJ.before"));
    await early;
    expect((await getOrMint(cache, LOOKUP, 1, async () => token(HOUR, "eyJ.again"))).token).not.toBe("eyJ.before");
  });

  it("keeps nothing of a mint that failed", async () => {
    const cache = open();
    const down = getOrMint(cache, LOOKUP, 0, () => Promise.reject(new Error("down")));
    await expect(down).rejects.toThrow("down");
    expect(await getOrMint(cache, LOOKUP, 0, async () => token())).toBeDefined();
  });
});

describe("a sealed entry", () => {
  it("gives the token back, and shows neither token, identity nor scopes to the cache", async () => {
    const { spy, written } = spied(memory());
    const cache = open(spy, seal);
    const issued = token();
    await cache.put(LOOKUP, 0, issued);
    expect(await cache.get(LOOKUP, 0)).toEqual(issued);
    const shown = written.map(({ key, value }) => key + value.toString("latin1")).join();
    for (const text of ["bearer-secret", "idn_alice", "CHAT", "1440"]) expect(shown).not.toContain(text);
  });

  const changes: Record<string, fc.Arbitrary<(sealed: Buffer) => Uint8Array>> = {
    altered: fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })).map(([at, by]) => (sealed: Buffer) => {
      return sealed.map((byte, index) => (index === at % sealed.length ? byte ^ by : byte));
    }),
    "cut off": fc.nat().map((at) => (sealed: Buffer) => sealed.subarray(0, at % sealed.length)),
    extended: fc.uint8Array({ minLength: 1 }).map((more) => (sealed: Buffer) => Buffer.concat([sealed, more])),
    replaced: fc.uint8Array({ maxLength: 3000 }).map((bytes) => () => bytes),
    reordered: fc.nat().map((at) => (sealed: Buffer) => {
      const cut = 1 + (at % (sealed.length - 1));
      return Buffer.concat([sealed.subarray(cut), sealed.subarray(0, cut)]);
    }),
  };
  it.each(Object.entries(changes))("that is %s is a miss and never an error", async (_, change) => {
    const bytes = memory();
    const { spy, written } = spied(bytes);
    const cache = open(spy, seal);
    await cache.put(LOOKUP, 0, token());
    const { key, value } = written[0] ?? expect.fail("nothing was written");
    await fc.assert(
      fc.asyncProperty(change, async (apply) => {
        outcomes = [];
        await bytes.set(key, Buffer.from(apply(value)), HOUR);
        expect(await cache.get(LOOKUP, 0)).toBeUndefined();
        expect(outcomes).toEqual(["unreadable"]);
      }),
    );
  });

  it("that is moved to another identity, other scopes or another lifetime is a miss", async () => {
    const bytes = memory();
    const { spy, written } = spied(bytes);
    const cache = open(spy, seal);
    const others: TokenLookup[] = [
      { ...LOOKUP, identityId: "idn_bob" },
      { ...LOOKUP, scopes: ["CHAT"] },
      { ...LOOKUP, lifetimeMinutes: 60 },
    ];
    for (const lookup of [LOOKUP, ...others]) await cache.put(lookup, 0, token());
    const [first, ...rest] = written;
    for (const [index, { key }] of rest.entries()) {
      await bytes.set(key, first?.value ?? Buffer.alloc(0), HOUR);
      expect(await cache.get(others[index] ?? LOOKUP, 0)).toBeUndefined();
    }
    expect(outcomes).toEqual(["unreadable", "unreadable", "unreadable"]);
  });

  it("of another shape, as another version might write it, is a miss", async () => {
    const bytes = memory();
    const { spy, written } = spied(bytes);
    const cache = open(spy);
    await cache.put(LOOKUP, 0, token());
    for (const text of [
      "",
      "null",
      "{}",
      "[]",
      '{"token":1,"expiresOn":1,"issuedAt":1,"revocations":0}',
      WITHOUT_KEY,
      "not JSON",
    ]) {
      await bytes.set(written[0]?.key ?? "", Buffer.from(text), HOUR);
      expect(await cache.get(LOOKUP, 0)).toBeUndefined();
    }
    expect(new Set(outcomes)).toEqual(new Set(["unreadable"]));
  });

  it("is read through a rotation of keys", async () => {
    const bytes = memory();
    const [oldKey, newKey] = [2, 3].map((fill) => new Secret(Buffer.alloc(32, fill).toString("base64")));
    if (!oldKey || !newKey) throw new Error("no keys");
    await open(bytes, createSeal([oldKey])).put(LOOKUP, 0, token());
    expect(await open(bytes, createSeal([newKey, oldKey])).get(LOOKUP, 0)).toBeDefined();
    expect(await open(bytes, createSeal([newKey])).get(LOOKUP, 0)).toBeUndefined();
    expect(outcomes).toEqual(["hit", "unreadable"]);
  });
});

describe("a token cache in a Redis that is not there", () => {
  it("only costs calls to the service", async () => {
    const redis = new TestRedis("redis://127.0.0.1:9");
    const cache = open(redisByteCache(redis.connection, "tokens"), seal);
    const issued = token();
    expect(await getOrMint(cache, LOOKUP, 0, async () => issued)).toEqual(issued);
    expect(outcomes).toEqual(["failed", "failed"]);
    await redis.close();
  });
});

describe.skipIf(!TEST_REDIS_URL)(`a token cache in Redis${WHY_SKIPPED}`, () => {
  it("is shared by instances, and a miss while the line is cut or stalled", async () => {
    const line = await FaultyLine.open();
    const direct = await new TestRedis().ready();
    const faulty = await new TestRedis(redisUrl(line.port), direct.prefix).ready();
    const [one, other] = [direct, faulty].map(({ connection }) => open(redisByteCache(connection, "tokens"), seal));
    const issued = token();
    await one?.put(LOOKUP, 0, issued);
    expect(await other?.get(LOOKUP, 0)).toEqual(issued);
    line.stall();
    expect(await other?.get(LOOKUP, 0)).toBeUndefined();
    line.cut();
    expect(await other?.get(LOOKUP, 0)).toBeUndefined();
    await other?.put(LOOKUP, 0, token());
    line.mend();
    await faulty.ready();
    expect(await other?.get(LOOKUP, 0)).toEqual(issued);
    expect(outcomes).toEqual(["hit", "failed", "failed", "failed", "hit"]);
    await Promise.all([direct.close(), faulty.close(), line.close()]);
    await removeKeys(direct.prefix);
  });
});
