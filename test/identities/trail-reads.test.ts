import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import type { AuditFeed } from "../../src/audit/feed.js";
import { GatewayError } from "../../src/errors.js";
import { AuditAccess } from "../../src/identities/audit-access.js";
import { TrailReads } from "../../src/identities/trail-reads.js";
import type { Call } from "../../src/policy/call.js";
import type { AuditReader } from "../../src/store/audit-reader.js";

/** A trail without records, which says when a read begins and when it ends. */
function trail() {
  const seen: string[] = [];
  const read =
    <Result>(name: string, result: Result) =>
    async () => {
      seen.push(`${name} begins`);
      await setImmediate();
      seen.push(`${name} ends`);
      return result;
    };
  const reader = { page: read("page", []), count: read("count", 0) };
  return { seen, reader: reader as unknown as AuditReader };
}

const page = (limit: number) => ({ filter: { identityId: "idn_1", phase: undefined }, limit, backward: false });

it("reads the same once, and what differs one after the other", async () => {
  const { seen, reader } = trail();
  const reads = new TrailReads(reader, { aborted: false });
  await Promise.all([
    reads.page(page(1)),
    reads.page({ filter: { identityId: "idn_1" }, limit: 1, backward: false }),
    reads.count({ identityId: "idn_1" }, 10),
    reads.count({ identityId: "idn_1" }, 10),
    reads.page(page(2)),
  ]);
  const once = (name: string) => [`${name} begins`, `${name} ends`];
  expect(seen).toEqual([...once("page"), ...once("count"), ...once("page")]);
});

it("gives others a turn of the event loop before each", async () => {
  const { seen, reader } = trail();
  const reads = new TrailReads({ ...reader, page: async () => seen.push("page") } as unknown as AuditReader, {
    aborted: false,
  });
  const all = Promise.all([reads.page(page(1)), reads.page(page(2))]);
  while (seen.length === 0) await setImmediate();
  seen.push("another");
  await all;
  expect(seen).toEqual(["page", "another", "page"]);
});

it("begins none once the time is up, and one that fails does not keep the next from being read", async () => {
  const { seen, reader } = trail();
  const deadline = { aborted: false };
  const failing = { ...reader, count: () => Promise.reject(new Error("away")) } as unknown as AuditReader;
  const reads = new TrailReads(failing, deadline);
  const [counted, first] = [reads.count({}, 10), reads.page(page(1))];
  await expect(counted).rejects.toThrow("away");
  await first;
  deadline.aborted = true;
  await expect(reads.page(page(2))).rejects.toThrow(new GatewayError("DEADLINE_EXCEEDED", "The request's time is up."));
  expect(seen).toEqual(["page begins", "page ends"]);
});

it("ends a plot of many parts when the time is up", async () => {
  const deadline = { aborted: false };
  let parts = 0;
  const reader = {
    atOffset: async (from: number) => from + 10,
    activity: async () => {
      parts += 1;
      if (parts === 3) deadline.aborted = true;
      return new Map();
    },
  };
  const reads = new TrailReads(reader as unknown as AuditReader, deadline);
  await expect(reads.activity({ since: 0, until: 1000, bucket: "HOUR" })).rejects.toMatchObject({
    code: "DEADLINE_EXCEEDED",
  });
  expect(parts).toBe(3);
});

it("is one for all that a call reads, and no other's", async () => {
  const { seen, reader } = trail();
  const access = new AuditAccess({ trail: reader, feed: {} as AuditFeed, maxAgeMs: null, now: Date.now });
  const callOf = () =>
    ({
      entitlements: { permissions: new Set(["AUDIT_READ"]), scopes: new Map() },
      deadline: { aborted: false },
    }) as unknown as Call;
  const [one, other] = [callOf(), callOf()];
  await Promise.all([access.events(one, page(1)), access.events(one, page(1)), access.countEvents(one, {})]);
  expect(seen).toEqual(["page begins", "page ends", "count begins", "count ends"]);
  await access.events(other, page(1));
  expect(seen).toHaveLength(6);
});
