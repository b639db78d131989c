import { generateKeyPairSync } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { IssuerKeys, type ObserveFetch } from "../../src/auth/issuer-keys.js";
import type { FetchedKeys } from "../../src/auth/key-fetch.js";
import { publish, TestIssuer } from "../fixtures/issuer.js";

const MAX_AGE = 300_000;
/** When keys that were fetched at 0 serve no more. */
const END = MAX_AGE + 3_600_000;
const DISCOVERY = 3_600_000;
const UNAVAILABLE = { code: "KEYS_UNAVAILABLE", message: "The keys of the token's issuer cannot be fetched." };
const UNKNOWN = { reason: "unknown_key", detail: "the issuer has no such key" };

const newKey = (kid = "test") =>
  publish(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey, { kid, alg: "ES256" });

let issuer: TestIssuer;
/** ms by the clock that is never set. */
let elapsed: number;
let told: [issuer: string, outcome: FetchedKeys | Error][];
let keys: IssuerKeys;

beforeEach(async () => {
  issuer = await TestIssuer.start();
  elapsed = 0;
  told = [];
  keys = keysAt(`${issuer.url}/jwks`);
});
afterEach(async () => {
  await issuer.close();
});

/** As many may wait as any test has. */
const ALL = 500;

function keysAt(jwksUri: string | null, observe?: ObserveFetch, mostForAny = ALL): IssuerKeys {
  // This test's own: a fetch that hangs may end during the next.
  const ownTold = told;
  const config = { issuer: issuer.url, jwksUri, keyMaxAgeSeconds: 300, keyStaleSeconds: 3600 };
  const tell: ObserveFetch = (...outcome) => ownTold.push(outcome);
  return new IssuerKeys(config, {
    elapsed: () => elapsed,
    observe: observe ?? tell,
    waiting: { count: 0, most: ALL },
    mostForAny,
  });
}

const find = async (kid: string | undefined = "test", alg = "ES256") => await keys.find(alg, kid);

/** Resolves when each fetch that has begun has ended. */
async function settle(): Promise<void> {
  // What was asked before this has arrived when this is answered.
  await fetch(issuer.url);
  await expect.poll(() => told.length, { interval: 2 }).toBe(issuer.keyFetches);
}

/** How often the issuer was asked at each of these times, by two who look for the key. */
async function fetchesAt(times: readonly number[], kid: string): Promise<[time: number, fetches: number][]> {
  const fetches: [number, number][] = [];
  for (const time of times) {
    elapsed = time;
    const before = issuer.keyFetches;
    for (let twice = 0; twice < 2; twice++) await find(kid).catch(() => undefined);
    await settle();
    fetches.push([time, issuer.keyFetches - before]);
  }
  return fetches;
}

describe("a key", () => {
  it("is found by its id and the algorithm, or by the algorithm alone", async () => {
    const { publicKey } = generateKeyPairSync("ed25519");
    issuer.keys.push(publish(publicKey, { kid: "test" }));
    const [ec, ed] = [await find("test", "ES256"), await find("test", "EdDSA")];
    expect([ec, ed]).toMatchObject([{ kty: "EC" }, { kty: "OKP" }]);
    expect(await keys.find("ES256", undefined)).toBe(ec);
    await expect(find("test", "RS256")).rejects.toMatchObject(UNKNOWN);
    await expect(find("other")).rejects.toMatchObject(UNKNOWN);
  });

  it("is not found when there is another of its id: which is meant cannot be told", async () => {
    issuer.keys.push(newKey());
    await expect(find()).rejects.toMatchObject(UNKNOWN);
    await expect(keys.find("ES256", undefined)).rejects.toMatchObject(UNKNOWN);
  });

  it("is found when it is listed twice", async () => {
    issuer.keys.push({ ...issuer.keys[0], alg: undefined });
    expect(await find()).toMatchObject({ kid: "test", alg: "ES256" });
  });

  it("is the issuer's as long as the issuer shows it", async () => {
    const key = await find();
    const [other] = issuer.keys;
    issuer.keys.push(newKey("new"));
    elapsed += MAX_AGE;
    expect(await keys.has(key)).toBe(true);
    expect(await find()).toBe(key);
    issuer.keys = [newKey("new")];
    elapsed += MAX_AGE;
    expect(await keys.has(key)).toBe(false);
    issuer.keys = [other ?? expect.fail()];
  });
});

describe("keys", () => {
  it("are waited for by so many while there are none, and by all of them again later", async () => {
    const crowded = keysAt(`${issuer.url}/jwks`, undefined, 2);
    const ask = () => Promise.allSettled([1, 2, 3].map(() => crowded.find("ES256", "test")));
    expect((await ask()).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
    expect((await ask()).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
  });

  it("are fetched once, however many wait", async () => {
    const found = await Promise.all(Array.from({ length: 20 }, () => find()));
    expect([new Set(found).size, issuer.keyFetches]).toEqual([1, 1]);
    expect(told).toMatchObject([[issuer.url, { usable: [{ kid: "test" }], unusable: [] }]]);
  });

  it("are fetched anew from half of their greatest age on, beside the requests", async () => {
    const key = await find();
    issuer.keyOutage = { hangs: true };
    elapsed = MAX_AGE / 2 - 1;
    expect(await find()).toBe(key);
    await settle();
    expect(issuer.keyFetches).toBe(1);
    elapsed = MAX_AGE / 2;
    expect(await find()).toBe(key);
    await expect.poll(() => issuer.keyFetches).toBe(2);
    expect(told).toHaveLength(1);
  });

  it("are waited for at their greatest age, and not before", async () => {
    const old = await find();
    issuer.keys = [newKey()];
    elapsed = MAX_AGE - 1;
    expect(await find()).toBe(old);
    await settle();
    const newer = await find();
    expect(newer).not.toBe(old);
    issuer.keys = [newKey()];
    elapsed += MAX_AGE;
    expect(await find()).not.toBe(newer);
  });

  it("serve on while they cannot be fetched, up to a second age", async () => {
    const key = await find();
    issuer.keyOutage = { status: 500 };
    for (elapsed of [MAX_AGE, END - 1]) expect(await find()).toBe(key);
    elapsed = END;
    for (const work of [find(), keys.has(key), keys.check()]) await expect(work).rejects.toMatchObject(UNAVAILABLE);
    issuer.keyOutage = undefined;
    elapsed += 4500;
    expect(await find()).toMatchObject({ kid: "test" });
  });

  it("are waited for when they serve no more, and asked for sooner", async () => {
    const key = await find();
    issuer.keyOutage = { status: 500 };
    elapsed = END - 2000;
    expect(await find()).toBe(key);
    await settle();
    issuer.keyOutage = undefined;
    elapsed = END;
    expect(await find()).toBe(key);
  });

  it("that serve on hold nobody up", async () => {
    const key = await find();
    issuer.keyOutage = { status: 500 };
    elapsed = MAX_AGE;
    expect(await find()).toBe(key);
    issuer.keyOutage = { hangs: true };
    elapsed += 20_000;
    expect(await find()).toBe(key);
    await expect.poll(() => issuer.keyFetches).toBe(3);
    expect(told).toHaveLength(2);
  });

  it("that nobody asked for in all that time are fetched at once", async () => {
    await find();
    elapsed = END;
    expect(await find()).toMatchObject({ kid: "test" });
    expect(issuer.keyFetches).toBe(2);
  });

  it("that are not there leave the reason to the log, and to whoever is told", async () => {
    issuer.keyOutage = { status: 500 };
    const cause = { message: `${issuer.url}/jwks answered 500` };
    await expect(find()).rejects.toMatchObject({ ...UNAVAILABLE, cause });
    expect(told).toMatchObject([[issuer.url, cause]]);
    issuer.keyOutage = undefined;
    elapsed += 1000;
    await expect(keys.check()).resolves.toBeUndefined();
  });

  it("serve on when whoever is told of them fails, and that is told as an error", async () => {
    const outcomes: (FetchedKeys | Error)[] = [];
    keys = keysAt(`${issuer.url}/jwks`, (_, outcome) => {
      outcomes.push(outcome);
      if (outcomes.length === 1) throw "not an error";
    });
    expect(await find()).toMatchObject({ kid: "test" });
    expect(outcomes).toMatchObject([{ unusable: [] }, { message: "the fetch failed" }]);
  });
});

describe("a key that is not there", () => {
  it("is asked for twice in ten seconds at most, with the issuer up or down", async () => {
    const times = [0, 4499, 4500, 9000, 10_199, 10_200, 14_699, 14_700];
    const expected = times.map((time) => [time, [0, 4500, 10_200, 14_700].includes(time) ? 1 : 0]);
    expect(await fetchesAt(times, "unknown")).toEqual(expected);
    elapsed += 100_000;
    await find();
    issuer.keyOutage = { status: 500 };
    const later = times.slice(1).map((time) => elapsed + time);
    await find("unknown").catch(() => undefined);
    const fetches = await fetchesAt(later, "unknown");
    expect(fetches.map(([, count]) => count)).toEqual(expected.slice(1).map(([, count]) => count));
  });

  it("is unavailable and not unknown while the issuer cannot be asked", async () => {
    await find();
    issuer.keyOutage = { status: 500 };
    elapsed = 5000;
    await expect(find("unknown")).rejects.toMatchObject(UNAVAILABLE);
    issuer.keyOutage = undefined;
    elapsed = 20_000;
    await expect(find("unknown")).rejects.toMatchObject(UNKNOWN);
  });

  it("is found when it is new, by all who wait for the one fetch", async () => {
    await find();
    issuer.keys.push(newKey("new"));
    elapsed = 4500;
    const [one, other] = await Promise.all([find("new"), find("new")]);
    expect(one).toMatchObject({ kid: "new" });
    expect(other).toBe(one);
    expect(issuer.keyFetches).toBe(2);
  });
});

describe("while there are no keys", () => {
  it("the issuer is asked again after 1, 2, 4 and then every 4.5 seconds", async () => {
    issuer.keyOutage = { status: 500 };
    const asked = [0, 1000, 3000, 7000, 11_500, 16_000];
    const times = asked.flatMap((time) => (time === 0 ? [0] : [time - 1, time]));
    expect(await fetchesAt(times, "test")).toEqual(times.map((time) => [time, asked.includes(time) ? 1 : 0]));
  });

  it("that pause is counted from the end of the fetch that failed", async () => {
    issuer.keyOutage = { status: 500 };
    const waiting = find();
    elapsed = 500;
    await expect(waiting).rejects.toMatchObject(UNAVAILABLE);
    expect(await fetchesAt([1499, 1500], "test")).toEqual([
      [1499, 0],
      [1500, 1],
    ]);
  });
});

describe("the address of the keys", () => {
  it("is looked up in the issuer's metadata, and again after an hour", async () => {
    for (const [time, isMoved] of [
      [DISCOVERY - 1, false],
      [DISCOVERY, true],
    ] as const) {
      issuer.keyPath = "/jwks";
      elapsed = 1000;
      keys = keysAt(null);
      await find();
      issuer.keyPath = "/moved";
      const before = issuer.keyFetches;
      elapsed += time;
      await find();
      expect([time, issuer.keyFetches - before]).toEqual([time, isMoved ? 1 : 0]);
    }
  });

  it("is looked up again after a failure", async () => {
    keys = keysAt(null);
    await find();
    issuer.outage = { status: 500 };
    issuer.keyPath = "/moved";
    elapsed = MAX_AGE;
    await find();
    issuer.outage = undefined;
    elapsed += 20_000;
    const before = issuer.keyFetches;
    await find();
    await expect.poll(() => issuer.keyFetches - before).toBe(1);
  });

  it("is not looked up when the configuration has it", async () => {
    issuer.outage = { status: 500 };
    issuer.keyOutage = {};
    expect(await find()).toMatchObject({ kid: "test" });
  });
});

describe("callers whose key is not at hand", () => {
  it("wait in a bounded number, so that those whose key is have room", async () => {
    await find();
    issuer.keyOutage = { hangs: true };
    elapsed = 5000;
    const waiting = Array.from({ length: 500 }, () => keys.find("ES256", "made-up").catch((error: unknown) => error));
    await expect(find("made-up")).rejects.toMatchObject(UNAVAILABLE);
    expect(await find()).toMatchObject({ kid: "test" });
    for (const error of await Promise.all(waiting)) expect(error).toMatchObject(UNAVAILABLE);
    await expect(find("made-up")).rejects.toMatchObject(UNAVAILABLE);
  });
});
