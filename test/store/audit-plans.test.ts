import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { CompiledQuery, type Dialect, Kysely, PGliteDialect, sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { AuditFeed } from "../../src/audit/feed.js";
import { type AuditFilter, type AuditPageQuery, TOKENS } from "../../src/audit/query.js";
import { Deadline } from "../../src/deadline.js";
import { AuditAccess } from "../../src/identities/audit-access.js";
import type { Call } from "../../src/policy/call.js";
import { AuditListing } from "../../src/store/audit-listing.js";
import { AuditReader } from "../../src/store/audit-reader.js";
import { AuditStore } from "../../src/store/audit-store.js";
import { AuditTail } from "../../src/store/audit-tail.js";
import { openSqlite } from "../../src/store/dialect-sqlite.js";
import { migrate } from "../../src/store/migrations.js";
import type { Tables } from "../../src/store/tables.js";

const ROWS = 50_000;
/** Statements by which a place in a chain of so many is found: its ends, and by halves. */
const HALVES = 2 + Math.ceil(Math.log2(ROWS));
/** What a sort may have to do: a page for each action, merged. */
const SMALL = 1000;

const actor = { issuer: "https://i.example.com", subject: "user-7" };
const identityId = "idn_7";
const action = ["TOKEN_ISSUED", "TOKEN_REFUSED"] as const;
const filters: AuditFilter[] = [
  {},
  { action: ["TOKEN_ISSUED"] },
  { action: ["TOKENS_REVOKED"] },
  { action },
  { phase: "OUTCOME", identityId },
  { phase: "OUTCOME", actor },
  { phase: "INTENT", actor, identityId },
  { identityId },
  { identityId, action },
  { identityId, ...TOKENS },
  { actor },
  { actor, action },
  { actor, action: ["TOKENS_REVOKED"] },
  { actor, identityId },
  { actor, identityId, action },
  { tokenFingerprint: "fp_7" },
  { tokenFingerprint: "fp_7", identityId, actor, action },
];
/** Those that an index is for as they are, so that no record of another action or phase is passed by, with its name. */
const exact: [string, AuditFilter][] = [
  ["audit_events_identity_action", { identityId }],
  ["audit_events_identity_action", { identityId, phase: "OUTCOME" }],
  ["audit_events_identity_action", { identityId, ...TOKENS }],
  ["audit_events_identity_action", { identityId, action: ["TOKENS_REVOKED"] }],
  ["audit_events_identity_action", { identityId, action }],
  ["audit_events_actor_action", { actor }],
  ["audit_events_actor_action", { actor, phase: "INTENT" }],
  ["audit_events_actor_action", { actor, action: ["TOKEN_REFUSED"] }],
  ["audit_events_actor_action", { actor, action }],
];
const times = [{}, { since: 1_000_000 }, { until: 40_000_000 }, { since: 1_000_000, until: 40_000_000 }];
const position = { value: 30_000_000, id: "aud_w_000000030000" };
const ranges = [
  { backward: false },
  { backward: true },
  { backward: false, after: position },
  { backward: true, before: position },
];
const pages: AuditPageQuery[] = filters.flatMap((filter) =>
  times.flatMap((time) => ranges.map((range) => ({ filter: { ...filter, ...time }, limit: 101, ...range }))),
);

const auditor: Call = {
  requestId: "req",
  client: { name: null, version: null },
  caller: { issuer: actor.issuer, subject: "auditor", claims: {}, senderConstraint: null },
  entitlements: { permissions: new Set(["AUDIT_READ"]), scopes: new Map() },
  deadline: new Deadline(60_000),
  quotas: [],
};

/** Runs what the reader would run and answers the statements that it consists of. */
class Spy {
  readonly #queries: CompiledQuery[] = [];
  readonly database: Kysely<Tables>;
  readonly reader: AuditReader;
  readonly listing: AuditListing;
  readonly store: AuditStore;
  readonly tail: AuditTail;

  constructor(dialect: Dialect) {
    this.database = new Kysely<Tables>({ dialect, log: ({ query }) => void this.#queries.push(query) });
    this.reader = new AuditReader(this.database);
    this.listing = new AuditListing(this.database, true);
    this.store = new AuditStore(this.database, this.listing);
    this.tail = new AuditTail(this.database);
  }

  async fill(): Promise<void> {
    await migrate(this.database);
    await sql`
      insert into audit_events (id, writer, sequence, at, action, phase, identity_id, actor_issuer, actor_subject,
        actor_commitment, token_fingerprint, reason_commitment, request_id, hash)
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ${sql.lit(ROWS)})
      select 'aud_w_' || substr('000000000000', 1, 12 - length(cast(i as text))) || i, 'w', i, i * 1000,
        case i % 50 when 1 then 'IDENTITY_PROVISIONED' when 2 then 'IDENTITY_SUSPENDED' when 3 then 'IDENTITY_REINSTATED'
          when 4 then 'IDENTITY_DELETED' when 6 then 'TEAMS_TOKEN_EXCHANGED' else
        case when i % 100 = 0 then 'TOKENS_REVOKED' when i % 3 = 0 then 'TOKEN_REUSED' when i % 7 = 0 then 'TOKEN_REFUSED'
          else 'TOKEN_ISSUED' end end,
        case when i % 5 = 0 then 'INTENT' else 'OUTCOME' end, 'idn_' || (i % 1000), 'https://i.example.com', 'user-' || (i % 1000), 'c', 'fp_' || (i % 20000), 'c', 'r', 'h'
      from n`.execute(this.database);
    await sql`
      insert into audit_dropped (writer, line)
      with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
      select 'w' || i, 'line' from n`.execute(this.database);
    await sql`analyze`.execute(this.database);
  }

  /** What there is to be done with records beside reading them. */
  works(): (() => Promise<unknown>)[] {
    return [
      () => this.listing.count(),
      () => this.listing.list(5),
      () => this.listing.listThose(sql`identity_id = ${identityId}`),
      () => this.listing.listThose(sql`actor_issuer = ${actor.issuer} and actor_subject = ${actor.subject}`),
      () => this.listing.listThose(sql`token_fingerprint = 'fp_7'`),
      () => this.store.eraseActor(actor, identityId),
      () => this.store.eraseAbout(identityId, () => true),
      () => this.store.eraseAbout(identityId, () => true, { action: "TOKEN_ISSUED", phase: "OUTCOME", at: 1, id: "" }),
    ];
  }

  async explain(prefix: string, work: () => Promise<unknown>): Promise<Record<string, unknown>[]> {
    this.#queries.length = 0;
    await work();
    const plans: Record<string, unknown>[] = [];
    for (const query of this.#queries.splice(0)) {
      const explained = CompiledQuery.raw(`${prefix} ${query.sql}`, [...query.parameters]);
      plans.push(...((await this.database.executeQuery(explained)).rows as Record<string, unknown>[]));
    }
    return plans;
  }
}

interface PlanNode {
  readonly "Index Name"?: string;
  readonly Filter?: string;
  readonly "Node Type": string;
  readonly "Plan Rows": number;
  readonly Plans?: readonly PlanNode[];
}

/** Steps that would take longer the longer the trail is: scans of everything, and sorts of more than a few pages. */
function longSteps(node: PlanNode): string[] {
  const { "Node Type": type, "Plan Rows": rows, Plans = [] } = node;
  const isLong = type === "Seq Scan" || (type.endsWith("Sort") && rows > SMALL);
  return [...(isLong ? [`${type} of ${rows}`] : []), ...Plans.flatMap(longSteps)];
}

/** What is read, by which index, and what is passed by on the way. */
function scansOf(node: PlanNode): { index: string; filter: string | undefined }[] {
  const { "Index Name": index, Filter: filter, Plans = [] } = node;
  const own = node["Node Type"].includes("Scan") && index !== undefined ? [{ index, filter }] : [];
  return [...own, ...Plans.flatMap(scansOf)];
}

describe("reading the trail on Postgres", () => {
  const spy = new Spy(new PGliteDialect({ pglite: new PGlite() }));
  beforeAll(() => spy.fill(), 60_000);
  afterAll(() => spy.database.destroy());

  const planOf = async (work: () => Promise<unknown>) => {
    const plans = await spy.explain("explain (format json)", work);
    expect(plans.length).toBeGreaterThan(0);
    return plans.map((row) => (row["QUERY PLAN"] as { Plan: PlanNode }[])[0]?.Plan ?? expect.fail("no plan"));
  };

  it("goes along an index for every filter, time and direction, and sorts a few pages at most", async () => {
    for (const query of pages) {
      const steps = (await planOf(() => spy.reader.page(query))).flatMap(longSteps);
      expect({ query, steps }).toEqual({ query, steps: [] });
    }
  });

  it.each(exact)("reads and counts from %s nothing but what the filter lets through: %j", async (index, filter) => {
    const works = [
      ...ranges.map((range) => () => spy.reader.page({ filter, limit: 101, ...range })),
      () => spy.reader.count(filter, 100_000),
    ];
    for (const work of works) {
      const all = (await planOf(work)).flatMap(scansOf);
      // Of a merge the indexes tell which records those are.
      const scans = all.filter((scan) => scan.index !== "audit_events_pkey");
      expect(scans.length).toBeGreaterThan(0);
      expect(all.length - scans.length).toBeLessThanOrEqual(1);
      for (const scan of scans) expect(scan).toEqual({ index, filter: undefined });
    }
  });

  it("goes along an index to walk, and to find by id", async () => {
    const works = [
      () => spy.reader.walk("aud_w_000000030000").next(),
      () => spy.reader.findByIds(["aud_w_000000030000"]),
    ];
    for (const work of works) expect((await planOf(work)).flatMap(longSteps)).toEqual([]);
  });

  it("finds how far a chain had come at an instant in few steps, each along the primary key", async () => {
    const plans = await planOf(() => spy.tail.lastBefore("w", 1_000_000));
    expect(plans.length).toBeLessThanOrEqual(HALVES);
    for (const plan of plans) expect(scansOf(plan)).toEqual([{ index: "audit_events_pkey", filter: undefined }]);
  });

  it("goes along an index to list, and to erase", async () => {
    for (const work of spy.works()) expect((await planOf(work)).flatMap(longSteps)).toEqual([]);
    const [counting] = await planOf(() => spy.listing.count());
    expect(scansOf(counting ?? expect.fail("no plan"))).toMatchObject([{ index: "audit_events_unlisted" }]);
  });

  it("counts activity without a look at anything outside its time", async () => {
    const query = { since: 30_000_000, until: 31_000_000, bucket: "MINUTE" } as const;
    expect((await planOf(() => spy.reader.activity(query))).flatMap(longSteps)).toEqual([]);
  });
});

const accessTo = (trail: AuditReader) =>
  new AuditAccess({ trail, feed: {} as AuditFeed, maxAgeMs: null, now: Date.now });

describe("reading the trail on SQLite", () => {
  const folder = mkdtempSync(join(tmpdir(), "gateway-plans-"));
  const spy = new Spy(openSqlite(join(folder, "gateway.db")));
  beforeAll(async () => {
    await spy.fill();
    // What SQLite plans by when nobody ever had it analyzed, as at the gateway.
    await sql`drop table sqlite_stat1`.execute(spy.database);
  }, 60_000);
  afterAll(async () => {
    await spy.database.destroy();
    rmSync(folder, { recursive: true });
  });

  const planOf = async (work: () => Promise<unknown>) => {
    const plan = (await spy.explain("explain query plan", work)).map(({ detail }) => String(detail));
    expect(plan.length).toBeGreaterThan(0);
    return plan;
  };
  /** The records of a page, once a merge has found which those are. */
  const OF_A_PAGE = "SEARCH audit_events USING INDEX sqlite_autoindex_audit_events_1 (id=?)";
  /** Not long: a scan along the order that was asked for, which ends with the page, and to sort the pages of a merge. */
  const isLong = (step: string, index: number, plan: readonly string[]) =>
    (/USE TEMP B-TREE/.test(step) && plan[index - 1] !== "SCAN branch") ||
    (/^SCAN audit_events/.test(step) && !/USING (COVERING )?INDEX audit_events_at/.test(step));

  it("goes along an index for every filter, time and direction, and sorts a few pages at most", async () => {
    for (const query of pages) {
      const steps = (await planOf(() => spy.reader.page(query))).filter(isLong);
      expect({ query, steps }).toEqual({ query, steps: [] });
    }
  });

  it("goes on from a cursor at its place in the index", async () => {
    for (const filter of filters) {
      const plan = await planOf(() => spy.reader.page({ filter, limit: 101, backward: false, after: position }));
      const searches = plan.filter((step) => step.startsWith("SEARCH audit_events") && step !== OF_A_PAGE);
      expect(searches.length).toBeGreaterThan(0);
      expect(searches.filter((step) => !/\(at,id\)<\(\?,\?\)\)$/.test(step))).toEqual([]);
    }
  });

  it.each(exact)("reads and counts from %s nothing but what the filter lets through: %j", async (index, filter) => {
    const equal = index.includes("actor") ? "actor_issuer=? AND actor_subject=?" : "identity_id=?";
    for (const range of ranges) {
      const plan = await planOf(() => spy.reader.page({ filter, limit: 101, ...range }));
      const scans = plan.filter((step) => / audit_events/.test(step) && step !== OF_A_PAGE);
      // Of a merge the index alone tells which records those are.
      const covering = scans.length > 1 ? "COVERING " : "";
      const search = `SEARCH audit_events USING ${covering}INDEX ${index} (${equal} AND action=? AND phase=?`;
      expect(scans.length).toBeGreaterThan(0);
      for (const scan of scans) expect(scan.startsWith(search), scan).toBe(true);
    }
    const counting = (await planOf(() => spy.reader.count(filter, 100_000))).filter((step) =>
      / audit_events/.test(step),
    );
    const search = `SEARCH audit_events USING COVERING INDEX ${index} (${equal} AND action=? AND phase=?`;
    expect(counting.length).toBeGreaterThan(0);
    for (const step of counting) expect(step.startsWith(search), step).toBe(true);
  });

  it("goes along an index to walk, and to find by id", async () => {
    const works = [
      () => spy.reader.walk("aud_w_000000030000").next(),
      () => spy.reader.findByIds(["aud_w_000000030000"]),
    ];
    for (const work of works) expect((await planOf(work)).filter(isLong)).toEqual([]);
  });

  it("finds how far a chain had come at an instant in few steps, each along the primary key", async () => {
    const plan = await planOf(() => spy.tail.lastBefore("w", 1_000_000));
    expect(plan.length).toBeLessThanOrEqual(HALVES);
    expect(new Set(plan)).toEqual(
      new Set(["SEARCH audit_events USING INDEX sqlite_autoindex_audit_events_1 (id>? AND id<?)"]),
    );
  });

  it("goes along an index to list, in the order in which records came, and to erase", async () => {
    for (const work of spy.works()) {
      const scans = (await planOf(work)).filter((step) => / audit_events/.test(step));
      expect(scans.filter((step) => !step.startsWith("SEARCH"))).toEqual([]);
    }
    const steps = await planOf(() => spy.listing.list(5));
    expect(steps.filter((step) => /audit_events_unlisted/.test(step))).toEqual([
      "SEARCH audit_events USING INDEX audit_events_unlisted (listed=?)",
    ]);
  });

  it("counts along an index for every filter and time, without a sort, and no further than 100,000", async () => {
    const access = accessTo(spy.reader);
    const counted = vi.spyOn(spy.reader, "count");
    for (const filter of filters.flatMap((filter) => times.map((time) => ({ ...filter, ...time })))) {
      const steps = (await planOf(() => access.countEvents(auditor, filter))).filter(isLong);
      expect({ filter, steps }).toEqual({ filter, steps: [] });
    }
    expect(new Set(counted.mock.calls.map(([, most]) => most))).toEqual(new Set([100_000]));
    counted.mockRestore();
  });

  it("counts activity from the index alone", async () => {
    const query = { since: 30_000_000, until: 31_000_000, bucket: "MINUTE" } as const;
    const plan = await planOf(() => spy.reader.activity(query));
    expect(plan.filter((step) => step.startsWith("SEARCH"))).toEqual([
      expect.stringMatching(
        /^SEARCH audit_events USING COVERING INDEX audit_events_action \(action=\? AND at>\? AND at<\?\)$/,
      ),
    ]);
  });
});
