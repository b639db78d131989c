import { describe, expect, it } from "vitest";
import { Dpop } from "../../src/auth/dpop.js";
import { DpopNonces } from "../../src/auth/dpop-nonces.js";
import { DpopClient } from "../fixtures/dpop.js";

const NOW = 1_800_000_000;
const uri = "https://tokens.example.com/graphql";
const user = { issuer: "https://a.example.com", subject: "s" };

const client = new DpopClient();
const claimed: [key: string, milliseconds: number][] = [];
const parts = { nonces: new DpopNonces([], () => NOW * 1000), now: () => NOW * 1000 };
const dpop = new Dpop({
  ...parts,
  used: {
    claim: async (key, milliseconds) => {
      claimed.push([key, milliseconds]);
      return true;
    },
  },
});

async function verify(proof: string | undefined, by = dpop): Promise<void> {
  const credentials = { scheme: "DPoP", token: "token", proof, method: "POST", uri, certificate: undefined } as const;
  const { cnf } = await client.confirmation();
  await by.verify(credentials, { thumbprint: cnf.jkt, user, nonceRequired: false });
}
const proofOf = (claims: Record<string, unknown>) => client.proof("token", uri, { claims: { iat: NOW, ...claims } });

describe("a proof", () => {
  it("is bad when there is none", async () => {
    await expect(verify(undefined)).rejects.toMatchObject({
      reason: "bad_proof",
      detail: "a part is not canonical base64url",
    });
  });

  it("is not called bad when something else fails while it is read", async () => {
    const broken = {
      get length(): number {
        throw new RangeError("broken");
      },
    };
    await expect(verify(broken as string)).rejects.toThrow(RangeError);
  });

  it("is of this minute, to the second, either way", async () => {
    for (const iat of [NOW - 60, NOW + 60]) await verify(proofOf({ iat }));
    for (const iat of [NOW - 61, NOW + 61]) {
      await expect(verify(proofOf({ iat }))).rejects.toMatchObject({
        reason: "bad_proof",
        detail: "iat is not of this minute",
      });
    }
  });

  it("has an id of 255 characters at most", async () => {
    await verify(proofOf({ jti: "x".repeat(255) }));
    await expect(verify(proofOf({ jti: "x".repeat(256) }))).rejects.toMatchObject({
      detail: "jti has more than 255 characters",
    });
  });

  it("is remembered for longer than it could come again", async () => {
    claimed.length = 0;
    await verify(proofOf({ jti: "a" }));
    await verify(proofOf({ jti: "b" }));
    expect(claimed.map(([, milliseconds]) => milliseconds)).toEqual([130_000, 130_000]);
    expect(new Set(claimed.map(([key]) => key)).size).toBe(2);
  });

  it("is no pass when it cannot be told whether it was used", async () => {
    const cause = new Error("away");
    const away = new Dpop({ ...parts, used: { claim: () => Promise.reject(cause) } });
    await expect(verify(proofOf({}), away)).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      message: "Whether the proof was used before cannot be told; try again with a new one.",
      cause,
    });
  });
});
