import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { AuditFilter, AuditPosition } from "../../src/audit/query.js";
import { AUDIT_ACTIONS, type AuditAction, type AuditRecord, recordId } from "../../src/audit/record.js";
import { TrailReads } from "../../src/identities/trail-reads.js";
import type { AuditReader } from "../../src/store/audit-reader.js";
import { TestWriter } from "../fixtures/audit.js";
import type { OpenedStore } from "./identity-store.js";

const SLOW_OPENING_MS = 60_000;
const FREQUENT: AuditAction[] = ["TOKEN_ISSUED", "TOKEN_REUSED", "TOKEN_REFUSED", "TOKENS_REVOKED"];
const COUNT = 1203;

const user = (number: number) => ({ issuer: `https://i${number % 2}.example.com`, subject: `user-${number % 5}` });
const newestFirst = (one: AuditRecord, other: AuditRecord) =>
  other.at - one.at || (recordId(one) < recordId(other) ? 1 : -1);

/** What every database behind the audit trail must answer. */
export function auditReaderConformance(name: string, open: () => Promise<OpenedStore>): void {
  describe(`audit reader on ${name}`, () => {
    let opened: OpenedStore;
    let reader: AuditReader;
    let all: AuditRecord[];

    beforeAll(async () => {
      opened = await open();
      reader = opened.store.auditReader;
      const writers = [new TestWriter("Bw"), new TestWriter("aw"), new TestWriter("-w")];
      for (let number = 0; number < COUNT; number++) {
        // Several in each millisecond, so that only ids tell them apart.
        writers[number % 3]?.add(60_000 + Math.floor(number / 7), {
          action: (number % 13 === 0 ? AUDIT_ACTIONS[number % 9] : FREQUENT[number % 4]) ?? "TOKEN_ISSUED",
          phase: number % 11 === 0 ? "INTENT" : "OUTCOME",
          identityId: number % 6 === 5 ? null : `idn_${number % 6}`,
          actor: number % 9 === 8 ? null : user(number),
          tokenFingerprint: number % 4 < 2 ? `fp_${number % 12}` : null,
          scopes: number % 4 < 2 ? ["CHAT", "VOIP"] : null,
          tokenExpiresOn: number % 4 < 2 ? 5_000_000 + number : null,
          reason: number % 4 === 3 ? "lost phone" : null,
        });
      }
      for (const writer of writers) await writer.appendTo(opened.store.audit);
      all = writers.flatMap(({ records }) => records).sort(newestFirst);
    }, SLOW_OPENING_MS);
    afterAll(async () => {
      await opened.close();
    });

    const passes = (record: AuditRecord, filter: AuditFilter) =>
      (filter.action?.includes(record.action) ?? true) &&
      (filter.phase ?? record.phase) === record.phase &&
      (filter.identityId ?? record.identityId) === record.identityId &&
      (filter.tokenFingerprint ?? record.tokenFingerprint) === record.tokenFingerprint &&
      (filter.actor === undefined || JSON.stringify(filter.actor) === JSON.stringify(record.actor)) &&
      record.at >= (filter.since ?? 0) &&
      record.at < (filter.until ?? Number.MAX_SAFE_INTEGER);
    const position = (record: AuditRecord | undefined): AuditPosition =>
      record ? { value: record.at, id: recordId(record) } : expect.fail("no record to go on from");

    const filters: AuditFilter[] = [
      {},
      { action: ["TOKEN_REFUSED"] },
      { action: ["TOKENS_REVOKED", "TOKEN_ISSUED", "TOKENS_REVOKED"] },
      { action: [] },
      { identityId: "idn_2" },
      { identityId: "idn_2", action: ["TOKEN_ISSUED", "TOKEN_REFUSED"], phase: "OUTCOME" },
      { identityId: "idn_4", action: ["TOKEN_ISSUED"], phase: "OUTCOME" },
      { identityId: "idn_2", phase: "INTENT" },
      { identityId: "idn_none" },
      { phase: "INTENT" },
      { phase: "OUTCOME", since: 60_050, until: 60_090 },
      { actor: user(3) },
      { actor: user(3), phase: "OUTCOME" },
      { actor: user(3), identityId: "idn_3" },
      { actor: user(3), action: ["TOKEN_REUSED", "TOKENS_REVOKED"] },
      { actor: user(3), action: ["TOKEN_REUSED"], phase: "INTENT" },
      { identityId: "idn_2", action: ["TOKEN_REFUSED"] },
      { actor: user(3), identityId: "idn_3", action: ["TOKENS_REVOKED"] },
      { actor: { issuer: user(3).issuer, subject: "USER-3" } },
      { tokenFingerprint: "fp_4" },
      { tokenFingerprint: "fp_4", identityId: "idn_4", actor: user(4) },
      { since: 60_050, until: 60_060 },
      { since: 60_050, until: 60_060, action: ["TOKEN_ISSUED", "TOKEN_REUSED"] },
      { since: 60_060, until: 60_050 },
    ];

    it.each(filters)(
      "pages forward and backward through all that a filter lets through, each once: %j",
      async (filter) => {
        const expected = all.filter((record) => passes(record, filter));
        expect(await reader.count(filter, COUNT)).toBe(expected.length);
        for (const backward of [false, true]) {
          const walked: AuditRecord[] = [];
          for (let rest: object = {}; ; ) {
            const page = await reader.page({ filter, limit: 61, backward, ...rest });
            walked[backward ? "unshift" : "push"](...page);
            if (page.length < 61) break;
            rest = backward ? { before: position(page[0]) } : { after: position(page.at(-1)) };
          }
          expect(walked).toEqual(expected.map((record) => ({ id: recordId(record), ...record })));
        }
      },
    );

    it("counts no further than it is told to, and then says that there is more", async () => {
      expect(await reader.count({}, COUNT - 1)).toBe(COUNT);
      expect(await reader.count({}, 100)).toBe(101);
      expect(await reader.count({ actor: user(3), action: ["TOKEN_REUSED"] }, 5)).toBe(6);
    });

    it("keeps a page between after and before, and inside the filter's times whatever they say", async () => {
      const [after, before] = [position(all[10]), position(all[20])];
      const ids = async (filter: AuditFilter) =>
        (await reader.page({ filter, limit: 100, backward: false, after, before })).map(({ id }) => id);
      expect(await ids({})).toEqual(all.slice(11, 20).map(recordId));
      const until = all[15]?.at ?? 0;
      expect(await ids({ until })).toEqual(
        all
          .slice(11, 20)
          .filter(({ at }) => at < until)
          .map(recordId),
      );
      expect(await ids({ since: (all[10]?.at ?? 0) + 1 })).toEqual([]);
    });

    it("finds by id what there is", async () => {
      const wanted = [all[3], all[700]].map((record) => recordId(record ?? expect.fail("too few")));
      const found = await reader.findByIds([...wanted, "aud_none_000000000001"]);
      expect(found.map(({ id }) => id).sort()).toEqual([...wanted].sort());
      expect(await reader.findByIds([])).toEqual([]);
    });

    it("counts outcomes by bucket in UTC, from since on and before until", async () => {
      const [since, until] = [60_003, 60_100];
      const counted = all.filter(({ at, phase }) => phase === "OUTCOME" && at >= since && at < until);
      const of = (action: AuditAction) => counted.filter((record) => record.action === action).length;
      const counts = {
        issued: of("TOKEN_ISSUED"),
        reused: of("TOKEN_REUSED"),
        refused: of("TOKEN_REFUSED"),
        revoked: of("TOKENS_REVOKED"),
      };
      expect(counts.issued).toBeGreaterThan(0);
      expect([...(await reader.activity({ since, until, bucket: "MINUTE" }))]).toEqual([[60_000, counts]]);
      expect([...(await reader.activity({ since, until, bucket: "HOUR" }))]).toEqual([[0, counts]]);
      expect(await reader.activity({ since: 0, until: 60_000, bucket: "MINUTE" })).toEqual(new Map());
    });

    it.each([3, 100, 5000])("counts the same in parts of %i records", async (inOne) => {
      const query = { since: 60_003, until: 61_000, bucket: "MINUTE" } as const;
      const activity = vi.fn(reader.activity.bind(reader));
      const atOffset = (from: number, until: number) => reader.atOffset(from, until, inOne);
      const reads = new TrailReads({ activity, atOffset } as unknown as AuditReader, { aborted: false });
      expect(await reads.activity(query)).toEqual(await reader.activity(query));
      expect(activity.mock.calls.length > 1).toBe(inOne < 1000);
    });

    it("walks every writer's chain in its order, one after the other, over any number of batches", async () => {
      const walked: AuditRecord[] = [];
      for await (const { records } of reader.walk()) {
        walked.push(...records.map(({ record }) => record ?? expect.fail("a record of ours is not taken for one")));
      }
      const byId = [...all].sort((one, other) => (recordId(one) < recordId(other) ? -1 : 1));
      expect(walked.map(({ hash }) => hash)).toEqual(byId.map(({ hash }) => hash));
      const rest: string[] = [];
      const from = recordId(byId[1000] ?? expect.fail("too few"));
      for await (const { records } of reader.walk(from)) rest.push(...records.map(({ id }) => id));
      expect(rest).toEqual(byId.slice(1001).map(recordId));
    });
  });
}
