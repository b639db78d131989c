import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client, Rig, UNTIL_CLEARED } from "../fixtures/rig.js";
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

let rig: Rig;
let admin: Client;
let users = 0;

beforeAll(async () => {
  rig = await Rig.start();
  admin = await rig.admin();
});
beforeEach(async () => {
  await rig.clearFaults();
  await rig.takeCalls();
});
afterAll(async () => {
  await rig.close();
});

/** A user who has a token. */
async function signedIn(): Promise<{ client: Client; identityId: string; token: string }> {
  const client = await rig.member(`user-${users++}`);
  const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  const { token, identity } = issueAccessToken.accessToken ?? expect.fail("no token");
  await rig.takeCalls();
  return { client, identityId: identity.id, token };
}

async function refusalOf(client: Client): Promise<string | undefined> {
  const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  return issueAccessToken.userErrors[0]?.code;
}

describe("revokeAccessTokens", () => {
  it("kills the caller's tokens at the service and lets new ones live", async () => {
    const { client, token, identityId } = await signedIn();
    const before = Date.now();
    const { revokeAccessTokens } = await client.ask(RevokeMyAccessTokensDocument, { reason: "signed out" });
    expect(revokeAccessTokens.userErrors).toEqual([]);
    expect(Date.parse(revokeAccessTokens.effectiveBy ?? "")).toBeGreaterThanOrEqual(before + 15 * 60_000);
    expect(await rig.takeCalls()).toEqual({ revokeAccessTokens: 1 });
    expect(await rig.isActive(token)).toBe(false);
    const { node } = await admin.ask(IdentityDocument, { id: identityId });
    expect(node).toMatchObject({ status: "ACTIVE", revocationPending: false, tokensValidAfter: expect.any(String) });
    const again = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    expect(await rig.isActive(again.issueAccessToken.accessToken?.token ?? "")).toBe(true);
  });

  it("of another needs IDENTITY_MANAGE", async () => {
    const { identityId, token } = await signedIn();
    const other = await rig.member("other");
    expect(await other.execute(RevokeAccessTokensDocument, { identityId })).toMatchObject({ status: 403, data: null });
    expect(await rig.isActive(token)).toBe(true);
    const { revokeAccessTokens } = await admin.ask(RevokeAccessTokensDocument, { identityId, reason: "lost phone" });
    expect(revokeAccessTokens.identity?.id).toBe(identityId);
    expect(await rig.isActive(token)).toBe(false);
  });

  it("drops a token that was under way when the revocation landed", async () => {
    const { client, identityId } = await signedIn();
    await rig.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 300 });
    const underWay = client.ask(IssueAccessTokenDocument, { scopes: ["VOIP"] });
    await rig.untilCalled("issueAccessToken");
    await admin.ask(RevokeAccessTokensDocument, { identityId });
    const { issueAccessToken } = await underWay;
    expect(issueAccessToken).toMatchObject({
      accessToken: null,
      userErrors: [{ code: "REVOCATION_PENDING", retryAfterSeconds: 1 }],
    });
  });

  it("answers IDENTITY_NOT_FOUND to a caller who has no identity", async () => {
    const { revokeAccessTokens } = await (await rig.member("stranger")).ask(RevokeMyAccessTokensDocument);
    expect(revokeAccessTokens).toMatchObject({ effectiveBy: null, userErrors: [{ code: "IDENTITY_NOT_FOUND" }] });
    expect(await rig.takeCalls()).toEqual({});
  });

  it("refuses a reason of more than 500 characters", async () => {
    const { client } = await signedIn();
    const { revokeAccessTokens } = await client.ask(RevokeMyAccessTokensDocument, { reason: "x".repeat(501) });
    expect(revokeAccessTokens.userErrors).toMatchObject([{ code: "INVALID_INPUT", path: ["input", "reason"] }]);
  });
});

describe("suspendIdentity and reinstateIdentity", () => {
  it("stop tokens, old and new, and let them be again", async () => {
    const { client, identityId, token } = await signedIn();
    const { suspendIdentity } = await admin.ask(SuspendIdentityDocument, { identityId, reason: "abuse" });
    expect(suspendIdentity.identity).toMatchObject({ status: "SUSPENDED", revocationPending: false });
    expect(await rig.isActive(token)).toBe(false);
    expect(await refusalOf(client)).toBe("IDENTITY_SUSPENDED");
    const onBehalf = await admin.ask(IssueAccessTokenOnBehalfDocument, { identityId, scopes: ["CHAT"] });
    expect(onBehalf.issueAccessToken.userErrors).toMatchObject([{ code: "IDENTITY_SUSPENDED" }]);
    expect(await rig.takeCalls()).toEqual({ revokeAccessTokens: 1 });

    const { reinstateIdentity } = await admin.ask(ReinstateIdentityDocument, { identityId });
    expect(reinstateIdentity.identity).toMatchObject({ status: "ACTIVE" });
    expect(await rig.isActive(token)).toBe(false);
    expect(await refusalOf(client)).toBeUndefined();
  });

  it("can be repeated", async () => {
    const { identityId } = await signedIn();
    for (const document of [SuspendIdentityDocument, SuspendIdentityDocument]) {
      expect(await admin.execute(document, { identityId })).toMatchObject({ status: 200, errors: undefined });
    }
    for (const document of [ReinstateIdentityDocument, ReinstateIdentityDocument]) {
      expect(await admin.execute(document, { identityId })).toMatchObject({ status: 200, errors: undefined });
    }
    expect(await rig.takeCalls()).toEqual({ revokeAccessTokens: 1 });
  });

  it("need IDENTITY_MANAGE, even for one's own", async () => {
    const { client, identityId } = await signedIn();
    expect(await client.execute(SuspendIdentityDocument, { identityId })).toMatchObject({ status: 403 });
    expect(await client.execute(ReinstateIdentityDocument, { identityId })).toMatchObject({ status: 403 });
    const auditor = await rig.member("auditor", { claims: { roles: ["Gateway.Auditor"] } });
    expect(await auditor.execute(SuspendIdentityDocument, { identityId })).toMatchObject({ status: 403 });
    expect((await auditor.ask(IdentityDocument, { id: identityId })).node).toMatchObject({ status: "ACTIVE" });
  });

  it("drop a token that was under way", async () => {
    const { client, identityId } = await signedIn();
    await rig.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 300 });
    const underWay = client.ask(IssueAccessTokenDocument, { scopes: ["VOIP"] });
    await rig.untilCalled("issueAccessToken");
    await admin.ask(SuspendIdentityDocument, { identityId });
    expect((await underWay).issueAccessToken).toMatchObject({
      accessToken: null,
      userErrors: [{ code: "IDENTITY_SUSPENDED" }],
    });
  });

  it("stop a Teams exchange too, also one that was under way", async () => {
    const { client, identityId } = await signedIn();
    const guid = "11111111-2222-3333-4444-555555555555";
    const claims = { oid: guid, appid: guid, exp: Math.floor(Date.now() / 1000) + 3600 };
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const teamsUserAadToken = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.${part({})}`;
    const exchange = () =>
      client.ask(ExchangeTeamsUserTokenDocument, { teamsUserAadToken, clientId: guid, userObjectId: guid });
    await rig.fault({ operation: "exchangeTeamsUserAccessToken", kind: "delay", delayMs: 300 });
    const underWay = exchange();
    await rig.untilCalled("exchangeTeamsUserAccessToken");
    await admin.ask(SuspendIdentityDocument, { identityId });
    for (const reply of [await underWay, await exchange()]) {
      expect(reply.exchangeTeamsUserToken).toMatchObject({
        accessToken: null,
        userErrors: [{ code: "IDENTITY_SUSPENDED" }],
      });
    }
  });

  it("hold for a user whose identity is just being made", async () => {
    const client = await rig.member("new-and-suspended");
    await rig.fault({ operation: "createIdentity", kind: "delay", delayMs: 300 });
    const underWay = client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    await rig.untilCalled("createIdentity");
    const { identities } = (
      await admin.send({ query: "{ identities(first: 1, filter: { status: [PROVISIONING] }) { nodes { id } } }" })
    ).data as { identities: { nodes: { id: string }[] } };
    const identityId = identities.nodes[0]?.id ?? expect.fail("no row while provisioning");
    await admin.ask(SuspendIdentityDocument, { identityId });
    expect((await underWay).issueAccessToken).toMatchObject({
      accessToken: null,
      userErrors: [{ code: "IDENTITY_SUSPENDED" }],
    });
    await admin.ask(ReinstateIdentityDocument, { identityId });
    await expect.poll(() => refusalOf(client), { timeout: 5000 }).toBeUndefined();
    const after = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    expect(after.issueAccessToken.accessToken?.identity.id).toBe(identityId);
    expect(await rig.takeCalls()).toMatchObject({ revokeAccessTokens: 1 });
  });
});

describe("deleteIdentity", () => {
  it("erases at the service and in the store; the user coming back gets a new identity", async () => {
    const { client, identityId, token } = await signedIn();
    const { deleteIdentity } = await client.ask(DeleteMyIdentityDocument, { reason: "leaving" });
    expect(deleteIdentity).toEqual({ deletedIdentityId: identityId, userErrors: [] });
    expect(await rig.takeCalls()).toEqual({ deleteIdentity: 1 });
    expect(await rig.isActive(token)).toBe(false);
    const { node } = await admin.ask(IdentityDocument, { id: identityId });
    expect(node).toMatchObject({ status: "DELETED", user: null, communicationUserId: null });
    expect((await client.ask(ViewerDocument)).viewer.identity).toBeNull();
    const back = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    expect(back.issueAccessToken.accessToken?.identity.id).not.toBe(identityId);
  });

  it("by an administrator can be repeated", async () => {
    const { identityId } = await signedIn();
    for (let time = 0; time < 2; time++) {
      const { deleteIdentity } = await admin.ask(DeleteIdentityDocument, { identityId });
      expect(deleteIdentity).toEqual({ deletedIdentityId: identityId, userErrors: [] });
    }
    expect(await rig.takeCalls()).toEqual({ deleteIdentity: 1 });
  });

  it("of another needs IDENTITY_MANAGE", async () => {
    const { identityId, token } = await signedIn();
    expect(await (await rig.member("other")).execute(DeleteIdentityDocument, { identityId })).toMatchObject({
      status: 403,
    });
    expect(await rig.isActive(token)).toBe(true);
  });

  it("is no way around a suspension", async () => {
    const { client, identityId } = await signedIn();
    await admin.ask(SuspendIdentityDocument, { identityId });
    const { deleteIdentity } = await client.ask(DeleteMyIdentityDocument);
    expect(deleteIdentity).toMatchObject({ deletedIdentityId: null, userErrors: [{ code: "IDENTITY_SUSPENDED" }] });
    expect(await refusalOf(client)).toBe("IDENTITY_SUSPENDED");
    const byAdmin = await admin.ask(DeleteIdentityDocument, { identityId });
    expect(byAdmin.deleteIdentity.deletedIdentityId).toBe(identityId);
  });

  it("that the service fails is written down and carried out later; meanwhile nothing is issued", async () => {
    const { client, identityId } = await signedIn();
    await rig.fault({ operation: "deleteIdentity", kind: "status", status: 500, times: UNTIL_CLEARED });
    expect((await client.ask(DeleteMyIdentityDocument)).deleteIdentity.deletedIdentityId).toBe(identityId);
    expect(await refusalOf(client)).toBe("IDENTITY_DELETING");
    expect((await client.ask(DeleteMyIdentityDocument)).deleteIdentity.deletedIdentityId).toBe(identityId);
    await rig.clearFaults();
    await expect.poll(() => refusalOf(client), { timeout: 10_000 }).toBeUndefined();
  });

  it("counts as done when the service had already lost the identity", async () => {
    const { client, identityId } = await signedIn();
    await rig.fault({ operation: "deleteIdentity", kind: "commitThenDrop" });
    expect((await client.ask(DeleteMyIdentityDocument)).deleteIdentity.deletedIdentityId).toBe(identityId);
    const status = async () => (await admin.ask(IdentityDocument, { id: identityId })).node;
    await expect.poll(status, { timeout: 10_000 }).toMatchObject({ status: "DELETED", user: null });
  });

  it("can be repeated by the user whose mapping is gone", async () => {
    const { client, identityId } = await signedIn();
    for (let time = 0; time < 2; time++) {
      expect((await client.ask(DeleteMyIdentityDocument)).deleteIdentity.deletedIdentityId).toBe(identityId);
    }
    expect(await rig.takeCalls()).toEqual({ deleteIdentity: 1 });
    const stranger = await rig.member("never-here");
    expect((await stranger.ask(DeleteMyIdentityDocument)).deleteIdentity.userErrors).toMatchObject([
      { code: "IDENTITY_NOT_FOUND" },
    ]);
  });

  it("during provisioning leaves no identity behind at the service", async () => {
    const client = await rig.member("changed-my-mind");
    const { total: before, live } = (await rig.control("GET", "/identities")) as { total: number; live: number };
    await rig.fault({ operation: "createIdentity", kind: "delay", delayMs: 300 });
    const underWay = client.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    await rig.untilCalled("createIdentity");
    expect((await client.ask(DeleteMyIdentityDocument)).deleteIdentity.deletedIdentityId).not.toBeNull();
    expect((await underWay).data?.issueAccessToken.userErrors).toMatchObject([
      { code: "IDENTITY_DELETING", path: ["input"], retryAfterSeconds: 5 },
    ]);
    await expect
      .poll(() => rig.control("GET", "/identities"), { timeout: 5000 })
      .toMatchObject({ total: before + 1, live });
  });
});

describe("provisionIdentity", () => {
  it("gives a user an identity before they come, and the same one again", async () => {
    const user = { issuer: rig.issuer.url, subject: "early" };
    const first = await admin.ask(ProvisionIdentityDocument, { user });
    const second = await admin.ask(ProvisionIdentityDocument, { user });
    expect(second).toEqual(first);
    expect(await rig.takeCalls()).toEqual({ createIdentity: 1 });
    const { issueAccessToken } = await (await rig.member("early")).ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    expect(issueAccessToken.accessToken?.identity.id).toBe(first.provisionIdentity.identity?.id);
    expect(await rig.takeCalls()).toEqual({ issueAccessToken: 1 });
  });

  it("needs IDENTITY_MANAGE", async () => {
    const user = { issuer: rig.issuer.url, subject: "nobody" };
    expect(await (await rig.member()).execute(ProvisionIdentityDocument, { user })).toMatchObject({
      status: 403,
      data: null,
    });
    expect(await rig.takeCalls()).toEqual({});
  });

  it("refuses an issuer that the gateway does not accept, and a subject that no token could have", async () => {
    const foreign = await admin.ask(ProvisionIdentityDocument, {
      user: { issuer: "https://example.com", subject: "x" },
    });
    expect(foreign.provisionIdentity.userErrors).toMatchObject([
      { code: "INVALID_INPUT", path: ["input", "user", "issuer"] },
    ]);
    for (const subject of ["", "x".repeat(256)]) {
      const { provisionIdentity } = await admin.ask(ProvisionIdentityDocument, {
        user: { issuer: rig.issuer.url, subject },
      });
      expect(provisionIdentity.userErrors).toMatchObject([
        { code: "INVALID_INPUT", path: ["input", "user", "subject"] },
      ]);
    }
  });
});
