import { generateKeyPairSync } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Authenticator } from "../../src/auth/authenticator.js";
import type { Credentials } from "../../src/auth/credentials.js";
import { Dpop } from "../../src/auth/dpop.js";
import { DpopNonces } from "../../src/auth/dpop-nonces.js";
import { AuthenticationFailure, NonceNeeded } from "../../src/auth/failure.js";
import type { IssuerConfig } from "../../src/config/config.js";
import { Secret } from "../../src/config/secret.js";
import { memorySingleUse } from "../../src/shared/single-use-memory.js";
import { DpopClient } from "../fixtures/dpop.js";
import { AUDIENCE, publish, TestIssuer } from "../fixtures/issuer.js";
import { rejectionOf } from "./refusal.js";

const URI = "https://tokens.example.com/graphql";
const MAX_AGE = 300_000;

let issuer: TestIssuer;
let other: TestIssuer;
/** ms beside real time, on both clocks. */
let passed: number;
let told: string[];
let authenticator: Authenticator;

const now = () => Date.now() + passed;
const nonces = new DpopNonces([new Secret(Buffer.alloc(32, 1).toString("base64"))], now);

beforeEach(async () => {
  passed = 0;
  told = [];
  [issuer, other] = [await TestIssuer.start(), await TestIssuer.start()];
  authenticator = authenticatorOf({});
});
afterEach(async () => {
  await issuer.close();
  await other.close();
});

/** The first issuer is as these changes say, the second as configurations usually are. */
function authenticatorOf(changes: Partial<IssuerConfig>, rememberedTokens = 100): Authenticator {
  const usual = {
    audience: [AUDIENCE],
    profile: "rfc9068",
    algorithms: ["ES256"],
    subjectClaim: "sub",
    jwksUri: null,
    clockToleranceSeconds: 5,
    keyMaxAgeSeconds: MAX_AGE / 1000,
    keyStaleSeconds: 3600,
    dpopNonce: false,
  } as const;
  return new Authenticator({
    issuers: [
      { ...usual, issuer: issuer.url, ...changes },
      { ...usual, issuer: other.url },
    ],
    settings: { rememberedTokens },
    mostWaiting: { forOne: 500, forAny: 500 },
    dpop: new Dpop({ used: memorySingleUse({ maxEntries: 100, now }), nonces, now }),
    nonces,
    now,
    elapsed: () => passed,
    observeFetch: (name) => told.push(name),
  });
}

const bearer = (token: string): Credentials => ({
  scheme: "Bearer",
  token,
  proof: undefined,
  method: "POST",
  uri: URI,
  certificate: undefined,
});
const authenticate = async (token: string) => await authenticator.authenticate(bearer(token));
const refusal = async (token: string) => await rejectionOf(authenticate(token));
/** Good for long enough that only the keys' age counts. */
const longToken = async () => await issuer.sign("alice", { claims: { exp: Math.floor(Date.now() / 1000) + 7200 } });

describe("a caller", () => {
  it("is the user of the issuer that signed the token", async () => {
    for (const by of [issuer, other]) {
      const caller = await authenticate(await by.sign("alice", { claims: { roles: ["x"] } }));
      expect(caller).toMatchObject({ issuer: by.url, subject: "alice", senderConstraint: null });
      expect(caller.claims).toMatchObject({ iss: by.url, sub: "alice", roles: ["x"] });
    }
    expect(told).toEqual([issuer.url, other.url]);
  });

  it("is named by the claim that is configured for the issuer", async () => {
    authenticator = authenticatorOf({ subjectClaim: "oid" });
    const { subject } = await authenticate(await issuer.sign("alice", { claims: { oid: "o" } }));
    expect(subject).toBe("o");
  });
});

describe("a token", () => {
  it("names an issuer that is configured, to the letter, or nobody's keys are looked at", async () => {
    for (const iss of [undefined, null, 1, [issuer.url], `${issuer.url}/`, "", "https://other.example.com"]) {
      const refused = ["unknown_issuer", "iss is not a configured issuer"];
      expect(await refusal(await issuer.sign("alice", { claims: { iss } }))).toEqual(refused);
    }
    expect(told).toEqual([]);
  });

  it("is refused for its form, its algorithm or its type before keys are looked at", async () => {
    expect((await refusal("no token"))?.[0]).toBe("malformed");
    expect(await refusal(await issuer.sign("alice", { header: { jwk: {} } }))).toEqual([
      "header_refused",
      "header jwk is refused",
    ]);
    authenticator = authenticatorOf({ algorithms: ["EdDSA"] });
    expect(await refusal(await issuer.sign("alice", { header: { typ: "JWT" } }))).toEqual([
      "algorithm_refused",
      "alg is not one that is configured for the issuer",
    ]);
    expect((await refusal(await other.sign("alice", { header: { typ: "JWT" } })))?.[0]).toBe("wrong_type");
    expect(told).toEqual([]);
  });

  it("is signed by the issuer that it names, and by no other", async () => {
    const { key } = other;
    expect((await refusal(await issuer.sign("alice", { key })))?.[0]).toBe("bad_signature");
    other.keys.push({ ...issuer.keys[0], kid: "theirs" });
    expect((await refusal(await issuer.sign("alice", { header: { kid: "theirs" } })))?.[0]).toBe("unknown_key");
  });

  it("is judged by its claims when its signature is good", async () => {
    const signed = async (claims: object, key = issuer.key) =>
      await issuer.sign("alice", { claims: { ...claims }, key });
    expect((await refusal(await signed({ client_id: undefined, aud: "x" })))?.[1]).toBe(
      "claim client_id is missing or no text",
    );
    expect((await refusal(await signed({ aud: "x" })))?.[0]).toBe("wrong_audience");
    expect((await refusal(await signed({ exp: 2, iat: 1 })))?.[0]).toBe("expired");
    expect((await refusal(await signed({ exp: 2, iat: 1 }, other.key)))?.[0]).toBe("bad_signature");
  });

  it("that is bound to a key comes with a proof of it", async () => {
    const client = new DpopClient();
    const token = await issuer.sign("alice", { claims: await client.confirmation() });
    expect((await refusal(token))?.[0]).toBe("no_proof");
    const withProof: Credentials = { ...bearer(token), scheme: "DPoP", proof: client.proof(token, URI) };
    expect(await authenticator.authenticate(withProof)).toMatchObject({ subject: "alice", senderConstraint: "dpop" });
  });
});

describe("a token that is remembered", () => {
  it("is not read again, unless none may be remembered", async () => {
    for (const [most, isSame] of [
      [100, true],
      [0, false],
    ] as const) {
      authenticator = authenticatorOf({}, most);
      const token = await issuer.sign("alice");
      const [first, second] = [await authenticate(token), await authenticate(token)];
      expect(second).toEqual(first);
      expect(second.claims === first.claims).toBe(isSame);
    }
  });

  it("is refused as any other when its time is over", async () => {
    const token = await issuer.sign("alice");
    await authenticate(token);
    passed = 3_600_000 - 60_000;
    await authenticate(token);
    passed = 3_600_000 + 60_000;
    for (let twice = 0; twice < 2; twice++) expect((await refusal(token))?.[0]).toBe("expired");
  });

  it("makes room when its time is over, for those whose time it is", async () => {
    authenticator = authenticatorOf({}, 2);
    const [short, long, third] = [await issuer.sign("alice"), await longToken(), await longToken()];
    await authenticate(short);
    const { claims } = await authenticate(long);
    passed = 3_600_000 + 60_000;
    expect((await refusal(short))?.[0]).toBe("expired");
    await authenticate(third);
    expect((await authenticate(long)).claims).toBe(claims);
  });

  it("is refused as any other when its key is no longer the issuer's", async () => {
    const token = await longToken();
    await authenticate(token);
    issuer.keys = [publish(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey)];
    passed = MAX_AGE;
    expect((await refusal(token))?.[0]).toBe("bad_signature");
  });

  it("is judged anew when it is let in by another key of its issuer", async () => {
    const token = await longToken();
    const { claims } = await authenticate(token);
    issuer.keys = issuer.keys.map((jwk) => ({ ...jwk, alg: undefined }));
    passed = MAX_AGE;
    const again = await authenticate(token);
    expect(again.claims).not.toBe(claims);
    expect((await authenticate(token)).claims).toBe(again.claims);
  });

  it("has its caller stay one who is connected, for as long as it would be let in once more and no longer", async () => {
    const caller = await authenticate(await longToken());
    expect(await authenticator.isStillGood(caller)).toBe(true);
    expect(await authenticator.isStillGood({ ...caller })).toBe(false);
    const published = issuer.keys;
    const later = async (keys: object[]) => {
      issuer.keys = keys;
      passed += MAX_AGE + 1;
      return await authenticator.isStillGood(caller);
    };
    expect(await later(published.map((key) => ({ ...key, alg: undefined })))).toBe(true);
    const another = publish(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey, { kid: "new", alg: "ES256" });
    expect(await later([another])).toBe(false);
    expect(await later([another, ...published])).toBe(true);
    passed += 7_200_000;
    expect(await authenticator.isStillGood(caller)).toBe(false);
  });

  it("proves its sender each time", async () => {
    const client = new DpopClient();
    const token = await issuer.sign("alice", { claims: await client.confirmation() });
    const withProof: Credentials = { ...bearer(token), scheme: "DPoP", proof: client.proof(token, URI) };
    await authenticator.authenticate(withProof);
    expect((await rejectionOf(authenticator.authenticate(withProof)))?.[0]).toBe("used_proof");
    expect((await refusal(token))?.[0]).toBe("no_proof");
  });
});

describe("the nonce of an answer", () => {
  it("is for a caller by DPoP whose issuer's entry wants one, and for one who was refused for want of it", () => {
    authenticator = authenticatorOf({ dpopNonce: true });
    const caller = { issuer: issuer.url, subject: "s", claims: {}, senderConstraint: "dpop" } as const;
    expect(authenticator.nonceFor(caller)).toBe(nonces.current());
    expect(authenticator.nonceFor(new NonceNeeded(caller))).toBe(nonces.current());
    for (const none of [
      { ...caller, issuer: other.url },
      { ...caller, issuer: "https://nobody.example.com" },
      { ...caller, senderConstraint: "certificate" } as const,
      { ...caller, senderConstraint: null },
      new AuthenticationFailure("used_proof", "detail"),
    ]) {
      expect(authenticator.nonceFor(none)).toBeUndefined();
    }
  });
});

describe("readiness", () => {
  it("is told of each issuer by itself", async () => {
    other.outage = { status: 500 };
    const [one, two, ...more] = authenticator.checks();
    expect([one?.issuer, two?.issuer, more]).toEqual([issuer.url, other.url, []]);
    await expect(one?.check()).resolves.toBeUndefined();
    await expect(two?.check()).rejects.toMatchObject({ code: "KEYS_UNAVAILABLE" });
  });
});
