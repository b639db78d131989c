import { constants, generateKeyPairSync, type KeyObject, publicEncrypt, sign } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { base64url, publish } from "../fixtures/issuer.js";
import { type Client, type Reply, Rig } from "../fixtures/rig.js";
import { ViewerDocument } from "../generated/graphql.js";
import { attack, expectLetIn, expectRefused, expectUnauthenticated } from "./attack.js";
import { hugeModulus, rsaPairOf, rsaPrimes } from "./weak-rsa.js";

/** As shipped. */
const MAX_AGE_MS = 300_000;
const STALE_MS = 3_600_000;
const COOL_DOWN_MS = 5000;
/** After this the issuer may be asked whatever was asked before. */
const REST_MS = 11_000;

let rig: Rig;
/** What has passed on the gateway's clock beside real time. */
let passed: number;
let client: Client;

beforeEach(async () => {
  passed = 0;
  rig = await Rig.start({
    now: () => Date.now() + passed,
    // Ages go by what the tests let pass, however long they take.
    elapsed: () => passed,
    configure: (config) => ({
      ...config,
      limits: {
        ...config.limits,
        failedAuthPerAddress: 100_000,
        mintsPerSubject: 1000,
      },
      issuers: config.issuers.map((issuer) => ({ ...issuer, algorithms: ["ES256", "RS256", "PS256", "EdDSA"] })),
    }),
  });
  const exp = Math.floor(Date.now() / 1000) + 12 * 3600;
  client = await rig.member("alice", { claims: { exp } });
});
afterEach(async () => {
  await rig.close();
});

/** Tokens that are remembered do without; each of these is a new one. */
const sendNew = async (): Promise<Reply<unknown>> => {
  const exp = Math.floor(Date.now() / 1000) + 12 * 3600;
  return await attack(rig, `Bearer ${await rig.issuer.sign("alice", { claims: { exp } })}`);
};
const sendUnknown = async () =>
  await attack(rig, `Bearer ${await rig.issuer.sign("alice", { header: { kid: crypto.randomUUID() } })}`);
const statusOf = async (reply: Promise<Reply<unknown>>) => (await reply).status;
const newPair = () => generateKeyPairSync("ec", { namedCurve: "P-256" });

async function expectKeysUnavailable(reply: Reply<unknown>, on = rig): Promise<void> {
  await expectRefused(on, reply, { status: 503, code: "KEYS_UNAVAILABLE" });
  expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
}

describe("fetches of an issuer's keys", () => {
  it("are one at a time, however many wait", async () => {
    const statuses = await Promise.all(Array.from({ length: 30 }, () => statusOf(sendNew())));
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(rig.issuer.keyFetches).toBe(1);
  });

  it.each([
    ["answers", undefined],
    ["fails", { status: 500 }],
    ["does not answer", { hangs: true }],
  ] as const)("are one for unknown keys in a cool-down, when the issuer %s", async (_, outage) => {
    expect(await statusOf(sendNew())).toBe(200);
    passed += COOL_DOWN_MS;
    rig.issuer.outage = outage;
    const before = rig.issuer.keyFetches;
    const flood = async () => {
      const statuses = await Promise.all(Array.from({ length: 20 }, () => statusOf(sendUnknown())));
      expect(new Set(statuses)).toEqual(new Set([outage === undefined ? 401 : 503]));
    };
    await flood();
    await flood();
    expect(rig.issuer.keyFetches - before).toBe(1);
    // Who has a key that is known is not held up by any of it.
    expect(await statusOf(sendNew())).toBe(200);
    rig.issuer.outage = undefined;
  });

  it.each([
    ["up", undefined],
    ["down", { status: 500 }],
  ] as const)(
    "are two at most for 10,000 unknown keys in 10 seconds, with the issuer %s, while good tokens pass",
    async (_, outage) => {
      expect(await statusOf(sendNew())).toBe(200);
      passed += 60_000;
      rig.issuer.outage = outage;
      const before = rig.issuer.keyFetches;
      const unknown = await Promise.all(
        Array.from({ length: 100 }, () => rig.issuer.sign("mallory", { header: { kid: crypto.randomUUID() } })),
      );
      for (let round = 0; round < 100; round++) {
        const statuses = await Promise.all(unknown.map((token) => statusOf(attack(rig, `Bearer ${token}`))));
        expect(new Set(statuses)).toEqual(new Set([outage === undefined ? 401 : 503]));
        if (round % 10 === 0) expect(await statusOf(sendNew())).toBe(200);
        passed += 99;
      }
      expect(rig.issuer.keyFetches - before).toBeGreaterThan(0);
      expect(rig.issuer.keyFetches - before).toBeLessThanOrEqual(2);
      rig.issuer.outage = undefined;
    },
    60_000,
  );

  it("find a new key within 5 seconds of its first use", async () => {
    await expectLetIn(rig, await sendNew());
    const { privateKey, publicKey } = newPair();
    rig.issuer.keys.push(publish(publicKey, { kid: "new", alg: "ES256" }));
    const token = await rig.issuer.sign("alice", { key: privateKey, header: { kid: "new" } });
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`));
    passed += COOL_DOWN_MS;
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`));
  });

  it("are made with a growing pause while none succeeds, and 503 is the answer meanwhile, not 401", async () => {
    rig.issuer.keyOutage = { status: 500 };
    const asked = async (milliseconds: number) => {
      passed += milliseconds;
      const before = rig.issuer.keyFetches;
      for (let n = 0; n < 3; n++) await expectKeysUnavailable(await sendNew());
      return rig.issuer.keyFetches - before;
    };
    expect([await asked(0), await asked(500), await asked(700), await asked(1200), await asked(1000)]).toEqual([
      1, 0, 1, 0, 1,
    ]);
    expect([await asked(3000), await asked(1600), await asked(3000), await asked(1600)]).toEqual([0, 1, 0, 1]);
    rig.issuer.keyOutage = undefined;
    passed += COOL_DOWN_MS;
    await expectLetIn(rig, await sendNew());
  });
});

describe("the last good keys", () => {
  const html = { "content-type": "text/html" };
  const uselessKeys = [null, 1, {}, { kty: "oct", k: "AAAA", kid: "test" }, { kty: "EC" }];
  const codings = { "content-encoding": "gzip, gzip, gzip, gzip, gzip, gzip" };
  const outages: [string, NonNullable<Rig["issuer"]["outage"]>, more?: readonly object[]][] = [
    ["an error", { status: 500 }],
    ["a not found", { status: 404 }],
    ["another success", { status: 203 }],
    ["silence", { hangs: true }],
    ["an answer that does not end", { stalls: true }],
    ["an answer in codings, more than can be, that does not end", { stalls: true, headers: codings }],
    ["an answer that is compressed, or says so", { headers: { "content-encoding": "gzip" } }],
    ["another protocol", { status: 101, headers: { connection: "upgrade", upgrade: "x" } }],
    ["an empty key set", { body: '{"keys":[]}' }],
    ["an empty object", { body: "{}" }],
    ["an empty answer", { body: "" }],
    ["no JSON", { body: "<!doctype html><html><body>Maintenance</body></html>", headers: html }],
    ["a list", { body: "[]" }],
    ["null", { body: "null" }],
    ["keys that are no list", { body: '{"keys":{"kid":"test"}}' }],
    ["keys of no use", { body: JSON.stringify({ keys: uselessKeys }) }],
    ["a key set that can be read in two ways", { body: '{"keys":[],"keys":[]}' }],
    ["a huge answer, though a good key is in it", {}, [{ padding: "x".repeat(300_000) }]],
    ["more than 100 keys, though a good one is among them", {}, Array.from({ length: 100 }, () => ({}))],
    ["a redirect, though good keys are where it leads", { status: 302, headers: { location: "/elsewhere" } }],
  ];
  it.each(outages)(
    "serve through %s, up to the stated age, then it is 503, and works again",
    async (_, outage, more) => {
      await expectLetIn(rig, await sendNew());
      rig.issuer.keys.push(...(more ?? []));
      rig.issuer.keyOutage = outage;
      passed += MAX_AGE_MS;
      await expectLetIn(rig, await sendNew());
      passed += STALE_MS - 10_000;
      await expectLetIn(rig, await sendNew());
      passed += 20_000;
      await expectKeysUnavailable(await sendNew());
      await expectKeysUnavailable((await client.execute(ViewerDocument)) as Reply<unknown>);
      rig.issuer.keyOutage = undefined;
      rig.issuer.keys.splice(1);
      passed += COOL_DOWN_MS;
      await expectLetIn(rig, await sendNew());
    },
  );

  it("are looked for anew where the issuer says that they are now", async () => {
    await expectLetIn(rig, await sendNew());
    rig.issuer.keyPath = "/moved";
    rig.issuer.outage = { status: 404 };
    passed += MAX_AGE_MS;
    await expectLetIn(rig, await sendNew());
    rig.issuer.outage = undefined;
    const { privateKey, publicKey } = newPair();
    rig.issuer.keys.push(publish(publicKey, { kid: "new", alg: "ES256" }));
    passed += COOL_DOWN_MS;
    const token = await rig.issuer.sign("alice", { key: privateKey, header: { kid: "new" } });
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`));
  });
});

describe("a clock that is set back", () => {
  it("stops neither the fetching of keys nor their ageing, nor does readiness keep an old report", async () => {
    let ahead = 3_600_000;
    const other = await Rig.start({
      now: () => Date.now() + ahead,
      elapsed: () => Date.now() + passed,
      configure: (config) => ({ ...config, limits: { ...config.limits, failedAuthPerAddress: 100_000 } }),
    });
    try {
      const exp = Math.floor(Date.now() / 1000) + 12 * 3600;
      const old = await other.issuer.sign("alice", { claims: { exp } });
      const ready = async () => (await fetch(`${other.gateway.url}/health/ready`)).status;
      other.issuer.outage = { status: 500 };
      await expectKeysUnavailable(await attack(other, `Bearer ${old}`), other);
      expect(await ready()).toBe(503);
      ahead = 0;
      passed += COOL_DOWN_MS;
      other.issuer.outage = undefined;
      await expectLetIn(other, await attack(other, `Bearer ${old}`));
      expect(await ready()).toBe(200);
      const { privateKey, publicKey } = newPair();
      other.issuer.keys = [publish(publicKey, { kid: "new", alg: "ES256" })];
      passed += REST_MS;
      const token = await other.issuer.sign("alice", { key: privateKey, header: { kid: "new" } });
      await expectLetIn(other, await attack(other, `Bearer ${token}`));
      await expectUnauthenticated(other, await attack(other, `Bearer ${old}`));
    } finally {
      await other.close();
    }
  });
});

describe("a key that the issuer has removed", () => {
  it("stops working within the keys' greatest age, and so does what was remembered of its tokens", async () => {
    const { privateKey, publicKey } = newPair();
    const exp = Math.floor(Date.now() / 1000) + 12 * 3600;
    rig.issuer.keys.push(publish(publicKey, { kid: "old", alg: "ES256" }));
    const token = await rig.issuer.sign("alice", { key: privateKey, header: { kid: "old" }, claims: { exp } });
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`));
    rig.issuer.keys.pop();
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`));
    passed += MAX_AGE_MS;
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`));
    await expectLetIn(rig, await sendNew());
  });

  it("is not mistaken for one that takes its id", async () => {
    const token = await rig.issuer.sign("alice", { claims: { exp: Math.floor(Date.now() / 1000) + 12 * 3600 } });
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`));
    rig.issuer.keys = [publish(newPair().publicKey)];
    passed += MAX_AGE_MS;
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`));
  });
});

describe("a token that is remembered", () => {
  it("is refused when its time is over, and let in as long as it is not", async () => {
    const token = await rig.issuer.sign("alice");
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`));
    passed += 3600_000 - 60_000;
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`));
    passed += 70_000;
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`));
  });

  it("lets nothing in that differs from it in a character", async () => {
    const token = await rig.issuer.sign("alice");
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`));
    for (const at of [3, token.indexOf(".") + 3, token.length - 3]) {
      const changed = `${token.slice(0, at)}${token[at] === "A" ? "B" : "A"}${token.slice(at + 1)}`;
      await expectUnauthenticated(rig, await attack(rig, `Bearer ${changed}`));
    }
  });
});

describe("a key that is weak or not meant for this", () => {
  const rs256 = (key: KeyObject) => (input: string) => sign("sha256", Buffer.from(input), key);
  const ecdsa = (key: KeyObject) => (input: string) =>
    sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
  const rsa = (bits: number, publicExponent = 65_537) =>
    generateKeyPairSync("rsa", { modulusLength: bits, publicExponent });

  type Weak = readonly [alg: string, jwk: object, signWith: (input: string) => Buffer];
  const cases: [string, () => Weak][] = [
    ["RSA of 1024 bits", () => pairCase(rsa(1024))],
    ["RSA of 2040 bits", () => pairCase(rsa(2040))],
    [
      "RSA with exponent 1, under which a signature is what anyone can write",
      () => {
        const { publicKey } = rsa(2048);
        return ["RS256", { ...publish(publicKey, {}), e: "AQ" }, paddedDigest];
      },
    ],
    ["RSA with factors close to each other", () => pairCase(rsaPairOf(rsaPrimes.close()))],
    ["RSA with a small factor", () => pairCase(rsaPairOf(rsaPrimes.small()))],
    [
      "RSA of more than 8192 bits, which takes long to verify with",
      () => ["RS256", { kty: "RSA", e: "AQAB", n: hugeModulus() }, () => Buffer.alloc(1152)],
    ],
    ["one that is for encryption", () => pairCase(rsa(2048), { use: "enc" })],
    ["one that is not for verifying", () => pairCase(rsa(2048), { key_ops: ["encrypt"] })],
    ["one with operations that are no list", () => pairCase(rsa(2048), { key_ops: "verify" })],
    ["one of another algorithm", () => pairCase(rsa(2048), { alg: "PS256" })],
    ["one of an algorithm that does not fit it", () => pairCase(rsa(2048), { alg: "ES256" })],
    ["one of an unknown algorithm", () => pairCase(rsa(2048), { alg: "RSA1_5" })],
    [
      "RSA with an even exponent",
      () => ["RS256", { ...publish(rsa(2048).publicKey, {}), e: "AQAA" }, () => Buffer.alloc(256)],
    ],
    [
      "RSA with a long exponent",
      () => ["RS256", { ...publish(rsa(2048).publicKey, {}), e: "AQAAAAAB" }, () => Buffer.alloc(256)],
    ],
    ["one that comes with a shared secret", () => pairCase(rsa(2048), { k: "c2VjcmV0" })],
    [
      "one that is published with its private part",
      () => {
        const pair = rsa(2048);
        return ["RS256", pair.privateKey.export({ format: "jwk" }), rs256(pair.privateKey)];
      },
    ],
    [
      "one on another curve",
      () => {
        const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
        return ["ES256", publish(publicKey, {}), ecdsa(privateKey)];
      },
    ],
    [
      "one on another curve under this one's name",
      () => {
        const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
        return ["ES256", publish(publicKey, { crv: "P-256" }), ecdsa(privateKey)];
      },
    ],
    [
      "the point at infinity",
      () => [
        "ES256",
        { kty: "EC", crv: "P-256", x: base64url(Buffer.alloc(32)), y: base64url(Buffer.alloc(32)) },
        () => Buffer.alloc(64),
      ],
    ],
    ["a shared secret", () => ["HS256", { kty: "oct", k: base64url("secret") }, () => Buffer.alloc(32)]],
    [
      "the example of RFC 7515, whose private key everybody has",
      () => [
        "ES256",
        {
          kty: "EC",
          crv: "P-256",
          x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
          y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        () => Buffer.alloc(64),
      ],
    ],
  ];

  function pairCase({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }, members = {}): Weak {
    return ["RS256", publish(publicKey, members), rs256(privateKey)];
  }

  /** What m^1 leaves as it is: the encoded message itself (RFC 8017 §9.2). */
  function paddedDigest(input: string): Buffer {
    const { privateKey, publicKey } = rsa(2048);
    return publicEncrypt({ key: publicKey, padding: constants.RSA_NO_PADDING }, rs256(privateKey)(input));
  }

  it.each(cases)("is never used: %s", async (_, makeCase) => {
    const [alg, jwk, signWith] = makeCase();
    rig.issuer.keys.push({ ...jwk, kid: "weak" });
    const input = `${base64url(JSON.stringify({ alg, kid: "weak", typ: "at+jwt" }))}.${base64url(JSON.stringify(rig.issuer.claimsOf("mallory")))}`;
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${input}.${base64url(signWith(input))}`));
    await expectLetIn(rig, await sendNew());
    expect(rig.logLines.join("")).toContain(alg === "HS256" ? '"algorithm_refused"' : '"unknown_key"');
  });

  it("does not keep a sound key of the same size from being used", async () => {
    const { privateKey, publicKey } = rsa(2048);
    rig.issuer.keys.push(publish(publicKey, { kid: "sound", use: "sig", key_ops: ["verify"] }));
    const token = await rig.issuer.sign("alice", { key: privateKey, header: { alg: "RS256", kid: "sound" } });
    await expectLetIn(rig, await attack(rig, `Bearer ${token}`));
  });

  it("does not keep a key from being used that is listed twice, or that writes null for what it leaves out", async () => {
    rig.issuer.keys.push({ ...rig.issuer.keys[0], alg: undefined, use: null, key_ops: null });
    await expectLetIn(rig, await sendNew());
  });

  it("does not keep EdDSA from being used under its newer name, and the reverse", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    rig.issuer.keys.push(publish(publicKey, { kid: "old name", alg: "EdDSA" }));
    rig.issuer.keys.push(publish(publicKey, { kid: "new name", alg: "Ed25519" }));
    for (const kid of ["old name", "new name"]) {
      for (const alg of ["EdDSA", "Ed25519"]) {
        const input = `${base64url(JSON.stringify({ alg, kid, typ: "at+jwt" }))}.${base64url(JSON.stringify(rig.issuer.claimsOf("alice")))}`;
        const signature = sign(null, Buffer.from(input), privateKey);
        await expectLetIn(rig, await attack(rig, `Bearer ${input}.${base64url(signature)}`));
      }
    }
  });

  it("is refused with another of the same id, since it cannot be told which is meant", async () => {
    const { privateKey, publicKey } = newPair();
    rig.issuer.keys.push(publish(publicKey));
    await expectUnauthenticated(rig, await sendNew());
    const token = await rig.issuer.sign("alice", { key: privateKey });
    await expectUnauthenticated(rig, await attack(rig, `Bearer ${token}`));
  });
});

describe("the keys of an issuer", () => {
  it("are asked for nowhere but where its own metadata says, under its own name", async () => {
    rig.issuer.outage = {
      body: JSON.stringify({ issuer: "https://other.example.com", jwks_uri: `${rig.issuer.url}/jwks` }),
    };
    await expectKeysUnavailable(await sendNew());
    // In the clear, though it would answer.
    const inTheClear = `${rig.issuer.url.replace("127.0.0.1", "0.0.0.0")}/jwks`;
    rig.issuer.outage = { body: JSON.stringify({ issuer: rig.issuer.url, jwks_uri: inTheClear }) };
    rig.issuer.keyOutage = { status: 200 };
    passed += COOL_DOWN_MS;
    await expectKeysUnavailable(await sendNew());
    expect(rig.issuer.keyFetches).toBe(0);
  });
});
