import { generateKeyPairSync } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { discoverJwksUri, fetchKeys } from "../../src/auth/key-fetch.js";
import type { PublicKey } from "../../src/auth/public-key.js";
import { publish, TestIssuer } from "../fixtures/issuer.js";

const newKey = (kid: string) =>
  publish(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey, { kid, alg: "ES256" });
const soon = () => AbortSignal.timeout(3000);

let issuer: TestIssuer;
beforeEach(async () => {
  issuer = await TestIssuer.start();
});
afterEach(async () => {
  await issuer.close();
});
const address = () => `${issuer.url}/jwks`;
const fetched = async (known: readonly PublicKey[] = []) => await fetchKeys(address(), known, soon());

describe("the keys of an issuer", () => {
  it("are all that can be used; of the others it is told why they cannot", async () => {
    issuer.keys = [newKey("a"), {}, newKey("b"), { ...newKey("c"), use: "enc" }];
    const { usable, unusable } = await fetched();
    expect(usable.map(({ kid }) => kid)).toEqual(["a", "b"]);
    expect(unusable).toEqual(["a member of the wrong type", "not for signatures"]);
  });

  it("that cannot be had are told with the address where they are", async () => {
    issuer.keyOutage = { hangs: true };
    const waiting = fetchKeys(address(), [], AbortSignal.timeout(100));
    await expect(waiting).rejects.toThrow(`${address()} did not answer in time`);
    const nowhere = discoverJwksUri("http://127.0.0.1:9", soon());
    await expect(nowhere).rejects.toThrow("http://127.0.0.1:9/.well-known/openid-configuration cannot be fetched");
  });

  it("that are known are the same objects", async () => {
    const { usable } = await fetched();
    issuer.keys.push(newKey("new"));
    const again = await fetched(usable);
    expect(again.usable).toHaveLength(2);
    expect(again.usable[0]).toBe(usable[0]);
  });

  it.each([
    ["{", "is not JSON"],
    ['{"keys":[],"keys":[]}', "is not JSON"],
    ["null", "is no JSON object"],
    ["1", "is no JSON object"],
    ["[]", "is no JSON Web Key Set"],
    ["{}", "is no JSON Web Key Set"],
    ['{"keys":{}}', "is no JSON Web Key Set"],
    ['{"keys":[]}', "has no key that can be used (empty)"],
    ['{"keys":[1,{}]}', "has no key that can be used (no JSON object, a member of the wrong type)"],
  ])("are not there in %s", async (body, why) => {
    issuer.keyOutage = { body };
    await expect(fetched()).rejects.toThrow(`${address()} ${why}`);
  });

  it("that are not JSON leave the cause to the log", async () => {
    issuer.keyOutage = { body: "{" };
    await expect(fetched()).rejects.toMatchObject({ cause: { message: "not JSON" } });
  });

  it("are 100 at most", async () => {
    issuer.keys.push(...Array.from({ length: 99 }, () => ({})));
    expect((await fetched()).usable).toHaveLength(1);
    issuer.keys.push({});
    await expect(fetched()).rejects.toThrow(`${address()} has more than 100 keys`);
  });

  it("are not there when something but a key fails", async () => {
    const broken = {
      get thumbprint(): string {
        throw new RangeError("broken");
      },
    } as PublicKey;
    await expect(fetched([broken])).rejects.toThrow(RangeError);
  });
});

describe("the address of an issuer's keys", () => {
  const metadata = () => `${issuer.url}/.well-known/openid-configuration`;
  const discovered = async (name = issuer.url) => await discoverJwksUri(name, soon());

  it("is what the issuer's metadata says", async () => {
    expect(await discovered()).toBe(address());
    issuer.outage = { body: JSON.stringify({ issuer: issuer.url, jwks_uri: "https://KEYS.example.com/a" }) };
    expect(await discovered()).toBe("https://keys.example.com/a");
  });

  it("is found where an issuer that ends with a slash has it", async () => {
    issuer.keyPath = "/.well-known/openid-configuration";
    const name = `${issuer.url}/`;
    issuer.outage = { body: JSON.stringify({ issuer: name, jwks_uri: address() }) };
    expect(await discovered(name)).toBe(address());
    expect(issuer.keyFetches).toBe(1);
  });

  it.each([undefined, 1, ["https://a.example.com/"], "keys", "http://a.example.com/", "ftp://a.example.com/"])(
    "is not %j",
    async (jwks_uri) => {
      issuer.outage = { body: JSON.stringify({ issuer: issuer.url, jwks_uri }) };
      await expect(discovered()).rejects.toThrow(`${metadata()} has no usable jwks_uri`);
    },
  );

  it("is not what the metadata of another issuer says, or no metadata", async () => {
    for (const name of [undefined, 1, { a: "\n" }, "https://other.example.com", `${issuer.url}/`, "x".repeat(1000)]) {
      issuer.outage = { body: JSON.stringify({ issuer: name, jwks_uri: address() }) };
      const named = JSON.stringify(name ?? null).slice(0, 200);
      await expect(discovered()).rejects.toThrow(new Error(`${metadata()} names another issuer: ${named}`));
    }
    issuer.outage = { status: 404 };
    await expect(discovered()).rejects.toThrow(`${metadata()} answered 404`);
    issuer.outage = { body: "null" };
    await expect(discovered()).rejects.toThrow(`${metadata()} is no JSON object`);
  });
});
