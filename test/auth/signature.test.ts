import { generateKeyPairSync } from "node:crypto";
import { beforeAll, expect, it } from "vitest";
import { parseCompactJws } from "../../src/auth/compact-jws.js";
import { type PublicKey, readPublicKey } from "../../src/auth/public-key.js";
import { verifySignature } from "../../src/auth/signature.js";
import { signCompact } from "../fixtures/dpop.js";
import { rejectionOf } from "./refusal.js";

const [one, other] = [1, 2].map(() => generateKeyPairSync("ec", { namedCurve: "P-256" }));
let key: PublicKey;
beforeAll(async () => {
  key = await readPublicKey(one?.publicKey.export({ format: "jwk" }));
});

const signed = (alg: string, by = one) =>
  parseCompactJws(signCompact(JSON.stringify({ alg }), { sub: "s" }, by?.privateKey ?? expect.fail()), {
    ownKey: "refused",
  });

it("a signature is good by the key that made it", async () => {
  await expect(verifySignature(signed("ES256"), key, "bad_signature")).resolves.toBeUndefined();
});

it.each(["bad_signature", "bad_proof"] as const)(
  "a signature is refused by another key, or another algorithm than the header's: %s",
  async (reason) => {
    const refused = [reason, "the signature does not verify"];
    expect(await rejectionOf(verifySignature(signed("ES256", other), key, reason))).toEqual(refused);
    for (const alg of ["ES384", "RS256", "HS256", "none", ""]) {
      expect(await rejectionOf(verifySignature(signed(alg), key, reason))).toEqual(refused);
    }
    const named = { ...signed("ES256"), header: { alg: "ES384" } };
    expect(await rejectionOf(verifySignature(named, key, reason))).toEqual(refused);
    const altered = { ...signed("ES256"), text: signed("ES256").text.replace(/\.[^.]+\./, ".e30.") };
    expect(await rejectionOf(verifySignature(altered, key, reason))).toEqual(refused);
  },
);

it("a signature that is refused leaves its cause to the log", async () => {
  await expect(verifySignature(signed("ES256", other), key, "bad_proof")).rejects.toMatchObject({
    cause: { code: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED" },
  });
});
