import { createHash } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import type { Credentials } from "../../src/auth/credentials.js";
import { Dpop } from "../../src/auth/dpop.js";
import { DpopNonces } from "../../src/auth/dpop-nonces.js";
import { checkSender } from "../../src/auth/sender-constraint.js";
import type { VerifiedToken } from "../../src/auth/token-memory.js";
import { memorySingleUse } from "../../src/shared/single-use-memory.js";
import { DpopClient } from "../fixtures/dpop.js";
import { rejectionOf } from "./refusal.js";

const URI = "https://tokens.example.com/graphql";
/** Stands for a certificate: nothing here reads more of one than its hash. */
const CERTIFICATE = Buffer.from("certificate");
const x5t = { "x5t#S256": createHash("sha256").update(CERTIFICATE).digest("base64url") };

const client = new DpopClient();
const now = () => Date.now();
const dpop = new Dpop({ used: memorySingleUse({ maxEntries: 100, now }), nonces: new DpopNonces([], now), now });
let jkt: string;
beforeAll(async () => {
  jkt = (await client.confirmation()).cnf.jkt;
});

const bearer = {
  scheme: "Bearer",
  token: "token",
  proof: undefined,
  method: "POST",
  uri: URI,
  certificate: undefined,
} as const;
const withProof = (): Credentials => ({ ...bearer, scheme: "DPoP", proof: client.proof("token", URI) });
const check = (credentials: Credentials, claims: object, dpopNonce = false) =>
  checkSender(
    credentials,
    {
      claims,
      subject: "s",
      issuer: { config: { issuer: "https://a.example.com", dpopNonce } },
    } as unknown as VerifiedToken,
    dpop,
  );
const refusal = (credentials: Credentials, claims: object) => rejectionOf(check(credentials, claims));

describe("whoever sends a token", () => {
  it("needs no proof when it is not bound", async () => {
    expect(await check(bearer, {})).toBeNull();
    expect(await check({ ...bearer, certificate: CERTIFICATE }, {})).toBeNull();
  });

  it("proves the key that it is bound to", async () => {
    expect(await check(withProof(), { cnf: { jkt } })).toBe("dpop");
    const other = (await new DpopClient().confirmation()).cnf;
    expect(await refusal(withProof(), { cnf: other })).toEqual([
      "bad_proof",
      "the proof is by another key than the token is bound to",
    ]);
  });

  it("proves nothing by a scheme that does not go with the binding", async () => {
    const refused = ["no_proof", "the scheme is DPoP and the token not bound to a key, or the reverse"];
    expect(await refusal(bearer, { cnf: { jkt } })).toEqual(refused);
    expect(await refusal(withProof(), {})).toEqual(refused);
    expect(await refusal({ ...withProof(), certificate: CERTIFICATE }, { cnf: x5t })).toEqual(refused);
  });

  it("has the certificate that it is bound to", async () => {
    expect(await check({ ...bearer, certificate: CERTIFICATE }, { cnf: x5t })).toBe("certificate");
    expect(await refusal(bearer, { cnf: x5t })).toEqual([
      "no_proof",
      "the token is bound to a certificate and none came from a proxy",
    ]);
    const refused = ["bad_certificate", "the certificate is another than the token is bound to"];
    expect(await refusal({ ...bearer, certificate: Buffer.from("other") }, { cnf: x5t })).toEqual(refused);
    for (const thumbprint of [undefined, null, "", [x5t["x5t#S256"]]]) {
      expect(await refusal({ ...bearer, certificate: CERTIFICATE }, { cnf: { "x5t#S256": thumbprint } })).toEqual(
        refused,
      );
    }
  });

  it("proves both when it is bound to both", async () => {
    const cnf = { jkt, ...x5t };
    expect(await check({ ...withProof(), certificate: CERTIFICATE }, { cnf })).toBe("dpop");
    expect((await refusal(withProof(), { cnf }))?.[0]).toBe("no_proof");
    expect((await refusal({ ...bearer, certificate: CERTIFICATE }, { cnf }))?.[0]).toBe("no_proof");
  });

  it("is asked for a nonce where the issuer's entry wants one, as the user that it is", async () => {
    await expect(check(withProof(), { cnf: { jkt } }, true)).rejects.toMatchObject({
      reason: "nonce_needed",
      user: { issuer: "https://a.example.com", subject: "s" },
    });
  });

  it("cannot prove a binding that is not understood, alone or beside one that is", async () => {
    for (const cnf of [undefined, null, "x", 1, [], {}, [jkt], { kid: "x" }, { jkt, kid: "x" }, { jwk: client.jwk }]) {
      const refused = ["no_proof", "the token is bound in a way that is not understood"];
      expect(await refusal(bearer, { cnf })).toEqual(refused);
      expect(await refusal(withProof(), { cnf })).toEqual(refused);
    }
  });
});
