import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, IS_ON_SQLITE, Rig } from "../fixtures/rig.js";
import { IssueAccessTokenDocument, RevokeMyAccessTokensDocument } from "../generated/graphql.js";

let rig: Rig;
let alice: Client;
let bob: Client;

beforeAll(async () => {
  rig = await Rig.start();
  alice = await rig.member("alice");
  bob = await rig.member("bob");
});
afterAll(() => rig.close());

/** By series, as text. */
async function series(): Promise<Map<string, number>> {
  const text = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

const issue = (scopes: ("CHAT" | "CHAT_JOIN_LIMITED")[]) => alice.execute(IssueAccessTokenDocument, { scopes });

describe("metrics", () => {
  it("have each series of a closed set at 0 before anything happens, so that the first event is an increase", async () => {
    const told = await series();
    for (const name of [
      'gateway_audit_events_total{action="IDENTITY_DELETED"}',
      'gateway_authentication_failures_total{reason="bad_signature"}',
      'gateway_requests_total{code="AUDIT_UNAVAILABLE"}',
      'gateway_service_calls_repeated_total{operation="issueToken"}',
      'gateway_service_calls_shed_total{operation="issueToken",reason="breaker"}',
      'gateway_token_cache_total{outcome="unreadable"}',
      'gateway_trace_spans_lost_total{reason="full"}',
      'gateway_untrusted_documents_total{outcome="refused"}',
    ])
      expect([name, told.get(name)]).toEqual([name, 0]);
  });

  it("count tokens that were issued, reused and refused, by reason, and what the service took", async () => {
    await issue(["CHAT"]);
    await issue(["CHAT"]);
    const told = await series();
    expect(told.get('gateway_audit_events_total{action="TOKEN_ISSUED"}')).toBe(1);
    expect(told.get('gateway_audit_events_total{action="TOKEN_REUSED"}')).toBe(1);
    expect(told.get('gateway_service_call_duration_seconds_count{operation="createIdentityWithToken"}')).toBe(1);
    const { data } = await issue(["CHAT_JOIN_LIMITED"]);
    expect(data?.issueAccessToken.userErrors).toMatchObject([{ code: "SCOPE_NOT_ALLOWED" }]);
    expect((await series()).get('gateway_tokens_refused_total{reason="SCOPE_NOT_ALLOWED"}')).toBe(1);
  });

  it("tell how old the issuer's keys are", async () => {
    const age = (await series()).get(`gateway_issuer_keys_age_seconds{issuer="${rig.issuer.url}"}`);
    expect(age).toBeGreaterThanOrEqual(0);
    expect(age).toBeLessThan(60);
  });

  it("tell how long the oldest revocation has been waiting", async () => {
    expect((await series()).get("gateway_service_work_oldest_seconds")).toBe(0);
    await rig.fault({ operation: "revokeAccessTokens", kind: "status", status: 500, times: 100 });
    await alice.ask(RevokeMyAccessTokensDocument);
    await expect.poll(async () => (await series()).get("gateway_service_work_oldest_seconds")).toBeGreaterThan(0.3);
    expect((await series()).get("gateway_service_work_pending")).toBe(1);
  });

  it("leave out what cannot be read just now, and have it again afterwards", async () => {
    const isRead = async () => (await series()).has("gateway_service_work_pending");
    expect(await isRead()).toBe(true);
    await rig.ask("alter table service_work rename to elsewhere");
    expect(await isRead()).toBe(false);
    await rig.ask("alter table elsewhere rename to service_work");
    expect(await isRead()).toBe(true);
  });

  // On SQLite nobody could ask meanwhile.
  it.skipIf(IS_ON_SQLITE)("tell how long the audit trail has been waiting to be written", async () => {
    expect((await series()).get("gateway_audit_lag_seconds")).toBe(0);
    const release = await rig.lockTrail();
    const waiting = bob.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    await expect.poll(async () => (await series()).get("gateway_audit_lag_seconds")).toBeGreaterThan(0.2);
    await release();
    await waiting;
    expect((await series()).get("gateway_audit_lag_seconds")).toBe(0);
  });
});
