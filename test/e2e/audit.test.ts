import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import type { AuditRecord } from "../../src/audit/record.js";
import type { Trail } from "../../src/audit/trail.js";
import type { Config } from "../../src/config/config.js";
import { GatewayError } from "../../src/errors.js";
import { openKeys } from "../../src/keys.js";
import { Canaries } from "../fixtures/canaries.js";
import { type Client, IS_ON_SQLITE, Rig } from "../fixtures/rig.js";
import { faultIn, readChains, readRows } from "../fixtures/trail.js";
import {
  DeleteIdentityDocument,
  DeleteMyIdentityDocument,
  ExchangeTeamsUserTokenDocument,
  IdentityDocument,
  IssueAccessTokenDocument,
  IssueAccessTokenOnBehalfDocument,
  ProvisionIdentityDocument,
  ReinstateIdentityDocument,
  RevokeAccessTokensDocument,
  RevokeMyAccessTokensDocument,
  SuspendIdentityDocument,
  ViewerDocument,
} from "../generated/graphql.js";

const FEW = 5;
const GUID = "11111111-2222-3333-4444-555555555555";

let rig: Rig;
let admin: Client;
let config: Config;
let users = 0;

beforeAll(async () => {
  rig = await Rig.start({
    configure: (shipped) => {
      config = { ...shipped, limits: { ...shipped.limits, mintsPerSubject: FEW, requestsPerSubject: 10_000 } };
      return config;
    },
  });
  admin = await rig.admin();
});
afterAll(async () => {
  await rig.close();
});

const records = async () => (await readChains(rig.ask)).flat();

/** What the work has recorded, in the order of the chain. */
async function recordedBy(work: () => Promise<unknown>): Promise<AuditRecord[]> {
  const before = new Set((await records()).map(({ hash }) => hash));
  await work();
  return (await records()).filter(({ hash }) => !before.has(hash));
}

const newSubject = () => `user-${users++}`;
const userCalled = (subject: string) => ({ issuer: rig.issuer.url, subject });
const chat = { scopes: ["CHAT" as const] };

/** The token of a caller who must get one. */
async function tokenFor(client: Client, more: { forceNew?: boolean } = {}) {
  const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { ...chat, ...more });
  return issueAccessToken.accessToken ?? expect.fail(JSON.stringify(issueAccessToken.userErrors));
}

/** A user who has a token. */
async function signedIn() {
  const subject = newSubject();
  const client = await rig.member(subject);
  const { token, identity } = await tokenFor(client);
  return { client, subject, token, identityId: identity.id };
}

const fingerprint = (token: string) => createFingerprint(openKeys(config).auditKey)(token);
const shapes = (found: readonly AuditRecord[]) => found.map(({ phase, action }) => `${phase} ${action}`);
const MINTED = ["INTENT TOKEN_ISSUED", "OUTCOME TOKEN_ISSUED"];

function teamsRequest(claims: object) {
  const all = { oid: GUID, appid: GUID, exp: Math.floor(Date.now() / 1000) + 3600, ...claims };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const teamsUserAadToken = `${part({ alg: "RS256", typ: "JWT" })}.${part(all)}.${part({})}`;
  return { teamsUserAadToken, clientId: GUID, userObjectId: GUID };
}

describe("the trail of tokens", () => {
  it("has the first one of a user, asked for and issued, with the identity made for it", async () => {
    const subject = newSubject();
    const client = await rig.member(subject);
    const headers = {
      "x-request-id": "first-token",
      "apollographql-client-name": "web",
      "apollographql-client-version": "1.2",
    };
    const reply = await client.send({ query: String(IssueAccessTokenDocument), variables: chat }, headers);
    const { accessToken } = (reply.data as { issueAccessToken: { accessToken: { [name: string]: string } } })
      .issueAccessToken;
    const found = (await records()).filter(({ requestId }) => requestId === "first-token");
    expect(shapes(found)).toEqual(["INTENT TOKEN_ISSUED", "OUTCOME IDENTITY_PROVISIONED", "OUTCOME TOKEN_ISSUED"]);
    const [row] = await rig.ask<{ id: string }>(`select id from identities where subject = '${subject}'`);
    const about = { actor: userCalled(subject), identityId: row?.id, clientName: "web", clientVersion: "1.2" };
    expect(found).toMatchObject([
      { ...about, scopes: ["CHAT"], tokenFingerprint: null, tokenExpiresOn: null, reason: null },
      { ...about, scopes: null, tokenFingerprint: null },
      {
        ...about,
        scopes: ["CHAT"],
        tokenFingerprint: fingerprint(String(accessToken?.token)),
        tokenExpiresOn: Date.parse(String(accessToken?.expiresOn)),
      },
    ]);
  });

  it("has each one that is minted, and each one that is handed out again", async () => {
    const { client, token, identityId } = await signedIn();
    const again = await recordedBy(() => tokenFor(client));
    expect(shapes(again)).toEqual(["OUTCOME TOKEN_REUSED"]);
    expect(again).toMatchObject([{ identityId, scopes: ["CHAT"], tokenFingerprint: fingerprint(token) }]);
    let minted = "";
    const anew = await recordedBy(async () => {
      minted = (await tokenFor(client, { forceNew: true })).token;
    });
    expect(shapes(anew)).toEqual(MINTED);
    expect(anew[1]?.tokenFingerprint).toBe(fingerprint(minted));
    expect(fingerprint(minted)).not.toBe(fingerprint(token));
  });

  it("has a record for each of those who share one mint", async () => {
    const { client } = await signedIn();
    await client.ask(RevokeMyAccessTokensDocument, {});
    await rig.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 200 });
    const found = await recordedBy(() => Promise.all(Array.from({ length: 10 }, () => tokenFor(client))));
    expect(shapes(found).sort()).toEqual([...MINTED, ...Array(9).fill("OUTCOME TOKEN_REUSED")]);
    expect(new Set(found.slice(1).map(({ tokenFingerprint }) => tokenFingerprint)).size).toBe(1);
    expect(new Set(found.map(({ requestId }) => requestId)).size).toBe(10);
  });

  it("says who asked on behalf of whom", async () => {
    const { identityId } = await signedIn();
    const found = await recordedBy(() => admin.ask(IssueAccessTokenOnBehalfDocument, { identityId, ...chat }));
    expect(found).toMatchObject([{ actor: userCalled("ada"), identityId, action: "TOKEN_REUSED" }]);
  });

  it("has nothing of a secret that a client put into its own words", async () => {
    const { client, token, identityId } = await signedIn();
    const headers = { "apollographql-client-name": token, "x-request-id": token.slice(0, 100) };
    const variables = { reason: `leaked: ${token.slice(0, 400)}!` };
    const found = await recordedBy(() => client.send({ query: REVOKE, variables }, headers));
    const hidden = { identityId, reason: "leaked: [hidden]!", clientName: "[hidden]" };
    expect(found).toMatchObject([hidden, hidden]);
    expect(JSON.stringify(found)).not.toContain(token.slice(0, 30));
  });

  it("says that one was asked for and nothing more when the service fails", async () => {
    const { client } = await signedIn();
    await rig.fault({ operation: "issueAccessToken", kind: "status", status: 403 });
    const ask = () => client.execute(IssueAccessTokenDocument, { ...chat, forceNew: true });
    expect(shapes(await recordedBy(ask))).toEqual(["INTENT TOKEN_ISSUED"]);
  });

  it("has one that a Teams token was exchanged for", async () => {
    const subject = newSubject();
    const client = await rig.member(subject);
    let token = "";
    const found = await recordedBy(async () => {
      const { exchangeTeamsUserToken } = await client.ask(ExchangeTeamsUserTokenDocument, teamsRequest({}));
      token = exchangeTeamsUserToken.accessToken?.token ?? expect.fail("no token");
    });
    expect(shapes(found)).toEqual(["INTENT TEAMS_TOKEN_EXCHANGED", "OUTCOME TEAMS_TOKEN_EXCHANGED"]);
    expect(found[1]).toMatchObject({ actor: userCalled(subject), tokenFingerprint: fingerprint(token) });
  });
});

const REVOKE = "mutation ($reason: String) { revokeAccessTokens(input: { reason: $reason }) { effectiveBy } }";

describe("the trail of refusals", () => {
  const refused = (reason: string, more: object = {}) => [
    expect.objectContaining({ phase: "OUTCOME", action: "TOKEN_REFUSED", reason, tokenFingerprint: null, ...more }),
  ];

  it("has what the policy does not allow", async () => {
    const { client, identityId } = await signedIn();
    const scopes = ["CHAT", "CHAT_JOIN_LIMITED"] as const;
    const ask = () => client.ask(IssueAccessTokenDocument, { scopes: [...scopes, ...scopes] });
    expect(await recordedBy(ask)).toEqual(refused("SCOPE_NOT_ALLOWED", { identityId, scopes }));
    const short = () => client.ask(IssueAccessTokenDocument, { ...chat, lifetimeMinutes: 5 });
    expect(await recordedBy(short)).toEqual(refused("LIFETIME_NOT_ALLOWED", { identityId }));
  });

  it("has what was asked for without the permission, or for nobody", async () => {
    const { identityId } = await signedIn();
    const { client } = await signedIn();
    const ask = () => client.execute(IssueAccessTokenOnBehalfDocument, { identityId, ...chat });
    expect(await recordedBy(ask)).toEqual(refused("FORBIDDEN", { identityId }));
    const forNobody = () => admin.ask(IssueAccessTokenOnBehalfDocument, { identityId: "x".repeat(500), ...chat });
    expect(await recordedBy(forNobody)).toEqual(refused("IDENTITY_NOT_FOUND", { identityId: null }));
  });

  it("has what went over a budget, which nobody was asked for", async () => {
    const { client, identityId } = await signedIn();
    for (let minted = 1; minted < FEW; minted++) await tokenFor(client, { forceNew: true });
    const ask = () => client.execute(IssueAccessTokenDocument, { ...chat, forceNew: true });
    expect(await recordedBy(ask)).toEqual(refused("RATE_LIMITED", { identityId }));
  });

  it("has what a suspended user asked for", async () => {
    const { client, identityId } = await signedIn();
    await admin.ask(SuspendIdentityDocument, { identityId });
    const ask = () => client.ask(IssueAccessTokenDocument, chat);
    expect(await recordedBy(ask)).toEqual(refused("IDENTITY_SUSPENDED", { identityId }));
    const exchange = () => client.ask(ExchangeTeamsUserTokenDocument, teamsRequest({}));
    expect(await recordedBy(exchange)).toEqual(refused("IDENTITY_SUSPENDED", { identityId }));
  });

  it("has a Teams token that the service did not accept, after the intent", async () => {
    const client = await rig.member(newSubject());
    const found = await recordedBy(() => client.ask(ExchangeTeamsUserTokenDocument, teamsRequest({ exp: 1 })));
    expect(shapes(found)).toEqual(["INTENT TEAMS_TOKEN_EXCHANGED", "OUTCOME TOKEN_REFUSED"]);
    expect(found[1]?.reason).toBe("TEAMS_TOKEN_REJECTED");
  });
});

it("a gateway that stops tells the trail once more what that could not take just now, and nothing after that", async () => {
  let [isAway, tells] = [false, 0];
  const trail: Pick<Trail, "record"> = {
    record: async ({ phase }, _deadline, { lost } = {}) => {
      if (!isAway || phase === "INTENT") return true;
      tells += 1;
      lost?.();
      throw new GatewayError("AUDIT_UNAVAILABLE", "away");
    },
  };
  const own = await Rig.start({ trail });
  const operator = await own.admin();
  const user = { issuer: own.issuer.url, subject: "bob" };
  const { provisionIdentity } = await operator.ask(ProvisionIdentityDocument, { user });
  const identityId = provisionIdentity.identity?.id ?? expect.fail("none");
  isAway = true;
  expect(await operator.execute(RevokeAccessTokensDocument, { identityId })).toMatchObject({ status: 503 });
  await own.close();
  const toldByThen = tells;
  expect(toldByThen).toBeGreaterThanOrEqual(2);
  await setTimeout(1500);
  expect(tells).toBe(toldByThen);
});

describe("the trail of identities", () => {
  it("has who was provisioned by whom, once", async () => {
    const user = userCalled(newSubject());
    const provision = () => admin.ask(ProvisionIdentityDocument, { user });
    const found = await recordedBy(provision);
    expect(shapes(found)).toEqual(["INTENT IDENTITY_PROVISIONED", "OUTCOME IDENTITY_PROVISIONED"]);
    const [row] = await rig.ask<{ id: string }>(`select id from identities where subject = '${user.subject}'`);
    const about = { actor: userCalled("ada"), identityId: row?.id };
    expect(found).toMatchObject([about, about]);
    expect(await recordedBy(provision)).toEqual([]);
  });

  it.each([
    ["TOKENS_REVOKED", RevokeAccessTokensDocument],
    ["IDENTITY_SUSPENDED", SuspendIdentityDocument],
    ["IDENTITY_DELETED", DeleteIdentityDocument],
  ])("has %s before and after, with who did it and why", async (action, document) => {
    const { identityId } = await signedIn();
    const reason = "lost phone";
    const found = await recordedBy(() => admin.send({ query: document.toString(), variables: { identityId, reason } }));
    expect(shapes(found)).toEqual([`INTENT ${action}`, `OUTCOME ${action}`]);
    const about = { actor: userCalled("ada"), identityId, reason: action === "IDENTITY_DELETED" ? null : reason };
    expect(found).toMatchObject([about, about]);
  });

  it("has a reinstatement, and nothing for what changes nothing", async () => {
    const { identityId } = await signedIn();
    await admin.ask(SuspendIdentityDocument, { identityId });
    expect(await recordedBy(() => admin.ask(SuspendIdentityDocument, { identityId }))).toEqual([]);
    const reinstate = () => admin.ask(ReinstateIdentityDocument, { identityId, reason: "found it" });
    const found = await recordedBy(reinstate);
    expect(shapes(found)).toEqual(["INTENT IDENTITY_REINSTATED", "OUTCOME IDENTITY_REINSTATED"]);
    expect(found).toMatchObject([{ reason: "found it" }, { reason: "found it" }]);
    expect(await recordedBy(reinstate)).toEqual([]);
    await admin.ask(DeleteIdentityDocument, { identityId });
    expect(await recordedBy(() => admin.ask(DeleteIdentityDocument, { identityId }))).toEqual([]);
    expect(await recordedBy(() => admin.ask(RevokeAccessTokensDocument, { identityId }))).toEqual([]);
  });

  it("keeps no name of a user who deleted themselves, and nothing that was said of them", async () => {
    const canaries = new Canaries();
    const subject = canaries.word("subject");
    const client = await rig.member(subject);
    const { identity } = await tokenFor(client);
    await client.ask(RevokeMyAccessTokensDocument, { reason: canaries.word("user's reason") });
    await admin.ask(RevokeAccessTokensDocument, {
      identityId: identity.id,
      reason: canaries.word("operator's reason"),
    });
    expect(canaries.foundIn(JSON.stringify(await readRows(rig.ask)))).toHaveLength(3);
    await client.ask(DeleteMyIdentityDocument, { reason: canaries.word("last words") });
    await expect.poll(async () => canaries.foundIn(JSON.stringify(await readRows(rig.ask)))).toEqual([]);
    const left = (await records()).filter(({ identityId }) => identityId === identity.id);
    expect(shapes(left)).toContain("OUTCOME IDENTITY_DELETED");
    for (const chain of await readChains(rig.ask)) expect(faultIn(chain)).toBeUndefined();
  });

  it("keeps no name of a user who is deleted before the service made anything of them", async () => {
    const canaries = new Canaries();
    const subject = canaries.word("subject");
    const client = await rig.member(subject);
    await rig.fault({ operation: "createIdentity", kind: "status", status: 429 });
    expect(await client.execute(IssueAccessTokenDocument, chat)).toMatchObject({ status: 503 });
    await client.ask(DeleteMyIdentityDocument, { reason: canaries.word("reason") });
    canaries.expectNoneIn("the trail", JSON.stringify(await readRows(rig.ask)));
  });
});

describe("a trail that cannot be written", () => {
  const UNAVAILABLE = {
    status: 503,
    data: null,
    errors: [{ extensions: { code: "AUDIT_UNAVAILABLE", retryable: true } }],
  };
  const takeAway = () => rig.ask("alter table audit_events rename to audit_events_away");
  const bringBack = () => rig.ask("alter table audit_events_away rename to audit_events");

  it("lets nothing happen and no token out, while what needs no record is answered, and comes back", async () => {
    const { client, identityId, token } = await signedIn();
    const newcomer = await rig.member(newSubject());
    const suspended = await signedIn();
    await admin.ask(SuspendIdentityDocument, { identityId: suspended.identityId });
    await rig.takeCalls();
    await takeAway();
    try {
      const replies = [
        await client.execute(IssueAccessTokenDocument, chat),
        await client.execute(IssueAccessTokenDocument, { ...chat, forceNew: true }),
        await client.execute(IssueAccessTokenDocument, { scopes: ["CHAT_JOIN_LIMITED"] }),
        await newcomer.execute(IssueAccessTokenDocument, chat),
        await client.execute(ExchangeTeamsUserTokenDocument, teamsRequest({})),
        await client.execute(RevokeMyAccessTokensDocument, {}),
        await admin.execute(ProvisionIdentityDocument, { user: userCalled(newSubject()) }),
        await admin.execute(SuspendIdentityDocument, { identityId }),
        await admin.execute(ReinstateIdentityDocument, { identityId: suspended.identityId }),
        await admin.execute(DeleteIdentityDocument, { identityId }),
      ];
      for (const reply of replies) {
        expect(reply).toMatchObject(UNAVAILABLE);
        expect(Number(reply.headers.get("retry-after"))).toBeGreaterThanOrEqual(5);
        expect(reply.text).not.toContain("eyJ");
      }
      expect(await rig.takeCalls()).toEqual({});
      const { node } = await admin.ask(IdentityDocument, { id: identityId });
      expect(node).toMatchObject({ status: "ACTIVE", tokensValidAfter: null });
    } finally {
      await bringBack();
    }
    expect((await tokenFor(client)).token).toBe(token);
    await tokenFor(newcomer);
    const metrics = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
    expect(metrics).toMatch(/^gateway_audit_writes_total\{outcome="failed"\} [1-9]/m);
  });

  it("takes nothing from the budgets of mints, since nothing is minted", async () => {
    const tight = await rig.startAnother({ env: { LIMIT_MINTS_PER_SUBJECT: "2" } });
    const client = (await rig.member(newSubject())).at(tight);
    const mint = () => client.execute(IssueAccessTokenDocument, { ...chat, forceNew: true });
    const refused = async () => {
      await takeAway();
      try {
        for (let n = 0; n < 3; n++) {
          for (const reply of [await mint(), await client.execute(ExchangeTeamsUserTokenDocument, teamsRequest({}))]) {
            expect(reply).toMatchObject(UNAVAILABLE);
            expect(reply.headers.get("ratelimit")).not.toContain("mints");
          }
        }
      } finally {
        await bringBack();
      }
    };
    await refused();
    expect(await mint()).toMatchObject({ status: 200, errors: undefined });
    await refused();
    expect(await mint()).toMatchObject({ status: 200, errors: undefined });
  });

  it("is unavailable within the request's time when it is held up, freezes nothing, and comes back", async () => {
    const hasty = await rig.startAnother({
      configure: (shipped) => ({ ...shipped, server: { ...shipped.server, requestTimeoutSeconds: 4 } }),
    });
    const client = (await signedIn()).client.at(hasty);
    const { token } = await tokenFor(client);
    const newcomers = await Promise.all(Array.from({ length: 10 }, () => rig.member(newSubject())));
    const release = await rig.lockTrail();
    try {
      const started = performance.now();
      const asked = [
        client.execute(IssueAccessTokenDocument, chat),
        client.execute(IssueAccessTokenDocument, { ...chat, forceNew: true }),
        ...newcomers.map((newcomer) => newcomer.at(hasty).execute(IssueAccessTokenDocument, chat)),
      ];
      expect((await fetch(`${hasty.url}/health/live`)).status).toBe(200);
      expect((await client.execute(ViewerDocument)).status).toBe(200);
      const [reused, minted, ...first] = await Promise.all(asked);
      for (const reply of [reused, minted]) expect(reply).toMatchObject(UNAVAILABLE);
      // On SQLite nothing can be written then, the row of a newcomer neither.
      const code = IS_ON_SQLITE ? "STORE_UNAVAILABLE" : "AUDIT_UNAVAILABLE";
      for (const reply of first) expect(reply).toMatchObject({ status: 503, errors: [{ extensions: { code } }] });
      expect(JSON.stringify([reused, minted, ...first])).not.toContain("eyJ");
      expect(performance.now() - started).toBeLessThan(10_000);
    } finally {
      await release();
    }
    await expect.poll(async () => (await client.execute(IssueAccessTokenDocument, chat)).status).toBe(200);
    expect((await tokenFor(client)).token).toBe(token);
    for (const newcomer of newcomers) await tokenFor(newcomer.at(hasty));
    expect(await rig.verifyTrail()).toMatchObject({ code: 0, stdout: expect.stringContaining(", whole") });
  });

  it("keeps back a token that was minted and could not be recorded, and takes nothing from the budgets for it", async () => {
    const { client } = await signedIn();
    const newcomer = await rig.member(newSubject());
    const exchange = () => client.execute(ExchangeTeamsUserTokenDocument, teamsRequest({}));
    for (const [operation, who, ask] of [
      ["issueAccessToken", client, () => client.execute(IssueAccessTokenDocument, { ...chat, forceNew: true })],
      ["createIdentity", newcomer, () => newcomer.execute(IssueAccessTokenDocument, chat)],
      ["exchangeTeamsUserAccessToken", client, exchange],
    ] as const) {
      await rig.takeCalls();
      await rig.fault({ operation, kind: "delay", delayMs: 300 });
      const underWay = ask();
      await rig.untilCalled(operation);
      await takeAway();
      try {
        const reply = await underWay;
        expect(reply).toMatchObject(UNAVAILABLE);
        expect(reply.text).not.toContain("eyJ");
        expect(reply.headers.get("ratelimit")).not.toContain("mints");
      } finally {
        await bringBack();
      }
      await tokenFor(who);
    }
    for (const chain of await readChains(rig.ask)) expect(faultIn(chain)).toBeUndefined();
  });
});

describe("the whole trail", () => {
  it("is unbroken when two instances write at once, and has each token that left", async () => {
    const other = await rig.startAnother();
    const clients = await Promise.all(Array.from({ length: 10 }, () => rig.member(newSubject())));
    const callers = clients.flatMap((client) => [client, client.at(other)]);
    const rounds = Array.from({ length: 3 }, () => callers).flat();
    const tokens = await Promise.all(rounds.map((client) => tokenFor(client)));
    const chains = await readChains(rig.ask);
    for (const chain of chains) expect(faultIn(chain)).toBeUndefined();
    const recorded = new Set(
      chains.flat().flatMap(({ phase, tokenFingerprint }) => (phase === "OUTCOME" ? (tokenFingerprint ?? []) : [])),
    );
    expect(tokens.filter(({ token }) => !recorded.has(fingerprint(token)))).toEqual([]);
    const metrics = await (await fetch(`${other.adminUrl}/metrics`)).text();
    const count = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(metrics)?.[1]);
    expect(count("gateway_audit_records_total")).toBeGreaterThanOrEqual(30);
    expect(count('gateway_audit_writes_total\\{outcome="ok"\\}')).toBeLessThan(count("gateway_audit_records_total"));
  });

  it("is listed when the gateway has little else to do, as a gauge tells, and after a stop", async () => {
    const client = await rig.member(newSubject());
    await tokenFor(client);
    const metrics = async () => await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
    await expect.poll(metrics, { timeout: 10_000 }).toMatch(/^gateway_audit_unlisted 0$/m);
    await tokenFor(client);
    await rig.restartGateway();
    expect(await rig.ask("select id from audit_events where listed = 0")).toEqual([]);
  });

  it("has no secret in it", async () => {
    const canaries = new Canaries();
    const client = await rig.member(newSubject());
    canaries.token("caller's token", client.token);
    canaries.token("first token", (await tokenFor(client)).token);
    canaries.token("minted token", (await tokenFor(client, { forceNew: true })).token);
    const request = teamsRequest({});
    canaries.plant("Teams user's token", request.teamsUserAadToken);
    const { exchangeTeamsUserToken } = await client.ask(ExchangeTeamsUserTokenDocument, request);
    canaries.token("exchanged token", exchangeTeamsUserToken.accessToken?.token ?? expect.fail("no token"));
    const { cacheKeys, auditKey } = openKeys(config);
    for (const key of [...cacheKeys, auditKey]) canaries.plant("key", key.reveal());
    const rows = await readRows(rig.ask);
    expect(rows.length).toBeGreaterThan(50);
    canaries.expectNoneIn("the trail", JSON.stringify(rows));
  });
});
