import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { IdentityStore } from "../../src/store/identity-store.js";
import type { Store } from "../../src/store/store.js";

interface OpenedStore {
  readonly store: Store;
  close(): Promise<void>;
}

/** What every database behind the identity store must do. */
export function identityStoreConformance(name: string, open: () => Promise<OpenedStore>): void {
  describe(`identity store on ${name}`, () => {
    let opened: OpenedStore;
    let identities: IdentityStore;
    let next = 0;

    beforeAll(async () => {
      opened = await open();
      identities = opened.store.identities;
    });
    afterAll(async () => {
      await opened.close();
    });

    const user = (subject = `subject-${next++}`) => ({ issuer: "https://issuer.example.com", subject });
    async function active() {
      const claimed = await identities.claim(user(), `idn_${next}`, 1000);
      const binding = { communicationUserId: `8:acs:${next}`, revocations: 0, tokenIssuedAt: null };
      return (await identities.bind(claimed.id, binding)) ?? expect.fail("not bound");
    }

    it("claims one row for a user, whoever comes first", async () => {
      const who = user();
      const claims = await Promise.all(
        Array.from({ length: 10 }, (_, index) => identities.claim(who, `idn_race_${index}`, index)),
      );
      expect(new Set(claims.map(({ id }) => id)).size).toBe(1);
      expect(claims[0]).toMatchObject({
        status: "PROVISIONING",
        user: who,
        communicationUserId: null,
        lastTokenIssuedAt: null,
        revocationPending: false,
      });
    });

    it("keeps subjects apart that differ in case, in trailing space or by an accent", async () => {
      const ids = [];
      for (const subject of ["Sam", "sam", "sam ", "sám"])
        ids.push((await identities.claim(user(subject), `idn_${subject}`, 1)).id);
      expect(new Set(ids).size).toBe(4);
      expect(await identities.findByUser(user("sam"))).toMatchObject({ id: "idn_sam" });
    });

    it("binds once", async () => {
      const claimed = await identities.claim(user(), "idn_once", 1000);
      const binding = (communicationUserId: string) => ({ communicationUserId, revocations: 0, tokenIssuedAt: 5 });
      const results = await Promise.all(
        ["8:acs:x1", "8:acs:x2", "8:acs:x3"].map((id) => identities.bind(claimed.id, binding(id))),
      );
      const bound = results.filter((result) => result !== undefined);
      expect(bound).toHaveLength(1);
      expect(bound[0]).toMatchObject({ status: "ACTIVE", lastTokenIssuedAt: 5 });
      expect(await identities.findByCommunicationUserId(bound[0]?.communicationUserId ?? "")).toEqual(bound[0]);
    });

    it("leaves a row suspended that is bound late, with its first token to be revoked", async () => {
      const claimed = await identities.claim(user(), "idn_late", 1000);
      await identities.revoke(claimed.id, ["PROVISIONING"], 1500, "SUSPENDED");
      const bound = await identities.bind(claimed.id, {
        communicationUserId: "8:acs:late",
        revocations: 0,
        tokenIssuedAt: 2000,
      });
      expect(bound).toMatchObject({ status: "SUSPENDED", revocationPending: true, communicationUserId: "8:acs:late" });
    });

    it("takes note of a token only if none were revoked since it was asked for", async () => {
      const { id } = await active();
      expect(await identities.recordIssue(id, 0, 2000)).toMatchObject({ lastTokenIssuedAt: 2000 });
      await identities.revoke(id, ["ACTIVE"], 3000);
      expect(await identities.recordIssue(id, 0, 4000)).toBeUndefined();
      expect(await identities.recordIssue(id, 1, 4000)).toMatchObject({
        lastTokenIssuedAt: 4000,
        tokensValidAfter: 3000,
      });
    });

    it("confirms the last revocation and none before it", async () => {
      const { id } = await active();
      const first = await identities.revoke(id, ["ACTIVE"], 3000);
      const second = await identities.revoke(id, ["ACTIVE"], 3001);
      expect(await identities.confirmRevocation(id, first?.revocations ?? -1)).toBeUndefined();
      expect(await identities.confirmRevocation(id, second?.revocations ?? -1)).toMatchObject({
        revocationPending: false,
      });
    });

    it("changes a status only from the one it was said to have", async () => {
      const { id } = await active();
      expect(await identities.reinstate(id)).toBeUndefined();
      expect(await identities.revoke(id, ["ACTIVE"], 1, "SUSPENDED")).toMatchObject({ status: "SUSPENDED" });
      expect(await identities.revoke(id, ["ACTIVE"], 2, "SUSPENDED")).toBeUndefined();
      expect(await identities.recordIssue(id, 1, 3)).toBeUndefined();
      expect(await identities.reinstate(id)).toMatchObject({ status: "ACTIVE" });
    });

    it("erases user and service id, and gives the same user a new row", async () => {
      const { id, user: who, communicationUserId } = await active();
      expect(await identities.erase(id)).toBeUndefined();
      await identities.revoke(id, ["ACTIVE"], 9, "DELETING");
      expect(await identities.erase(id)).toMatchObject({ status: "DELETED", user: null, communicationUserId: null });
      expect(await identities.findByCommunicationUserId(communicationUserId ?? "")).toBeUndefined();
      const again = await identities.claim(who ?? expect.fail("no user"), "idn_again", 10);
      expect(again.id).toBe("idn_again");
    });

    it("answers nothing for nothing", async () => {
      expect(await identities.findByIds([])).toEqual([]);
      expect(await identities.findByIds(["unknown"])).toEqual([]);
      expect(await identities.findByUsers([])).toEqual([]);
      expect(
        await identities.page({
          filter: { status: [] },
          order: { field: "CREATED_AT", direction: "ASC" },
          limit: 5,
          backward: false,
        }),
      ).toEqual([]);
      expect(await identities.count({ status: [] })).toBe(0);
    });
  });
}
