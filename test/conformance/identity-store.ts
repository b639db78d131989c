import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GatewayError } from "../../src/errors.js";
import { type IdentityFilter, positionOf } from "../../src/identities/identity.js";
import type { IdentityStore } from "../../src/store/identity-store.js";
import type { Store } from "../../src/store/store.js";

export interface OpenedStore {
  readonly store: Store;
  /** Another instance's store on the same database; left out when one process has the database to itself. */
  readonly other?: Store;
  close(): Promise<void>;
}

/** A whole Postgres compiled for the process takes seconds to start where there is little to start it on. */
const SLOW_OPENING_MS = 60_000;

/** What every database behind the identity store must do. */
export function identityStoreConformance(name: string, open: () => Promise<OpenedStore>): void {
  describe(`identity store on ${name}`, () => {
    let opened: OpenedStore;
    let identities: IdentityStore;
    let next = 0;

    beforeAll(async () => {
      opened = await open();
      identities = opened.store.identities;
    }, SLOW_OPENING_MS);
    afterAll(async () => {
      await opened.close();
    });

    const user = (subject = `subject-${next++}`) => ({ issuer: "https://issuer.example.com", subject });
    async function active() {
      const claimed = await identities.claim(user(), `idn_${next}`, 1000);
      const binding = { communicationUserId: `8:acs:${next}`, resource: "r", revocations: 0, tokenIssuedAt: null };
      return (await identities.bind(claimed.id, binding, 1000)) ?? expect.fail("not bound");
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
      const binding = (communicationUserId: string) => ({
        communicationUserId,
        resource: "r",
        revocations: 0,
        tokenIssuedAt: 5,
      });
      const results = await Promise.all(
        ["8:acs:x1", "8:acs:x2", "8:acs:x3"].map((id) => identities.bind(claimed.id, binding(id), 1000)),
      );
      const bound = results.filter((result) => result !== undefined);
      expect(bound).toHaveLength(1);
      expect(bound[0]).toMatchObject({ status: "ACTIVE", lastTokenIssuedAt: 5 });
      expect(await identities.findByCommunicationUserId(bound[0]?.communicationUserId ?? "")).toEqual(bound[0]);
    });

    it("leaves a row suspended that is bound late, with its first token to be revoked", async () => {
      const claimed = await identities.claim(user(), "idn_late", 1000);
      await identities.revoke(claimed.id, ["PROVISIONING"], 1500, "SUSPENDED");
      const binding = { communicationUserId: "8:acs:late", resource: "r", revocations: 0, tokenIssuedAt: 2000 };
      const bound = await identities.bind(claimed.id, binding, 2000);
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

    it("changes a status only from the one it was said to have", async () => {
      const { id } = await active();
      expect(await identities.reinstate(id)).toBeUndefined();
      expect(await identities.revoke(id, ["ACTIVE"], 1, "SUSPENDED")).toMatchObject({ status: "SUSPENDED" });
      expect(await identities.revoke(id, ["ACTIVE"], 2, "SUSPENDED")).toBeUndefined();
      expect(await identities.recordIssue(id, 1, 3)).toBeUndefined();
      expect(await identities.reinstate(id)).toMatchObject({ status: "ACTIVE" });
    });

    it("deletes at once what the service never had", async () => {
      const claimed = await identities.claim(user(), "idn_never_made", 1);
      expect(
        await identities.delete(claimed.id, ["PROVISIONING", "ACTIVE", "SUSPENDED"], 2, () => "hash-1"),
      ).toMatchObject({ status: "DELETED", user: null });
      expect(await identities.findTombstone("hash-1")).toMatchObject({ id: claimed.id });
      expect(await identities.findTombstone("hash-2")).toBeUndefined();
    });

    it("gives up an identity that was lost, once, and only the one that was", async () => {
      const had = await active();
      expect(await identities.disown({ ...had, communicationUserId: "8:acs:other" }, "att_lost_0", 5)).toBeUndefined();
      const lost = await identities.disown(had, "att_lost_1", 5);
      expect(lost).toMatchObject({ status: "PROVISIONING", communicationUserId: null, resource: null, revocations: 1 });
      expect(await identities.disown(had, "att_lost_2", 5)).toBeUndefined();
      expect(await opened.store.attempts.find("att_lost_1")).toMatchObject({ state: "LOST", identityId: had.id });
      expect(await opened.store.attempts.find("att_lost_2")).toBeUndefined();
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

    /** Ids in the order of a list by creation, in one direction, page by page. */
    async function walk(filter: IdentityFilter, direction: "ASC" | "DESC", limit: number, backward = false) {
      const ids: string[] = [];
      let edge: ReturnType<typeof positionOf> | undefined;
      for (;;) {
        const place = backward ? { before: edge } : { after: edge };
        const order = { field: "CREATED_AT", direction } as const;
        const page = await identities.page({ filter, order, limit, backward, ...place });
        const last = backward ? page[0] : page.at(-1);
        if (last === undefined) return ids;
        if (backward) ids.unshift(...page.map(({ id }) => id));
        else ids.push(...page.map(({ id }) => id));
        edge = positionOf(last, "CREATED_AT");
      }
    }

    it("pages over rows of one time by their ids, byte by byte, each row once", async () => {
      const time = 5_000_000_000_000;
      const ids = ["a", "B", "Z", "z", "á", "-", "_", "ab", "a b", "\u{1F600}", "\uFFFD", "ß"].map(
        (id) => `idn_eq_${id}`,
      );
      for (const id of ids) await identities.claim(user(), id, time);
      const inOrder = ids.toSorted((one, another) => Buffer.compare(Buffer.from(one), Buffer.from(another)));
      const filter = { createdSince: time, createdUntil: time + 1 };
      for (const limit of [1, 5, 12]) {
        expect(await walk(filter, "ASC", limit)).toEqual(inOrder);
        expect(await walk(filter, "ASC", limit, true)).toEqual(inOrder);
        expect(await walk(filter, "DESC", limit)).toEqual(inOrder.toReversed());
        expect(await walk(filter, "DESC", limit, true)).toEqual(inOrder.toReversed());
      }
      expect(await identities.count(filter)).toBe(ids.length);
    });

    it("takes a prefix literally: no case, accent or wildcard is made even", async () => {
      const subjects = [
        "P",
        "p",
        "Pa",
        "pa",
        "pA",
        "pá",
        "p%",
        "p_",
        "p\\",
        "p\u{1F600}",
        "p\uFFFD",
        "p'",
        'p"',
        "q",
        "ṕ",
      ];
      for (const subject of subjects) await identities.claim(user(subject), `idn_prefix_${subject}`, 6_000_000);
      const found = async (subjectPrefix: string) => {
        const filter = { subjectPrefix, createdSince: 6_000_000, createdUntil: 6_000_001 };
        const page = { order: { field: "CREATED_AT", direction: "ASC" }, limit: 100, backward: false } as const;
        return (await identities.page({ filter, ...page })).map((identity) => identity.user?.subject).sort();
      };
      for (const prefix of ["p", "P", "pa", "pá", "p%", "p_", "p\\", "p\u{1F600}", "p'", "ṕ", "none"]) {
        expect(await found(prefix)).toEqual(subjects.filter((subject) => subject.startsWith(prefix)).sort());
      }
    });

    it("keeps times to the millisecond, as numbers", async () => {
      const at = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
      const { id } = await identities.claim(user(), "idn_late_time", at);
      await identities.revoke(id, ["PROVISIONING"], at + 1);
      expect(await identities.findByIds([id])).toMatchObject([
        { createdAt: at, tokensValidAfter: at + 1, revocations: 1 },
      ]);
    });

    it("lets a mistake of ours be a mistake: one service identity for two rows", async () => {
      const { communicationUserId } = await active();
      const claimed = await identities.claim(user(), "idn_second", 1);
      const binding = {
        communicationUserId: communicationUserId ?? "",
        resource: "r",
        revocations: 0,
        tokenIssuedAt: null,
      };
      const error: unknown = await identities.bind(claimed.id, binding, 1).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(Error);
      expect(error).not.toBeInstanceOf(GatewayError);
    });

    it("lets two instances claim and bind at the same time: one row, one identity", async ({ skip }) => {
      const { store, other } = opened;
      if (other === undefined) return skip("one process has this database to itself");
      for (let round = 0; round < 10; round++) {
        const who = user();
        const both = [store, other, store, other, store, other];
        const claims = await Promise.all(
          both.map(({ identities: one }, index) => one.claim(who, `idn_both_${round}_${index}`, index)),
        );
        const [id = "", ...rest] = new Set(claims.map((claimed) => claimed.id));
        expect(rest).toEqual([]);
        const bound = await Promise.all(
          both.map(({ identities: one }, index) =>
            one.bind(
              id,
              {
                communicationUserId: `8:acs:both_${round}_${index}`,
                resource: "r",
                revocations: 0,
                tokenIssuedAt: null,
              },
              1,
            ),
          ),
        );
        const [winner, ...others] = bound.filter((result) => result !== undefined);
        expect(others).toEqual([]);
        expect(await other.identities.findByUser(who)).toEqual(winner);
      }
    });
  });
}
