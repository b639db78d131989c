import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { CompiledQuery, type Dialect, Kysely, PGliteDialect, sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuditFilter, type AuditPageQuery, TOKENS } from "../../src/audit/query.js";
import { AuditReader } from "../../src/store/audit-reader.js";
import { openSqlite } from "../../src/store/dialect-sqlite.js";
import { migrate } from "../../src/store/migrations.js";
import type { Tables } from "../../src/store/tables.js";

const ROWS = 50_000;
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
  { identityId },
  { identityId, action },
  { identityId, ...TOKENS },
  { actor },
  { actor, action },
  { actor, identityId },
  { tokenFingerprint: "fp_7" },
  { tokenFingerprint: "fp_7", identityId, actor, action },
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

/** Runs what the reader would run and answers the statements that it consists of. */
class Spy {
  readonly #queries: CompiledQuery[] = [];
  readonly database: Kysely<Tables>;
  readonly reader: AuditReader;

  constructor(dialect: Dialect) {
    this.database = new Kysely<Tables>({ dialect, log: ({ query }) => void this.#queries.push(query) });
    this.reader = new AuditReader(this.database);
  }

  async fill(): Promise<void> {
    await migrate(this.database);
    await sql`
      insert into audit_events (id, writer, sequence, at, action, phase, identity_id, actor_issuer, actor_subject,
        actor_commitment, token_fingerprint, reason_commitment, request_id, hash)
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ${sql.lit(ROWS)})
      select 'aud_w_' || substr('000000000000', 1, 12 - length(cast(i as text))) || i, 'w', i, i * 1000,
        case when i % 100 = 0 then 'TOKENS_REVOKED' when i % 3 = 0 then 'TOKEN_REUSED' when i % 7 = 0 then 'TOKEN_REFUSED'
          else 'TOKEN_ISSUED' end,
        'OUTCOME', 'idn_' || (i % 1000), 'https://i.example.com', 'user-' || (i % 1000), 'c', 'fp_' || (i % 20000), 'c', 'r', 'h'
      from n`.execute(this.database);
    await sql`analyze`.execute(this.database);
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

  it("goes along an index to walk, and to find by id", async () => {
    const works = [
      () => spy.reader.walk("aud_w_000000030000").next(),
      () => spy.reader.findByIds(["aud_w_000000030000"]),
    ];
    for (const work of works) expect((await planOf(work)).flatMap(longSteps)).toEqual([]);
  });

  it("counts activity without a look at anything outside its time", async () => {
    const query = { since: 30_000_000, until: 31_000_000, bucket: "MINUTE" } as const;
    expect((await planOf(() => spy.reader.activity(query))).flatMap(longSteps)).toEqual([]);
  });
});

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
  /** Not long: a scan along the order that was asked for, which ends with the page, and to sort the pages of a merge. */
  const isLong = (step: string, index: number, plan: readonly string[]) =>
    (/USE TEMP B-TREE/.test(step) && plan[index - 1] !== "SCAN branch") ||
    (/^SCAN audit_events/.test(step) && !/USING INDEX audit_events_at/.test(step));

  it("goes along an index for every filter, time and direction, and sorts a few pages at most", async () => {
    for (const query of pages) {
      const steps = (await planOf(() => spy.reader.page(query))).filter(isLong);
      expect({ query, steps }).toEqual({ query, steps: [] });
    }
  });

  it("goes on from a cursor at its place in the index", async () => {
    for (const filter of filters) {
      const plan = await planOf(() => spy.reader.page({ filter, limit: 101, backward: false, after: position }));
      const searches = plan.filter((step) => step.startsWith("SEARCH audit_events"));
      expect(searches.length).toBeGreaterThan(0);
      expect(searches.filter((step) => !/\(at,id\)<\(\?,\?\)\)$/.test(step))).toEqual([]);
    }
  });

  it("goes along an index to walk, and to find by id", async () => {
    const works = [
      () => spy.reader.walk("aud_w_000000030000").next(),
      () => spy.reader.findByIds(["aud_w_000000030000"]),
    ];
    for (const work of works) expect((await planOf(work)).filter(isLong)).toEqual([]);
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
