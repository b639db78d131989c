import { describe, expect, it } from "vitest";
import type { IssuerProfile } from "../../src/config/config.js";
import { type Client, Rig } from "../fixtures/rig.js";
import { ViewerDocument } from "../generated/graphql.js";

const ENTRA = { oid: "11111111-2222-3333-4444-555555555555", tid: "t", azp: "a", ver: "2.0" };

async function withProfile(
  profile: IssuerProfile,
  subjectClaim: string,
  work: (rig: Rig) => Promise<void>,
): Promise<void> {
  const rig = await Rig.start({
    configure: (config) => ({
      ...config,
      issuers: config.issuers.map((issuer) => ({ ...issuer, profile, subjectClaim })),
    }),
  });
  try {
    await work(rig);
  } finally {
    await rig.close();
  }
}

async function statusOf(client: Client): Promise<number> {
  return (await client.execute(ViewerDocument)).status;
}

describe("issuer profiles", () => {
  it("rfc9068 wants typ at+jwt and all of its claims", async () => {
    await withProfile("rfc9068", "sub", async (rig) => {
      expect(await statusOf(await rig.member())).toBe(200);
      expect(await statusOf(await rig.member("a", { header: { typ: "application/at+jwt" } }))).toBe(200);
      expect(await statusOf(await rig.member("a", { header: { typ: "AT+JWT" } }))).toBe(200);
      expect(await statusOf(await rig.member("a", { header: { typ: "JWT" } }))).toBe(401);
      expect(await statusOf(await rig.member("a", { header: { typ: undefined } as never }))).toBe(401);
      for (const claim of ["exp", "aud", "sub", "client_id", "iat", "jti"]) {
        expect([claim, await statusOf(await rig.member("a", { claims: { [claim]: undefined } }))]).toEqual([
          claim,
          401,
        ]);
      }
    });
  });

  it("entra wants a v2 access token, and can name users by oid", async () => {
    await withProfile("entra", "oid", async (rig) => {
      const entra = (claims: object, typ = "JWT") =>
        rig.member("pairwise", { header: { typ }, claims: { ...ENTRA, ...claims } });
      const { viewer } = await (await entra({})).ask(ViewerDocument);
      expect(viewer.user.subject).toBe(ENTRA.oid);
      expect(await statusOf(await entra({ ver: "1.0" }))).toBe(401);
      expect(await statusOf(await entra({}, "at+jwt"))).toBe(401);
      expect(await statusOf(await entra({ nonce: "n" }))).toBe(401);
      for (const claim of ["oid", "tid", "azp", "sub", "iat"]) {
        expect([claim, await statusOf(await entra({ [claim]: undefined }))]).toEqual([claim, 401]);
      }
    });
  });

  it("generic wants a sub that is a text of 1 to 255 characters, though another claim names the user", async () => {
    await withProfile("generic", "oid", async (rig) => {
      const withSub = async (sub: unknown) => statusOf(await rig.member("a", { claims: { oid: "o", sub } }));
      expect(await withSub("s")).toBe(200);
      for (const sub of [undefined, "", 7, ["s"], "x".repeat(256)])
        expect([sub, await withSub(sub)]).toEqual([sub, 401]);
      expect(await statusOf(await rig.member("a", { claims: { oid: undefined } }))).toBe(401);
    });
  });

  it("generic takes typ at+jwt, JWT or none, and no ID token", async () => {
    await withProfile("generic", "sub", async (rig) => {
      expect(await statusOf(await rig.member("a", { claims: { client_id: undefined, jti: undefined } }))).toBe(200);
      expect(await statusOf(await rig.member("a", { header: { typ: "JWT" } }))).toBe(200);
      expect(await statusOf(await rig.member("a", { header: { typ: undefined } as never }))).toBe(200);
      expect(await statusOf(await rig.member("a", { claims: { at_hash: "x" } }))).toBe(401);
    });
  });
});
