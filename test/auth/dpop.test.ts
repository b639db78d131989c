import { createHash, generateKeyPairSync } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import type { Credentials } from "../../src/auth/credentials.js";
import { Dpop } from "../../src/auth/dpop.js";
import { DpopNonces } from "../../src/auth/dpop-nonces.js";
import { Secret } from "../../src/config/secret.js";
import { memorySingleUse } from "../../src/shared/single-use-memory.js";
import { DpopClient, signCompact } from "../fixtures/dpop.js";
import { rejectionOf } from "./refusal.js";

const NOW = 1_800_000_000;
const now = () => NOW * 1000;
const URI = "https://tokens.example.com/graphql";
const user = { issuer: "https://a.example.com", subject: "s" };

const client = new DpopClient();
const nonces = new DpopNonces([new Secret(Buffer.alloc(32, 1).toString("base64"))], now);
const claimed: [key: string, milliseconds: number, owner: string][] = [];
const used = memorySingleUse({ maxEntries: 1000, now });
const dpop = new Dpop({
  nonces,
  now,
  used: {
    claim: async (...claim) => {
      claimed.push(claim);
      return await used.claim(...claim);
    },
  },
});
let thumbprint: string;
beforeAll(async () => {
  thumbprint = (await client.confirmation()).cnf.jkt;
});

interface Circumstances {
  readonly uri?: string;
  readonly thumbprint?: unknown;
  readonly nonceRequired?: boolean;
  readonly by?: Dpop;
}

async function verify(proof: string | undefined, circumstances: Circumstances = {}): Promise<void> {
  const { uri = URI, by = dpop, ...options } = circumstances;
  const credentials: Credentials = {
    scheme: "DPoP",
    token: "token",
    proof,
    method: "POST",
    uri,
    certificate: undefined,
  };
  await by.verify(credentials, { thumbprint, user, nonceRequired: false, ...options });
}
const proofOf = (claims: Record<string, unknown> = {}, header = {}) =>
  client.proof("token", URI, { header, claims: { iat: NOW, ...claims } });
const refusal = async (proof: string | undefined, circumstances?: Circumstances) =>
  await rejectionOf(verify(proof, circumstances));
const bad = (detail: string) => ["bad_proof", detail];

describe("a proof", () => {
  it("is good when it is for this request, by the key of the token", async () => {
    expect(await refusal(proofOf())).toBeUndefined();
    expect(await refusal(proofOf({}, { typ: "application/DPoP+JWT" }))).toBeUndefined();
  });

  it("is bad when there is none, or it is no JWS", async () => {
    for (const proof of [undefined, ""]) expect(await refusal(proof)).toEqual(bad("a part is not canonical base64url"));
    expect(await refusal("AAAA")).toEqual(bad("not of three parts"));
    expect(await refusal(proofOf({}, { crit: [] }))).toEqual(bad("header crit is refused"));
    expect(await refusal(proofOf({}, { jwk: undefined }))).toEqual(bad("header jwk is required"));
  });

  it("is not called bad when something else fails while it is read", async () => {
    const broken = {
      get length(): number {
        throw new RangeError("broken");
      },
    };
    await expect(verify(broken as string)).rejects.toThrow(RangeError);
  });

  it.each(["JWT", "at+jwt", "dpop", undefined])("is of its own type: not %s", async (typ) => {
    expect(await refusal(proofOf({}, { typ }))).toEqual(bad("typ is not dpop+jwt"));
  });

  it.each(["jti", "htm", "htu", "ath"])("has a text for %s", async (name) => {
    for (const value of [undefined, null, "", 1, ["x"], {}]) {
      expect(await refusal(proofOf({ [name]: value }))).toEqual(bad("a claim is missing or no text"));
    }
  });

  it("has an id of 255 characters at most", async () => {
    expect(await refusal(proofOf({ jti: "x".repeat(255) }))).toBeUndefined();
    expect(await refusal(proofOf({ jti: "x".repeat(256) }))).toEqual(bad("jti has more than 255 characters"));
  });

  it("is of this minute, to the second, either way", async () => {
    for (const iat of [NOW - 60, NOW + 60]) expect(await refusal(proofOf({ iat }))).toBeUndefined();
    for (const iat of [NOW - 61, NOW + 61]) {
      expect(await refusal(proofOf({ iat }))).toEqual(bad("iat is not of this minute"));
    }
    for (const iat of [undefined, null, "1", NOW + 0.5]) {
      expect(await refusal(proofOf({ iat }))).toEqual(bad("iat is not a sane number of seconds"));
    }
  });
});

describe("the key of a proof", () => {
  const another = "the proof is by another key than the token is bound to";

  it("is the one that the token is bound to", async () => {
    expect(await refusal(new DpopClient().proof("token", URI, { claims: { iat: NOW } }))).toEqual(bad(another));
    for (const bound of [undefined, null, "", [thumbprint]]) {
      expect(await refusal(proofOf(), { thumbprint: bound })).toEqual(bad(another));
    }
    for (const jwk of [null, "x", {}, { kty: "oct" }]) {
      expect(await refusal(proofOf({}, { jwk }), { thumbprint: undefined })).toEqual(bad(another));
    }
  });

  it("is a public one, for this, and of the header's algorithm", async () => {
    const privateJwk = client.key.export({ format: "jwk" });
    expect(await refusal(proofOf({}, { jwk: privateJwk }))).toEqual(bad("jwk: not a public key"));
    expect(await refusal(proofOf({}, { jwk: { ...client.jwk, use: "enc" } }))).toEqual(bad("jwk: not for signatures"));
    for (const alg of ["ES384", "RS256", "HS256", "none"]) {
      expect(await refusal(proofOf({}, { alg }))).toEqual(bad("alg does not fit the key"));
    }
  });

  it("has made its signature", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const forged = client.proof("token", URI, { claims: { iat: NOW }, key: privateKey });
    expect(await refusal(forged)).toEqual(bad("the signature does not verify"));
  });

  it("may be of any type that is known", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const jwk = publicKey.export({ format: "jwk" });
    const ath = createHash("sha256").update("token").digest("base64url");
    const header = JSON.stringify({ typ: "dpop+jwt", alg: "EdDSA", jwk });
    const proof = signCompact(header, { jti: "j", htm: "POST", htu: URI, iat: NOW, ath }, privateKey);
    const { crv, kty, x } = jwk;
    const canonical = JSON.stringify({ crv, kty, x });
    const own = createHash("sha256").update(canonical).digest("base64url");
    expect(await refusal(proof, { thumbprint: own })).toBeUndefined();
  });
});

describe("what a proof is for", () => {
  it("is this method and this token", async () => {
    for (const htm of ["GET", "post", "POST "])
      expect(await refusal(proofOf({ htm }))).toEqual(bad("htm is another method"));
    const ath = createHash("sha256").update("other").digest("base64url");
    expect(await refusal(proofOf({ ath }))).toEqual(bad("ath is of another token"));
  });

  it.each([
    "HTTPS://TOKENS.example.com:443/graphql",
    `${URI}?query#fragment`,
    "https://tokens.example.com/./a/../%67raph%71l",
  ])("is this address in other words: %s", async (htu) => {
    expect(await refusal(proofOf({ htu }))).toBeUndefined();
  });

  it.each([
    "http://tokens.example.com/graphql",
    "https://tokens.example.com:8443/graphql",
    "https://tokens.example.com/graphql/",
    "https://tokens.example.com/Graphql",
    "https://tokens.example.com/graphql%2F",
    "https://user@tokens.example.com/graphql",
    "https://:password@tokens.example.com/graphql",
    "https:tokens.example.com/graphql",
    "https:///tokens.example.com/graphql",
    "https:\\\\tokens.example.com\\graphql",
    " https://tokens.example.com/graphql",
    "https://tokens.example.com/graphql ",
    "https://tokens.example.com/gra\tphql",
    "xhttps://tokens.example.com/graphql",
    "https://",
    "https://[/graphql",
    "graphql",
  ])("is no other address: %j", async (htu) => {
    expect(await refusal(proofOf({ htu }))).toEqual(bad("htu is another address"));
  });

  it.each([
    ["a path that is encoded", "https://a.example.com/%7Euser/%2f", "https://a.example.com/~user/%2F", true],
    [
      "all letters, digits and marks that need no encoding",
      "http://a.example.com/%41%5A%61%7a%30%39%2D%2e%5f%7E",
      "http://a.example.com/AZaz09-._~",
      true,
    ],
    ["signs that do", "http://a.example.com/%40%5b%60%7b%2f%3a%2c%5e%7f", "http://a.example.com/@[`{/:,^\x7f", false],
    ["a sign that is no such triplet", "http://a.example.com/%4", "http://a.example.com/%4", true],
    ["a port", "http://127.0.0.1:4000/", "http://127.0.0.1:4000", true],
    ["an address that is none of ours, though both are", "ftp://a.example.com/", "ftp://a.example.com/", false],
  ])("is compared by its meaning: %s", async (_, uri, htu, same) => {
    expect(await refusal(proofOf({ htu }), { uri })).toEqual(same ? undefined : bad("htu is another address"));
  });
});

describe("the use of a proof", () => {
  it("is single, and known by the key and the id together", async () => {
    const proof = proofOf({ jti: "once" });
    expect(await refusal(proof)).toBeUndefined();
    expect(await refusal(proof)).toEqual(["used_proof", "the proof was used before"]);
    expect(await refusal(proofOf({ jti: "once", nonce: "n" }))).toEqual(["used_proof", "the proof was used before"]);
    const other = new DpopClient();
    const another = other.proof("token", URI, { claims: { iat: NOW, jti: "once" } });
    expect(await refusal(another, { thumbprint: (await other.confirmation()).cnf.jkt })).toBeUndefined();
  });

  it("is remembered for longer than it could come again, by what tells nothing", async () => {
    claimed.length = 0;
    await verify(proofOf({ jti: "id" }));
    const key = createHash("sha256").update(`${thumbprint} id`).digest("base64url");
    expect(claimed).toEqual([[key, 130_000, JSON.stringify([user.issuer, user.subject])]]);
  });

  it("is not claimed for one that is bad", async () => {
    claimed.length = 0;
    await refusal(proofOf({ iat: NOW - 61 }));
    await refusal(client.proof("token", URI, { claims: { iat: NOW }, key: new DpopClient().key }));
    expect(claimed).toEqual([]);
  });

  it("is no pass when it cannot be told whether it is the first", async () => {
    const cause = new Error("away");
    const by = new Dpop({ nonces, now, used: { claim: () => Promise.reject(cause) } });
    await expect(verify(proofOf(), { by })).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      message: "Whether the proof was used before cannot be told; try again with a new one.",
      cause,
    });
  });
});

describe("the nonce of a proof", () => {
  const needed = ["nonce_needed", "no nonce of ours, or an old one"];

  it("is one of ours, where it is wanted", async () => {
    expect(await refusal(proofOf({ nonce: nonces.current() }), { nonceRequired: true })).toBeUndefined();
    for (const nonce of [undefined, null, "", "x", [nonces.current()]]) {
      expect(await refusal(proofOf({ nonce }), { nonceRequired: true })).toEqual(needed);
    }
    expect(await refusal(proofOf({ nonce: "x" }))).toBeUndefined();
  });

  it("is asked of the user who has proven the rest, whose proof is used up by it", async () => {
    const proof = proofOf();
    await expect(verify(proof, { nonceRequired: true })).rejects.toMatchObject({ reason: "nonce_needed", user });
    expect((await refusal(proof, { nonceRequired: true }))?.[0]).toBe("used_proof");
  });
});
