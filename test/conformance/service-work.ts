import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AttemptStore } from "../../src/store/attempt-store.js";
import type { IdentityStore } from "../../src/store/identity-store.js";
import type { WorkStore } from "../../src/store/work-store.js";
import type { OpenedStore } from "./identity-store.js";

const hashUser = ({ subject }: { subject: string }) => `hash of ${subject}`;

/** What every database behind the provisioning attempts and the service work must do. */
export function serviceWorkConformance(name: string, open: () => Promise<OpenedStore>): void {
  describe(`provisioning attempts and service work on ${name}`, () => {
    let opened: OpenedStore;
    let identities: IdentityStore;
    let attempts: AttemptStore;
    let work: WorkStore;
    let next = 0;

    beforeAll(async () => {
      opened = await open();
      ({ identities, attempts, work } = opened.store);
    });
    afterAll(async () => {
      await opened.close();
    });

    const claim = () => identities.claim({ issuer: "https://i.example.com", subject: `s${next}` }, `idn_${next++}`, 1);
    const begin = (identityId: string, id: string, now = 1000) =>
      attempts.begin({ id, identityId, now, leaseUntil: now + 100 });
    const binding = (communicationUserId: string) => ({
      communicationUserId,
      resource: "r",
      revocations: 0,
      tokenIssuedAt: null,
    });
    const lease = (now: number, holder = `holder-${next++}`) => ({ now, until: now + 100, holder });
    /** An identity with a revocation to be carried out. */
    async function revoked() {
      const { id } = await claim();
      await identities.bind(id, binding(`8:acs:${id}`), 1);
      await identities.revoke(id, ["ACTIVE"], 1000);
      return { id, communicationUserId: `8:acs:${id}` };
    }
    const statusOf = async (id: string) => (await identities.findByIds([id]))[0];

    describe("attempts", () => {
      it("let one run for a row at a time, whoever comes first", async () => {
        const { id } = await claim();
        const begun = await Promise.all(Array.from({ length: 10 }, (_, index) => begin(id, `att_race_${index}`)));
        expect(begun.filter(Boolean)).toHaveLength(1);
        expect(await attempts.findRunning(id, 1050)).toMatchObject({ state: "RUNNING", identityId: id });
        expect(await begin((await claim()).id, "att_other")).toBe(true);
      });

      it("give way where the lease was given by a clock that has been set back since", async () => {
        const { id } = await claim();
        await begin(id, "att_ahead", 1_000_000);
        expect(await attempts.findRunning(id, 750_000)).toMatchObject({ id: "att_ahead" });
        expect(await begin(id, "att_early", 750_000)).toBe(false);
        expect(await attempts.findRunning(id, 690_000)).toBeUndefined();
        expect(await begin(id, "att_after", 690_000)).toBe(true);
        expect(await attempts.find("att_ahead")).toMatchObject({ state: "IN_DOUBT" });
        const late = { id: "att_ahead", identityId: id };
        expect(await attempts.succeed(late, binding("8:acs:ahead"), 690_010)).toBeUndefined();
        expect(await work.find("8:acs:ahead")).toMatchObject({ action: "DELETE", identityId: null });
      });

      it("bind the identity that was made", async () => {
        const { id } = await claim();
        await begin(id, "att_bind");
        const bound = await attempts.succeed({ id: "att_bind", identityId: id }, binding("8:acs:bind"), 1010);
        expect(bound).toMatchObject({ status: "ACTIVE", communicationUserId: "8:acs:bind", resource: "r" });
        expect(await attempts.find("att_bind")).toMatchObject({ state: "BOUND", endedAt: 1010 });
        expect(await begin(id, "att_bind_2")).toBe(true);
      });

      it("may be told twice of their success", async () => {
        const { id } = await claim();
        await begin(id, "att_twice");
        const attempt = { id: "att_twice", identityId: id };
        const bound = await attempts.succeed(attempt, binding("8:acs:twice"), 1010);
        expect(await attempts.succeed(attempt, binding("8:acs:twice"), 1011)).toEqual(bound);
        expect(await work.find("8:acs:twice")).toBeUndefined();
        expect(await attempts.find("att_twice")).toMatchObject({ state: "BOUND" });
      });

      it("release the row when the service surely made nothing, with what they failed with", async () => {
        const { id } = await claim();
        await begin(id, "att_release");
        await attempts.fail(
          "att_release",
          "RELEASED",
          { errorCode: "UPSTREAM_UNAVAILABLE", retryAfterSeconds: 7 },
          1020,
        );
        expect(await attempts.find("att_release")).toMatchObject({
          state: "RELEASED",
          errorCode: "UPSTREAM_UNAVAILABLE",
          retryAfterSeconds: 7,
        });
        expect(await attempts.findRunning(id, 1030)).toBeUndefined();
        expect(await begin(id, "att_release_2")).toBe(true);
      });

      it("are in doubt when their lease runs out, and give way to the next", async () => {
        const { id } = await claim();
        const before = await attempts.countInDoubt(1100);
        await begin(id, "att_dead", 1000);
        expect(await begin(id, "att_early", 1099)).toBe(false);
        expect(await begin(id, "att_next", 1100)).toBe(true);
        expect(await attempts.find("att_dead")).toMatchObject({ state: "IN_DOUBT", endedAt: 1100 });
        expect(await attempts.countInDoubt(1101)).toBe(before + 1);
        expect(await attempts.inDoubt(100, 1101)).toContainEqual(expect.objectContaining({ id: "att_dead" }));
      });

      it("give what came after their lease to the clean-up, and keep the row for the next", async () => {
        const { id } = await claim();
        await begin(id, "att_slow", 1000);
        await begin(id, "att_quick", 1200);
        expect(await attempts.succeed({ id: "att_quick", identityId: id }, binding("8:acs:quick"), 1210)).toBeDefined();
        expect(await attempts.succeed({ id: "att_slow", identityId: id }, binding("8:acs:slow"), 1220)).toBeUndefined();
        expect(await attempts.find("att_slow")).toMatchObject({ state: "SURPLUS" });
        expect(await statusOf(id)).toMatchObject({ communicationUserId: "8:acs:quick" });
        expect(await work.find("8:acs:slow")).toMatchObject({ action: "DELETE", identityId: null });
      });

      it("give what was made for a row deleted meanwhile to the clean-up", async () => {
        const { id } = await claim();
        await begin(id, "att_deleted");
        await identities.delete(id, ["PROVISIONING", "ACTIVE"], 1001, hashUser);
        expect(
          await attempts.succeed({ id: "att_deleted", identityId: id }, binding("8:acs:deleted"), 1002),
        ).toBeUndefined();
        expect(await work.find("8:acs:deleted")).toMatchObject({ action: "DELETE", identityId: null });
      });

      it("ask for the revocation of a first token that was revoked before it came", async () => {
        const { id } = await claim();
        await begin(id, "att_revoked");
        await identities.revoke(id, ["PROVISIONING"], 1001, "SUSPENDED");
        const bound = await attempts.succeed({ id: "att_revoked", identityId: id }, binding("8:acs:revoked"), 1002);
        expect(bound).toMatchObject({ status: "SUSPENDED", revocationPending: true });
        expect(await work.find("8:acs:revoked")).toMatchObject({ action: "REVOKE", identityId: id });
      });
    });

    describe("work", () => {
      it("is asked for with the change that makes it necessary, and confirmed in the row when it is done", async () => {
        const { id, communicationUserId } = await revoked();
        const held = lease(1000);
        const leased = (await work.lease(communicationUserId, held)) ?? expect.fail("nothing to do");
        expect(leased).toMatchObject({ action: "REVOKE", identityId: id, tries: 0 });
        expect(await statusOf(id)).toMatchObject({ revocationPending: true });
        expect(await work.complete(leased, held, hashUser)).toBe(true);
        expect(await statusOf(id)).toMatchObject({ revocationPending: false });
        expect(await work.find(communicationUserId)).toBeUndefined();
      });

      it("for an identity that was lost says nothing of the one that came after it", async () => {
        const { id, communicationUserId } = await revoked();
        const held = lease(1000);
        const leased = (await work.lease(communicationUserId, held)) ?? expect.fail("nothing to do");
        await identities.disown((await statusOf(id)) ?? expect.fail("no row"), `att_lost_${id}`, 1001);
        await identities.bind(id, { ...binding(`8:acs:next-${id}`), revocations: 2 }, 1001);
        await identities.revoke(id, ["ACTIVE"], 1002);
        expect(await work.complete(leased, held, hashUser)).toBe(true);
        expect(await statusOf(id)).toMatchObject({ revocationPending: true });
      });

      it("is held by one at a time, until the lease runs out", async () => {
        const { communicationUserId } = await revoked();
        const held = await Promise.all(Array.from({ length: 5 }, () => work.lease(communicationUserId, lease(1000))));
        expect(held.filter((one) => one !== undefined)).toHaveLength(1);
        expect(await work.lease(communicationUserId, lease(1099))).toBeUndefined();
        expect(await work.lease(communicationUserId, lease(1100))).toBeDefined();
      });

      it("goes to another where a clock has been set back since it was leased, or was to be tried again", async () => {
        const { communicationUserId } = await revoked();
        const ahead = lease(1_000_000);
        expect(await work.lease(communicationUserId, ahead)).toBeDefined();
        expect(await work.lease(communicationUserId, lease(750_000))).toBeUndefined();
        const held = lease(690_000);
        const leased = (await work.lease(communicationUserId, held)) ?? expect.fail("still held");
        expect(await work.complete(leased, ahead, hashUser)).toBe(false);
        await work.giveBack(leased, held.holder, 1_000_000, "the service said no");
        expect(await work.lease(communicationUserId, lease(750_000))).toBeUndefined();
        const again = lease(690_000);
        const due = (await work.lease(communicationUserId, again)) ?? expect.fail("not due");
        expect(due).toMatchObject({ communicationUserId, tries: 1 });
        expect(await work.complete(due, again, hashUser)).toBe(true);
      });

      it("stays to be done when it was asked for again while it was under way", async () => {
        const { id, communicationUserId } = await revoked();
        const held = lease(1000);
        const leased = (await work.lease(communicationUserId, held)) ?? expect.fail("nothing to do");
        await identities.revoke(id, ["ACTIVE"], 1050);
        expect(await work.complete(leased, held, hashUser)).toBe(false);
        expect(await statusOf(id)).toMatchObject({ revocationPending: true });
        await work.giveBack(leased ?? expect.fail("no lease"), held.holder, 1060, null);
        expect(await work.lease(communicationUserId, lease(1060))).toMatchObject({ tries: 0 });
      });

      it("is asked for and completed at the same time without the two waiting for each other", async () => {
        const { id, communicationUserId } = await revoked();
        const doer = (opened.other ?? opened.store).work;
        const carryOut = async (now: number) => {
          const held = lease(now);
          const leased = await doer.lease(communicationUserId, held);
          if (leased && !(await doer.complete(leased, held, hashUser))) {
            await doer.giveBack(leased ?? expect.fail("no lease"), held.holder, now, null);
          }
        };
        for (let now = 2000; now < 62_000; now += 1000) {
          await Promise.all([
            carryOut(now),
            identities.revoke(id, ["ACTIVE"], now),
            identities.revoke(id, ["ACTIVE"], now),
          ]);
        }
        await carryOut(70_000);
        expect(await statusOf(id)).toMatchObject({ revocationPending: false });
      });

      it("is not completed by one who has lost the lease", async () => {
        const { id, communicationUserId } = await revoked();
        const slow = lease(1000);
        const leased = (await work.lease(communicationUserId, slow)) ?? expect.fail("nothing to do");
        const quick = lease(1100);
        const again = (await work.lease(communicationUserId, quick)) ?? expect.fail("nothing to do");
        expect(await work.complete(leased, slow, hashUser)).toBe(false);
        expect(await work.complete(again, quick, hashUser)).toBe(true);
        await identities.revoke(id, ["ACTIVE"], 1200);
        expect(await work.complete(leased, slow, hashUser)).toBe(false);
        expect(await statusOf(id)).toMatchObject({ revocationPending: true });
      });

      it("is not asked for when a deletion is not allowed from the row's status", async () => {
        const { id, communicationUserId } = await revoked();
        await identities.revoke(id, ["ACTIVE"], 1001, "SUSPENDED");
        expect(await identities.delete(id, ["PROVISIONING", "ACTIVE"], 1002, hashUser)).toBeUndefined();
        expect(await work.find(communicationUserId)).toMatchObject({ action: "REVOKE" });
      });

      it("that has failed waits its time though it is asked for again, unless it becomes a deletion", async () => {
        const { id, communicationUserId } = await revoked();
        const held = lease(1000);
        const leased = (await work.lease(communicationUserId, held)) ?? expect.fail("nothing to do");
        await work.giveBack(leased, held.holder, 9000, "the service asked for fewer calls");
        await identities.revoke(id, ["ACTIVE"], 1100);
        expect(await work.lease(communicationUserId, lease(1100))).toBeUndefined();
        expect(await work.find(communicationUserId)).toMatchObject({ nextTryAt: 9000, tries: 1 });
        await identities.delete(id, ["ACTIVE"], 1200, hashUser);
        const deletion = { action: "DELETE", tries: 0, lastError: null };
        expect(await work.lease(communicationUserId, lease(1200))).toMatchObject(deletion);
      });

      it("that fails as it becomes a deletion does not put that off, which was never tried", async () => {
        const { id, communicationUserId } = await revoked();
        const held = lease(1000);
        const leased = (await work.lease(communicationUserId, held)) ?? expect.fail("nothing to do");
        await identities.delete(id, ["ACTIVE"], 1100, hashUser);
        await work.giveBack(leased, held.holder, 9000, "the service asked for fewer calls");
        const deletion = { action: "DELETE", tries: 0, lastError: null };
        expect(await work.lease(communicationUserId, lease(1200))).toMatchObject(deletion);
      });

      it("has revoked what was issued until it is done: no token is handed out meanwhile", async () => {
        const { id, communicationUserId } = await revoked();
        const held = lease(2000);
        const leased = (await work.lease(communicationUserId, held)) ?? expect.fail("nothing to do");
        expect(await work.complete(leased, held, hashUser)).toBe(true);
        expect(await statusOf(id)).toMatchObject({ revocationPending: false, tokensValidAfter: 2000 });
      });

      it("becomes a deletion and never a revocation again", async () => {
        const { id, communicationUserId } = await revoked();
        await identities.delete(id, ["PROVISIONING", "ACTIVE"], 1001, hashUser);
        expect(await work.find(communicationUserId)).toMatchObject({ action: "DELETE" });
        await work.request({ communicationUserId, action: "REVOKE", identityId: id, resource: "r" }, 1002);
        expect(await work.find(communicationUserId)).toMatchObject({ action: "DELETE" });
      });

      it("erases user and service id when a deletion is done, and lets the user come back", async () => {
        const { id, communicationUserId } = await revoked();
        const { user } = (await statusOf(id)) ?? expect.fail("no row");
        await identities.delete(id, ["PROVISIONING", "ACTIVE"], 1001, hashUser);
        expect(await statusOf(id)).toMatchObject({ status: "DELETING", user });
        const held = lease(1001);
        const leased = (await work.lease(communicationUserId, held)) ?? expect.fail("nothing to do");
        expect(await work.complete(leased, held, hashUser)).toBe(true);
        expect(await statusOf(id)).toMatchObject({
          status: "DELETED",
          user: null,
          communicationUserId: null,
          resource: null,
        });
        expect(await identities.findTombstone(hashUser(user ?? expect.fail("no user")))).toMatchObject({ id });
        expect((await identities.claim(user ?? expect.fail("no user"), "idn_back", 2000)).id).toBe("idn_back");
      });

      it("that is due longest is done first, and what was given back waits its time", async () => {
        for (const held of [lease(5000), lease(5000), lease(5000)]) {
          for (let found = await work.leaseDue(held); found; found = await work.leaseDue(held))
            await work.complete(found, held, hashUser);
        }
        await work.request(
          { communicationUserId: "8:acs:second", action: "DELETE", identityId: null, resource: "r" },
          6001,
        );
        await work.request(
          { communicationUserId: "8:acs:first", action: "DELETE", identityId: null, resource: "r" },
          6000,
        );
        const held = lease(6002);
        const first = (await work.leaseDue(held)) ?? expect.fail("nothing due");
        expect(first.communicationUserId).toBe("8:acs:first");
        await work.giveBack(first, held.holder, 7000, "the service said no");
        const second = (await work.leaseDue(held)) ?? expect.fail("nothing due");
        expect(second.communicationUserId).toBe("8:acs:second");
        await work.complete(second, held, hashUser);
        expect(await work.leaseDue(lease(6003))).toBeUndefined();
        const later = lease(7000);
        const third = (await work.leaseDue(later)) ?? expect.fail("nothing due");
        expect(third).toMatchObject({ tries: 1, lastError: "the service said no" });
        await work.giveBack(third, later.holder, 1_000_000, "the service said no");
        expect(await work.leaseDue(lease(750_000))).toBeUndefined();
        // By a clock that has been set back since.
        expect(await work.leaseDue(lease(690_000))).toMatchObject({ tries: 2 });
        expect(await work.pending(10)).toHaveLength(await work.count());
      });
    });
  });
}
