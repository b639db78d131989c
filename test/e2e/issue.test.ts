import { setTimeout } from "node:timers/promises";
import { createRemoteJWKSet, decodeJwt, jwtVerify } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client, Rig } from "../fixtures/rig.js";
import {
  IdentityByUserDocument,
  IssueAccessTokenDocument,
  type IssueAccessTokenMutationVariables,
  IssueAccessTokenOnBehalfDocument,
  ProvisionIdentityDocument,
  RevokeMyAccessTokensDocument,
  ViewerDocument,
} from "../generated/graphql.js";

let rig: Rig;

beforeAll(async () => {
  rig = await Rig.start();
});
beforeEach(async () => {
  await rig.takeCalls();
});
afterAll(async () => {
  await rig.close();
});

describe("issueAccessToken for a first-time user", () => {
  it("makes identity and token in one service call", async () => {
    const alice = await rig.member("first-timer");
    const { issueAccessToken } = await alice.ask(IssueAccessTokenDocument, { scopes: ["CHAT", "VOIP"] });
    expect(issueAccessToken.userErrors).toEqual([]);
    expect(await rig.takeCalls()).toEqual({ createIdentity: 1 });
    const { token, identity } = issueAccessToken.accessToken ?? expect.fail("no token");
    expect(decodeJwt(token)).toMatchObject({
      skypeid: identity.communicationUserId?.replace(/^8:/, ""),
      acsScope: "chat,voip",
    });
    expect(await rig.isActive(token)).toBe(true);
  });

  it("returns a token that the service's published key verifies", async () => {
    const client = await rig.member("verifies");
    const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    const keys = createRemoteJWKSet(new URL("_emulator/jwks", rig.emulator.endpoint));
    await expect(jwtVerify(issueAccessToken.accessToken?.token ?? "", keys)).resolves.toBeDefined();
  });

  it("shows the viewer no identity before and the same one after", async () => {
    const client = await rig.member("viewer");
    expect((await client.ask(ViewerDocument)).viewer).toMatchObject({
      user: { issuer: rig.issuer.url, subject: "viewer" },
      permissions: ["TOKEN_ISSUE"],
      allowedScopes: ["CHAT", "CHAT_JOIN", "VOIP", "VOIP_JOIN"],
      maxTokenLifetimeMinutes: 1440,
      identity: null,
    });
    const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    const { viewer } = await client.ask(ViewerDocument);
    expect(viewer.identity).toMatchObject({
      id: issueAccessToken.accessToken?.identity.id,
      status: "ACTIVE",
      lastTokenIssuedAt: expect.stringMatching(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/),
    });
  });

  it("makes one identity for twenty concurrent calls, and at most one token more", async () => {
    const client = await rig.member("stampede");
    const replies = await Promise.all(
      Array.from({ length: 20 }, () => client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] })),
    );
    const tokens = replies.map(({ issueAccessToken }) => issueAccessToken.accessToken);
    expect(new Set(tokens.map((token) => token?.identity.communicationUserId)).size).toBe(1);
    const { createIdentity, issueAccessToken = 0 } = await rig.takeCalls();
    expect(createIdentity).toBe(1);
    expect(issueAccessToken).toBeLessThanOrEqual(1);
    expect(new Set(tokens.map((token) => token?.token)).size).toBe(1 + issueAccessToken);
  });
});

describe("issueAccessToken for a known user", () => {
  it("makes one issue call and keeps the identity, across a restart of the gateway", async () => {
    const client = await rig.member("returning");
    const first = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    await rig.restartGateway();
    await rig.takeCalls();
    const second = await client.ask(IssueAccessTokenDocument, { scopes: ["VOIP"] });
    expect(await rig.takeCalls()).toEqual({ issueAccessToken: 1 });
    expect(second.issueAccessToken.accessToken?.identity).toEqual(first.issueAccessToken.accessToken?.identity);
  });

  it("gives the lifetime that was asked for and a refreshAfter that leaves at least 15 minutes", async () => {
    const client = await rig.member("lifetime");
    const now = Date.now();
    const reply = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"], lifetimeMinutes: 60 });
    const { expiresOn, refreshAfter } = reply.issueAccessToken.accessToken ?? expect.fail("no token");
    expect((Date.parse(expiresOn) - now) / 60_000).toBeCloseTo(60, 0);
    expect(Date.parse(expiresOn) - Date.parse(refreshAfter)).toBeGreaterThanOrEqual(15 * 60_000);
    expect(Date.parse(refreshAfter)).toBeGreaterThan(now);
  });

  it("gives each scope once", async () => {
    const client = await rig.member("twice");
    const reply = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT", "CHAT"] });
    expect(reply.issueAccessToken.accessToken?.scopes).toEqual(["CHAT"]);
  });

  it("keeps users of the same subject at different case apart", async () => {
    const lower = await (await rig.member("case")).ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    const upper = await (await rig.member("CASE")).ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    expect(lower.issueAccessToken.accessToken?.identity.id).not.toBe(upper.issueAccessToken.accessToken?.identity.id);
  });
});

describe("issueAccessToken again", () => {
  const ask = async (client: Client, variables: IssueAccessTokenMutationVariables) =>
    (await client.ask(IssueAccessTokenDocument, variables)).issueAccessToken.accessToken?.token;

  it("returns the same token for the same scopes in any order and the same lifetime, without a service call", async () => {
    const client = await rig.member("again");
    const first = await ask(client, { scopes: ["CHAT", "VOIP"], lifetimeMinutes: 90 });
    await rig.takeCalls();
    expect(await ask(client, { scopes: ["VOIP", "CHAT", "VOIP"], lifetimeMinutes: 90 })).toBe(first);
    expect(await rig.takeCalls()).toEqual({});
    expect(await ask(client, { scopes: ["CHAT"], lifetimeMinutes: 90 })).not.toBe(first);
    expect(await ask(client, { scopes: ["CHAT", "VOIP"], lifetimeMinutes: 91 })).not.toBe(first);
    expect(await rig.takeCalls()).toEqual({ issueAccessToken: 2 });
  });

  it("returns a new token when one is asked for, and that one from then on", async () => {
    const client = await rig.member("force");
    const first = await ask(client, { scopes: ["CHAT"] });
    const forced = await ask(client, { scopes: ["CHAT"], forceNew: true });
    expect(forced).not.toBe(first);
    expect(await ask(client, { scopes: ["CHAT"] })).toBe(forced);
  });

  it("never returns another user's token, or one from before a revocation", async () => {
    const [alice, bob] = [await rig.member("alice-1"), await rig.member("bob-1")];
    const first = await ask(alice, { scopes: ["CHAT"] });
    expect(await ask(bob, { scopes: ["CHAT"] })).not.toBe(first);
    await alice.ask(RevokeMyAccessTokensDocument);
    expect(await ask(alice, { scopes: ["CHAT"] })).not.toBe(first);
  });

  it("mints once for twenty concurrent calls of a known user", async () => {
    const client = await rig.member("crowd");
    await ask(client, { scopes: ["CHAT"] });
    await rig.takeCalls();
    const tokens = await Promise.all(Array.from({ length: 20 }, () => ask(client, { scopes: ["VOIP"] })));
    expect(new Set(tokens).size).toBe(1);
    expect(await rig.takeCalls()).toEqual({ issueAccessToken: 1 });
  });

  it("shares the failure of a mint, and does not keep it", async () => {
    const client = await rig.member("crowd-2");
    await ask(client, { scopes: ["CHAT"] });
    await rig.takeCalls();
    await rig.fault({ operation: "issueAccessToken", kind: "status", status: 403, delayMs: 200 });
    const all = Array.from({ length: 5 }, () => client.execute(IssueAccessTokenDocument, { scopes: ["VOIP"] }));
    expect((await Promise.all(all)).map(({ status }) => status)).toEqual([503, 503, 503, 503, 503]);
    expect(await rig.takeCalls()).toEqual({ issueAccessToken: 1 });
    expect(await ask(client, { scopes: ["VOIP"] })).toBeDefined();
  });
});

describe("issueAccessToken refuses with a user error", () => {
  it.each<[string, IssueAccessTokenMutationVariables, string, string[]]>([
    [
      "a scope that the policy does not allow",
      { scopes: ["CHAT_JOIN_LIMITED"] },
      "SCOPE_NOT_ALLOWED",
      ["input", "scopes"],
    ],
    ["no scopes", { scopes: [] }, "INVALID_INPUT", ["input", "scopes"]],
    [
      "a lifetime of 59",
      { scopes: ["CHAT"], lifetimeMinutes: 59 },
      "LIFETIME_NOT_ALLOWED",
      ["input", "lifetimeMinutes"],
    ],
    [
      "a lifetime of 1441",
      { scopes: ["CHAT"], lifetimeMinutes: 1441 },
      "LIFETIME_NOT_ALLOWED",
      ["input", "lifetimeMinutes"],
    ],
  ])("%s", async (_, variables, code, path) => {
    const client = await rig.member("refused");
    const reply = await client.execute(IssueAccessTokenDocument, variables);
    expect(reply.status).toBe(200);
    expect(reply.data?.issueAccessToken).toMatchObject({ accessToken: null, userErrors: [{ code, path }] });
    expect(await rig.takeCalls()).toEqual({});
  });

  it("a lifetime above that of one of its scopes, whatever another rule grants another scope for", async () => {
    const strict = await Rig.start({
      configure: (config) => ({
        ...config,
        policy: {
          rules: [
            { name: "chat", when: {}, permissions: ["TOKEN_ISSUE"], scopes: ["CHAT"], maxLifetimeMinutes: 1440 },
            { name: "calls", when: {}, permissions: [], scopes: ["VOIP"], maxLifetimeMinutes: 60 },
          ],
        },
      }),
    });
    const client = await strict.member();
    const minutesOf = async (scopes: ("CHAT" | "VOIP")[], lifetimeMinutes: number | null = null) => {
      const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes, lifetimeMinutes });
      const { accessToken, userErrors } = issueAccessToken;
      return accessToken
        ? Math.round((Date.parse(accessToken.expiresOn) - Date.now()) / 60_000)
        : userErrors[0]?.message;
    };
    expect(await minutesOf(["CHAT"])).toBe(1440);
    expect(await minutesOf(["VOIP"])).toBe(60);
    expect(await minutesOf(["CHAT", "VOIP"])).toBe(60);
    expect(await minutesOf(["VOIP"], 61)).toBe("The lifetime must be 60 to 60 minutes for these scopes.");
    await strict.close();
  });

  it("a lifetime above the policy's", async () => {
    const strict = await Rig.start({
      configure: (config) => ({
        ...config,
        policy: { rules: config.policy.rules.map((rule) => ({ ...rule, maxLifetimeMinutes: 120 })) },
      }),
    });
    try {
      const client = await strict.member();
      const refused = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"], lifetimeMinutes: 121 });
      expect(refused.issueAccessToken.userErrors).toMatchObject([{ code: "LIFETIME_NOT_ALLOWED" }]);
      const most = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
      const { expiresOn } = most.issueAccessToken.accessToken ?? expect.fail("no token");
      expect((Date.parse(expiresOn) - Date.now()) / 60_000).toBeCloseTo(120, 0);
    } finally {
      await strict.close();
    }
  });
});

describe("issueAccessToken on behalf of another", () => {
  it("needs TOKEN_ISSUE_ANY, whether the identity exists or not", async () => {
    const admin = await rig.admin();
    const { provisionIdentity } = await admin.ask(ProvisionIdentityDocument, {
      user: { issuer: rig.issuer.url, subject: "bot" },
    });
    const existing = provisionIdentity.identity?.id ?? "";
    const member = await rig.member("nosy");
    await rig.takeCalls();
    const replies = [];
    for (const identityId of [existing, "idn_0000000000000000000000"]) {
      const { status, errors, data } = await member.execute(IssueAccessTokenOnBehalfDocument, {
        identityId,
        scopes: ["CHAT"],
      });
      replies.push({ status, errors, data });
    }
    expect(replies[0]).toMatchObject({ status: 403, errors: [{ extensions: { code: "FORBIDDEN" } }], data: null });
    expect(replies[1]).toEqual(replies[0]);
    expect(await rig.takeCalls()).toEqual({});
  });

  it("issues for a provisioned identity that never had a token", async () => {
    const admin = await rig.admin();
    const user = { issuer: rig.issuer.url, subject: "bot-2" };
    const { provisionIdentity } = await admin.ask(ProvisionIdentityDocument, { user });
    expect(provisionIdentity.identity).toMatchObject({ status: "ACTIVE", user, lastTokenIssuedAt: null });
    expect(await rig.takeCalls()).toEqual({ createIdentity: 1 });
    const reply = await admin.ask(IssueAccessTokenOnBehalfDocument, {
      identityId: provisionIdentity.identity?.id ?? "",
      scopes: ["CHAT"],
    });
    expect(reply.issueAccessToken.accessToken?.identity.user).toEqual(user);
    expect(await rig.takeCalls()).toEqual({ issueAccessToken: 1 });
  });

  it("answers IDENTITY_NOT_FOUND for an unknown id", async () => {
    const admin = await rig.admin();
    const reply = await admin.ask(IssueAccessTokenOnBehalfDocument, { identityId: "nonsense", scopes: ["CHAT"] });
    expect(reply.issueAccessToken).toMatchObject({
      accessToken: null,
      userErrors: [{ code: "IDENTITY_NOT_FOUND", path: ["input", "identityId"] }],
    });
  });

  it("lets a member name their own identity", async () => {
    const client = await rig.member("own-id");
    const first = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    const identityId = first.issueAccessToken.accessToken?.identity.id ?? "";
    const second = await client.ask(IssueAccessTokenOnBehalfDocument, { identityId, scopes: ["CHAT"] });
    expect(second.issueAccessToken.accessToken?.identity.id).toBe(identityId);
  });
});

describe("a caller without TOKEN_ISSUE", () => {
  it("is refused with 403 and no service call", async () => {
    const closed = await Rig.start({ configure: (config) => ({ ...config, policy: { rules: [] } }) });
    try {
      const reply = await (await closed.member()).execute(IssueAccessTokenDocument, { scopes: ["CHAT"] });
      expect(reply).toMatchObject({
        status: 403,
        data: null,
        errors: [{ extensions: { code: "FORBIDDEN", retryable: false } }],
      });
      expect(await closed.takeCalls()).toEqual({});
      const admin = await (await closed.admin()).execute(IdentityByUserDocument, {
        user: { issuer: "x", subject: "y" },
      });
      expect(admin).toMatchObject({ status: 403, data: { identityByUser: null } });
    } finally {
      await closed.close();
    }
  });
});

it("takes nothing from the budgets for a first token of which nothing came, though the request's time was up by then", async () => {
  const hasty = await Rig.start({
    configure: (config) => ({
      ...config,
      server: { ...config.server, requestTimeoutSeconds: 3 },
      limits: { ...config.limits, mintsPerIssuer: 3 },
    }),
  });
  const issue = async (subject: string) =>
    await (await hasty.member(subject)).execute(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  const late = { kind: "status", status: 429, retryAfterSeconds: 1, delayMs: 3500 };
  await hasty.fault({ operation: "createIdentity", times: 3, ...late });
  const inVain = await Promise.all(["one", "two", "three"].map(issue));
  expect(inVain.map(({ status }) => status)).toEqual([504, 504, 504]);
  await setTimeout(2000);
  await hasty.clearFaults();
  for (const subject of ["four", "five", "six"])
    expect((await issue(subject)).data?.issueAccessToken.accessToken).toBeTruthy();
  await hasty.close();
});
