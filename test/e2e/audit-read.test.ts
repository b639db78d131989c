import { StatementSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type AuditRecord, recordId } from "../../src/audit/record.js";
import type { Config } from "../../src/config/config.js";
import type { Store } from "../../src/store/store.js";
import { TestWriter } from "../fixtures/audit.js";
import { type Client, IS_ON_SQLITE, Rig } from "../fixtures/rig.js";
import {
  AuditEventsByIdDocument,
  AuditEventsDocument,
  type AuditEventsQueryVariables,
  CountAuditEventsDocument,
  IdentityAuditEventsDocument,
  IdentityTokenRecordsDocument,
  TokenActivityDocument,
  TokenRecordsByIdDocument,
} from "../generated/graphql.js";

const START = Date.parse("2026-01-01T00:00:00Z");
const MINUTE = 60_000;
const at = (minutes: number) => new Date(START + minutes * MINUTE).toISOString();
/** The gateway's own records are of today. */
const OURS = { until: "2026-02-01T00:00:00Z" };

const FORBIDDEN = [{ extensions: { code: "FORBIDDEN", retryable: false } }];

let rig: Rig;
let store: Store;
let admin: Client;
/** Has AUDIT_READ alone. */
let clerk: Client;
/** Has IDENTITY_MANAGE alone. */
let manager: Client;
let alice: Client;
let bob: Client;
const writer = new TestWriter("e2e");
const tokenOf = (record: AuditRecord) => recordId(record).replace(/^aud_/, "tok_");

function withMoreRules(config: Config): Config {
  const rule = (role: string, permission: "AUDIT_READ" | "IDENTITY_MANAGE") => ({
    name: role,
    when: { claim: "roles", includes: role },
    permissions: [permission],
    scopes: [],
    maxLifetimeMinutes: 60,
  });
  const rules = [...config.policy.rules, rule("Clerk", "AUDIT_READ"), rule("Manager", "IDENTITY_MANAGE")];
  return { ...config, policy: { rules } };
}

async function identity(subject: string): Promise<void> {
  const id = `idn_${subject}`;
  await store.identities.claim({ issuer: rig.issuer.url, subject }, id, START);
  const binding = { communicationUserId: `8:acs:${subject}`, resource: "r", revocations: 0, tokenIssuedAt: START };
  await store.identities.bind(id, binding, START);
}

beforeAll(async () => {
  rig = await Rig.start({ configure: withMoreRules });
  store = await rig.openStore();
  admin = await rig.admin();
  clerk = await rig.member("clerk", { claims: { roles: ["Clerk"] } });
  manager = await rig.member("manager", { claims: { roles: ["Manager"] } });
  [alice, bob] = [await rig.member("alice"), await rig.member("bob")];
  for (const subject of ["alice", "bob", "carl", "dora"]) await identity(subject);
  const actor = { issuer: rig.issuer.url, subject: "alice" };
  const client = { clientName: "app", clientVersion: "1.2.3", requestId: "req-1" };
  for (let minute = 0; minute < 12; minute++) {
    const identityId = minute % 3 === 2 ? "idn_bob" : "idn_alice";
    const token = { tokenFingerprint: `fp-${minute}`, tokenExpiresOn: START + (minute + 60) * MINUTE };
    writer.add(START + minute * MINUTE, { phase: "INTENT", identityId, actor, scopes: ["CHAT"] });
    writer.add(START + minute * MINUTE, { identityId, actor, scopes: ["CHAT", "VOIP"], ...token, ...client });
  }
  writer.add(START + 12 * MINUTE, { action: "TOKEN_REUSED", identityId: "idn_alice", actor });
  writer.add(START + 13 * MINUTE, { action: "TOKEN_REFUSED", actor, reason: "SCOPE_NOT_ALLOWED" });
  writer.add(START + 14 * MINUTE, { action: "TOKENS_REVOKED", identityId: "idn_alice", actor, reason: "lost phone" });
  const token = { tokenFingerprint: "fp", tokenExpiresOn: START, scopes: ["CHAT"] as const };
  for (const identityId of ["idn_carl", "idn_dora"]) writer.add(START + 15 * MINUTE, { identityId, ...token });
  await writer.appendTo(store.audit);
  await store.identities.revoke("idn_alice", ["ACTIVE"], START + 6 * MINUTE);
  await store.identities.delete("idn_dora", ["ACTIVE"], START + 6 * MINUTE, () => "");
});
afterAll(async () => {
  await store.close();
  await rig.close();
});

async function walk(size: number, backward: boolean): Promise<string[]> {
  const ids: string[] = [];
  for (let cursor: string | null = null; ; ) {
    const range: AuditEventsQueryVariables = backward ? { last: size, before: cursor } : { first: size, after: cursor };
    const { auditEvents } = await admin.ask(AuditEventsDocument, { ...range, filter: OURS });
    const page = auditEvents.edges.map(({ node }) => node.id);
    ids[backward ? "unshift" : "push"](...page);
    const { hasNextPage, hasPreviousPage, startCursor, endCursor } = auditEvents.pageInfo;
    if (!(backward ? hasPreviousPage : hasNextPage)) return ids;
    cursor = backward ? startCursor : endCursor;
    if (ids.length > writer.records.length) expect.fail("the pages never end");
  }
}

describe("auditEvents", () => {
  it("come newest first with everything that was recorded", async () => {
    const filter = { ...OURS, since: at(11), identityId: "idn_bob" };
    const { auditEvents } = await admin.ask(AuditEventsDocument, { first: 10, filter });
    expect(auditEvents.edges.map(({ node }) => node)).toEqual([
      {
        id: writer.idAt(23),
        at: at(11),
        action: "TOKEN_ISSUED",
        phase: "OUTCOME",
        actor: { issuer: rig.issuer.url, subject: "alice" },
        identity: { id: "idn_bob" },
        scopes: ["CHAT", "VOIP"],
        tokenFingerprint: "fp-11",
        tokenExpiresOn: at(71),
        reason: null,
        requestId: "req-1",
        clientName: "app",
        clientVersion: "1.2.3",
        sequence: 24,
        hash: writer.records[23]?.hash,
      },
      expect.objectContaining({ id: writer.idAt(22), phase: "INTENT", tokenFingerprint: null, clientName: null }),
    ]);
  });

  it("are paged forward and backward through the same list, each once", async () => {
    const whole = writer.records.map(recordId).reverse();
    const byTime = await walk(100, false);
    expect([...byTime].sort()).toEqual([...whole].sort());
    expect(await walk(5, false)).toEqual(byTime);
    expect(await walk(5, true)).toEqual(byTime);
  });

  const filters: [string, AuditEventsQueryVariables["filter"], number][] = [
    ["actions", { action: ["TOKEN_REUSED", "TOKENS_REVOKED"] }, 2],
    ["identity", { identityId: "idn_bob" }, 8],
    ["fingerprint", { tokenFingerprint: "fp-3" }, 1],
    ["time", { since: at(13), until: at(15) }, 2],
    ["identity and action", { identityId: "idn_alice", action: ["TOKENS_REVOKED"] }, 1],
  ];
  it.each(filters)("are filtered by %s, and counted", async (_, filter, count) => {
    const all = { ...OURS, ...filter };
    const { auditEvents } = await admin.ask(AuditEventsDocument, { last: 100, filter: all });
    expect(auditEvents.edges).toHaveLength(count);
    expect((await admin.ask(CountAuditEventsDocument, { filter: all })).auditEvents.totalCount).toBe(count);
  });

  it("are filtered by who asked", async () => {
    const by = async (subject: string) => {
      const actor = { issuer: rig.issuer.url, subject };
      return (await admin.ask(CountAuditEventsDocument, { filter: { ...OURS, actor } })).auditEvents.totalCount;
    };
    expect([await by("alice"), await by("ALICE")]).toEqual([27, 0]);
  });

  it.each([
    ["first: 0", { first: 0 }, "first"],
    ["no size", {}, "first"],
    [
      "a cursor of another list",
      { first: 1, after: Buffer.from('["TOKEN_RECORD",1,"x"]').toString("base64url") },
      "after",
    ],
  ])("refuse %s and name the argument", async (_, variables, argument) => {
    expect(await admin.execute(AuditEventsDocument, variables)).toMatchObject({
      status: 400,
      errors: [{ extensions: { code: "BAD_USER_INPUT", argument } }],
    });
  });

  it("need AUDIT_READ, as a list, by count, on one's own identity and by id", async () => {
    expect(await alice.execute(AuditEventsDocument, { first: 1 })).toMatchObject({ status: 403, errors: FORBIDDEN });
    expect(await alice.execute(CountAuditEventsDocument)).toMatchObject({ errors: FORBIDDEN });
    const own = await alice.execute(IdentityAuditEventsDocument, { id: "idn_alice", first: 1 });
    expect(own).toMatchObject({ data: { node: null }, errors: FORBIDDEN });
    expect(own.text).not.toContain("aud_");
    expect(await alice.ask(AuditEventsByIdDocument, { ids: [writer.idAt(0), "aud_none"] })).toEqual({
      nodes: [null, null],
    });
  });

  it("show an identity only to those who may see it", async () => {
    const ask = async (client: Client) =>
      (await client.ask(AuditEventsDocument, { first: 1, filter: { tokenFingerprint: "fp-2" } })).auditEvents.edges[0]
        ?.node.identity;
    expect(await ask(admin)).toEqual({ id: "idn_bob" });
    expect(await ask(clerk)).toBeNull();
  });

  it("are those of one identity at its edge", async () => {
    const { node } = await admin.ask(IdentityAuditEventsDocument, { id: "idn_bob", first: 3 });
    expect(node).toMatchObject({ auditEvents: { totalCount: 8, pageInfo: { hasNextPage: true } } });
    const other = await admin.ask(IdentityAuditEventsDocument, { id: "idn_carl", first: 3 });
    expect(other.node).toMatchObject({ auditEvents: { totalCount: 1, pageInfo: { hasNextPage: false } } });
  });

  it.runIf(IS_ON_SQLITE)("bring up all their identities with one read", async () => {
    const reads = vi.spyOn(StatementSync.prototype, "all");
    await admin.ask(AuditEventsDocument, { first: 100, filter: OURS });
    const statements = reads.mock.contexts.map((statement) => (statement as StatementSync).sourceSQL);
    reads.mockRestore();
    // The gateway's own work goes on meanwhile: in other tables, and with one identity at a time.
    const ours = /from "(audit_events|identities)" where .* (?:<|in) \(\?, /;
    const tables = statements.flatMap((statement) => ours.exec(statement)?.[1] ?? []);
    expect(tables).toEqual(["audit_events", "identities"]);
  });
});

describe("tokenRecords", () => {
  it("are the issued tokens of an identity, newest first, in pages", async () => {
    const first = await admin.ask(IdentityTokenRecordsDocument, { id: "idn_bob", first: 3 });
    if (first.node === null || !("tokenRecords" in first.node)) expect.fail("no identity");
    const { totalCount, edges, pageInfo } = first.node.tokenRecords;
    expect({ totalCount, more: pageInfo.hasNextPage }).toEqual({ totalCount: 4, more: true });
    expect(edges.map(({ node }) => node.fingerprint)).toEqual(["fp-11", "fp-8", "fp-5"]);
    expect(edges[0]?.node).toEqual({
      id: writer.idAt(23).replace("aud_", "tok_"),
      identity: { id: "idn_bob" },
      scopes: ["CHAT", "VOIP"],
      issuedAt: at(11),
      expiresOn: at(71),
      fingerprint: "fp-11",
      revoked: false,
    });
    const rest = { id: "idn_bob", first: 3, after: pageInfo.endCursor };
    expect((await admin.ask(IdentityTokenRecordsDocument, rest)).node).toMatchObject({
      tokenRecords: { edges: [{ node: { fingerprint: "fp-2" } }], pageInfo: { hasNextPage: false } },
    });
  });

  async function revoked(id: string): Promise<Record<string, boolean>> {
    const { node } = await admin.ask(IdentityTokenRecordsDocument, { id, first: 100 });
    if (node === null || !("tokenRecords" in node)) expect.fail("no identity");
    return Object.fromEntries(node.tokenRecords.edges.map(({ node }) => [node.fingerprint, node.revoked]));
  }

  it("are revoked when issued before the identity's tokens were, and all of them when it is being deleted", async () => {
    expect(await revoked("idn_alice")).toEqual({
      "fp-0": true,
      "fp-1": true,
      "fp-3": true,
      "fp-4": true,
      "fp-6": false,
      "fp-7": false,
      "fp-9": false,
      "fp-10": false,
    });
    expect(await revoked("idn_carl")).toEqual({ fp: false });
    expect(await revoked("idn_dora")).toEqual({ fp: true });
  });

  it("are read by their own user, and of others with IDENTITY_READ alone", async () => {
    const own = await bob.ask(IdentityTokenRecordsDocument, { id: "idn_bob", first: 1 });
    expect(own.node).toMatchObject({ tokenRecords: { totalCount: 4 } });
    expect((await bob.ask(IdentityTokenRecordsDocument, { id: "idn_alice", first: 1 })).node).toBeNull();
    // By a mutation, a manager gets hold of an identity that they may not read.
    const query = `mutation { reinstateIdentity(input: { identityId: "idn_carl" }) { identity { id tokenRecords(first: 1) { nodes { id } totalCount } } } }`;
    await store.identities.revoke("idn_carl", ["ACTIVE"], START, "SUSPENDED");
    const reply = await manager.send({ query });
    expect(reply).toMatchObject({ errors: FORBIDDEN });
    expect(reply.text).not.toContain("tok_");
  });

  it("are found by id by who may see them, and are null to others", async () => {
    const records = writer.records.filter(({ tokenFingerprint }) =>
      ["fp-2", "fp-3"].includes(String(tokenFingerprint)),
    );
    const ids = [...records.map(tokenOf), tokenOf(writer.records[0] ?? expect.fail("none")), "tok_none"];
    const seen = async (client: Client) =>
      (await client.ask(TokenRecordsByIdDocument, { ids })).nodes.map((node) => node?.id ?? null);
    expect(await seen(admin)).toEqual([...ids.slice(0, 2), null, null]);
    expect(await seen(bob)).toEqual([ids[0], null, null, null]);
    expect(await seen(clerk)).toEqual([null, null, null, null]);
  });
});

it("nodes come in the order of their ids, whatever their kind", async () => {
  const ids = ["idn_bob", writer.idAt(3), "idn_none", writer.idAt(1).replace("aud_", "tok_"), writer.idAt(3), ""];
  const reply = await admin.send({
    query: "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }",
    variables: { ids },
  });
  expect(reply.data).toEqual({
    nodes: [
      { __typename: "CommunicationIdentity", id: ids[0] },
      { __typename: "AuditEvent", id: ids[1] },
      null,
      { __typename: "TokenRecord", id: ids[3] },
      { __typename: "AuditEvent", id: ids[4] },
      null,
    ],
  });
});

describe("tokenActivity", () => {
  it("counts what came of requests, with empty buckets in between", async () => {
    const { tokenActivity } = await admin.ask(TokenActivityDocument, {
      since: at(11),
      until: at(14.5),
      bucket: "MINUTE",
    });
    const nothing = { issued: 0, reused: 0, refused: 0, revoked: 0 };
    expect(tokenActivity).toEqual([
      { ...nothing, start: at(11), issued: 1 },
      { ...nothing, start: at(12), reused: 1 },
      { ...nothing, start: at(13), refused: 1 },
      { ...nothing, start: at(14), revoked: 1 },
    ]);
    const hours = await admin.ask(TokenActivityDocument, { since: at(-1), until: at(61) });
    expect(hours.tokenActivity.map(({ start, issued }) => [start, issued])).toEqual([
      [at(-60), 0],
      [at(0), 14],
      [at(60), 0],
    ]);
  });

  it("has as many points as a plot can show, and says what to do about more", async () => {
    const most = await admin.ask(TokenActivityDocument, { since: at(0), until: at(1500), bucket: "MINUTE" });
    expect(most.tokenActivity).toHaveLength(1500);
    const reply = await admin.execute(TokenActivityDocument, { since: at(0), until: at(1500.1), bucket: "MINUTE" });
    expect(reply).toMatchObject({
      status: 400,
      errors: [{ extensions: { code: "BAD_USER_INPUT", argument: "bucket" } }],
    });
    expect(reply.errors?.[0]?.message).toBe(
      'Argument "bucket" would make 1501 points; the limit is 1500. Take a longer bucket, or a later "since".',
    );
    expect(await admin.ask(TokenActivityDocument, { since: at(1), until: at(0) })).toEqual({ tokenActivity: [] });
  });

  it("ends now when no end is given, and needs AUDIT_READ", async () => {
    const since = new Date(Date.now() - 5 * MINUTE).toISOString();
    const { tokenActivity } = await clerk.ask(TokenActivityDocument, { since, bucket: "MINUTE" });
    expect([6, 7]).toContain(tokenActivity.length);
    expect(await alice.execute(TokenActivityDocument, { since })).toMatchObject({ status: 403, errors: FORBIDDEN });
  });
});

describe("the cost of an operation", () => {
  const query = (identities: number, events: number) =>
    `{ identities(first: ${identities}) { nodes { auditEvents(first: ${events}) { nodes { id } } tokenRecords(first: ${events}) { nodes { id } } } } }`;

  it("counts the pages of every identity of a page", async () => {
    expect(await admin.send({ query: query(100, 100) })).toMatchObject({
      status: 400,
      errors: [{ extensions: { code: "GRAPHQL_VALIDATION_FAILED" } }],
    });
    expect(await admin.send({ query: query(10, 10) })).toMatchObject({ status: 200, errors: undefined });
  });
});
