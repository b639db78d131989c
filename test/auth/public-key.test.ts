import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { calculateJwkThumbprint, type JWK } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { keyFits, type PublicKey, readPublicKey, UnusableKey } from "../../src/auth/public-key.js";
import { rsaWeakness } from "../../src/auth/weak-keys.js";
import { base64url } from "../fixtures/issuer.js";
import { rsaPairOf, rsaPrimes } from "../security/weak-rsa.js";
import { publishedExamples } from "./published-examples.js";

const jwkOf = (key: KeyObject) => key.export({ format: "jwk" });
const pair = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve });
const EC = jwkOf(pair("P-256").publicKey);
const RSA = jwkOf(generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey);
const ED25519 = jwkOf(generateKeyPairSync("ed25519").publicKey);

const encode = (number: bigint) =>
  base64url(
    Buffer.from(
      number
        .toString(16)
        .padStart(2, "0")
        .replace(/^(?=(..)*.$)/, "0"),
      "hex",
    ),
  );
/** With a modulus of this length that nothing else is known against; nobody has its factors. */
function rsaOf(bits: number, exponent = 65_537n): object {
  let modulus = 2n ** BigInt(bits - 1) + 1n;
  while (rsaWeakness(modulus) !== undefined) modulus += 2n;
  return { kty: "RSA", n: encode(modulus), e: encode(exponent) };
}

const whyUnusable = async (jwk: unknown, known: readonly PublicKey[] = []) =>
  await readPublicKey(jwk, known).then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof UnusableKey) return error.message;
      throw error;
    },
  );

describe("a key", () => {
  it.each<[string, typeof EC]>([
    ["P-256", EC],
    ["RSA", RSA],
    ["Ed25519", ED25519],
  ])("is read with all that it says of itself: %s", async (_, jwk) => {
    const { key, ...read } = await readPublicKey({ ...jwk, kid: "k", use: "sig", key_ops: ["sign", "verify"] });
    expect(key.type).toBe("public");
    expect(jwkOf(key)).toEqual(jwk);
    const thumbprint = await calculateJwkThumbprint(jwk as JWK);
    expect(read).toEqual({ kty: jwk.kty, crv: jwk.crv, kid: "k", alg: undefined, thumbprint });
  });

  it("may have null for what it leaves out", async () => {
    const read = await readPublicKey({ ...EC, kid: null, alg: null, use: null, key_ops: null });
    expect(read).toMatchObject({ kid: undefined, alg: undefined });
  });

  it.each<[string, unknown, string]>([
    ["null", null, "no JSON object"],
    ["nothing", undefined, "no JSON object"],
    ["a text", "text", "no JSON object"],
    ["of no type", {}, "a member of the wrong type"],
    ["with a kty that is no text", { ...EC, kty: ["EC"] }, "a member of the wrong type"],
    ["with a crv that is no text", { ...EC, crv: 1 }, "a member of the wrong type"],
    ["with a kid that is no text", { ...EC, kid: 1 }, "a member of the wrong type"],
    ["with an alg that is no text", { ...EC, alg: ["ES256"] }, "a member of the wrong type"],
    ["for encryption", { ...EC, use: "enc" }, "not for signatures"],
    ["for nothing", { ...EC, use: "" }, "not for signatures"],
    ["for signing", { ...EC, key_ops: ["sign"] }, "not for verifying"],
    ["for no operation", { ...EC, key_ops: [] }, "not for verifying"],
    ["for operations that are no list", { ...EC, key_ops: "verify" }, "not for verifying"],
    ["for the algorithm of another curve", { ...EC, alg: "ES384" }, "its alg does not fit its type"],
    ["for the algorithm of another type", { ...EC, alg: "RS256" }, "its alg does not fit its type"],
    ["for an algorithm that is not known", { ...RSA, alg: "RSA-OAEP" }, "its alg does not fit its type"],
    ["that is not on its curve", { ...EC, x: EC.y, y: EC.x }, "not a sound public key"],
    ["with nothing in it", { kty: "EC", crv: "P-256" }, "not a sound public key"],
    ["of another type", { kty: "other" }, "not a sound public key"],
  ])("is unusable: %s", async (_, jwk, why) => {
    expect(await whyUnusable(jwk)).toBe(why);
  });

  it.each(["d", "p", "q", "dp", "dq", "qi", "oth", "k"])(
    "is unusable with its private part, or a shared one: %s",
    async (name) => {
      for (const value of ["AQ", null]) expect(await whyUnusable({ ...EC, [name]: value })).toBe("not a public key");
    },
  );

  it("that is unsound leaves the cause to whoever looks for it, and is an error of its own kind", async () => {
    await expect(readPublicKey({ kty: "EC", crv: "P-256" })).rejects.toMatchObject({
      name: "UnusableKey",
      cause: expect.any(Error),
    });
  });

  it("that is known is the same object, and one with another id or algorithm is not", async () => {
    const known = await readPublicKey({ ...EC, kid: "k", alg: "ES256" });
    const others = [await readPublicKey(jwkOf(pair("P-256").publicKey)), known];
    expect(await readPublicKey({ ...EC, kid: "k", alg: "ES256" }, others)).toBe(known);
    for (const changes of [{ kid: "other", alg: "ES256" }, { kid: "k" }]) {
      const read = await readPublicKey({ ...EC, ...changes }, others);
      expect(read).not.toBe(known);
      expect(read).toMatchObject({ ...changes, thumbprint: known.thumbprint });
    }
  });

  it("that is known is not weighed again, which takes time", async () => {
    const weak = jwkOf(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey);
    const thumbprint = await calculateJwkThumbprint(weak as JWK);
    expect(await whyUnusable(weak)).toBe("RSA with less than 2048 bits");
    expect(await whyUnusable(weak, [{ thumbprint } as PublicKey])).toBeUndefined();
  });
});

describe("an RSA key", () => {
  it("has 2048 to 8192 bits", async () => {
    expect(await whyUnusable(rsaOf(2047))).toBe("RSA with less than 2048 bits");
    expect(await whyUnusable(rsaOf(2048))).toBeUndefined();
    expect(await whyUnusable(rsaOf(8192))).toBeUndefined();
    expect(await whyUnusable(rsaOf(8193))).toBe("RSA with more than 8192 bits");
  });

  it("has an odd exponent from 3 to 32 bits", async () => {
    for (const exponent of [3n, 65_537n, 2n ** 32n - 1n]) {
      expect([exponent, await whyUnusable(rsaOf(2048, exponent))]).toEqual([exponent, undefined]);
    }
    for (const exponent of [1n, 2n, 4n, 65_536n, 2n ** 32n, 2n ** 32n + 1n]) {
      expect([exponent, await whyUnusable(rsaOf(2048, exponent))]).toEqual([
        exponent,
        "RSA with a bad public exponent",
      ]);
    }
  });

  it("has a modulus that is not weak", async () => {
    const { publicKey } = rsaPairOf(rsaPrimes.close());
    expect(await whyUnusable(jwkOf(publicKey))).toBe("RSA modulus has factors too close to each other");
  });
});

it.each(Object.entries(publishedExamples))("a key is unusable whose private part everybody has: %s", async (_, jwk) => {
  expect(await whyUnusable(jwk)).toBe("an example whose private key is published");
});

describe("a key fits", () => {
  let keys: Record<string, PublicKey>;
  beforeAll(async () => {
    keys = {
      RSA: await readPublicKey(RSA),
      "RSA for PS256": await readPublicKey({ ...RSA, alg: "PS256" }),
      EC: await readPublicKey(EC),
      Ed25519: await readPublicKey(ED25519),
      "Ed25519 for EdDSA": await readPublicKey({ ...ED25519, alg: "EdDSA" }),
      "Ed25519 for Ed25519": await readPublicKey({ ...ED25519, alg: "Ed25519" }),
    };
  });

  it.each([
    ["RS256", ["RSA"]],
    ["PS256", ["RSA", "RSA for PS256"]],
    ["ES256", ["EC"]],
    ["ES384", []],
    ["EdDSA", ["Ed25519", "Ed25519 for EdDSA", "Ed25519 for Ed25519"]],
    ["Ed25519", ["Ed25519", "Ed25519 for EdDSA", "Ed25519 for Ed25519"]],
    ["none", []],
  ])("%s by its type and what it says that it is for: %j", (alg, names) => {
    expect(Object.keys(keys).filter((name) => keys[name] && keyFits(keys[name], alg))).toEqual(names);
  });
});
