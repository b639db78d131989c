import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Client } from "../fixtures/rig.js";
import { Rig, UNTIL_CLEARED } from "../fixtures/rig.js";
import {
  ExchangeTeamsUserTokenDocument,
  IssueAccessTokenDocument,
  RevokeMyAccessTokensDocument,
} from "../generated/graphql.js";

const UNAVAILABLE = {
  status: 503,
  data: null,
  errors: [{ extensions: { code: "UPSTREAM_UNAVAILABLE", retryable: true } }],
};

let rig: Rig;
let known: Client;

/** Without repeats, so that each failure is seen; test/acs/guard has those. */
async function start(): Promise<void> {
  const acs = { timeoutSeconds: 0.6, retryPercent: 0 };
  rig = await Rig.start({ configure: (config) => ({ ...config, acs: { ...config.acs, ...acs } }) });
  known = await rig.member("known");
  await known.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  await rig.takeCalls();
}

beforeAll(start);
afterEach(async () => {
  await rig.control("DELETE", "/faults");
  await rig.takeCalls();
});
afterAll(async () => {
  await rig.close();
});

async function issue() {
  return await known.execute(IssueAccessTokenDocument, { scopes: ["CHAT"], forceNew: true });
}

describe("what the service fails with, translated", () => {
  it.each([429, 500, 502, 503])("%i without Retry-After is 503 with one of our own", async (status) => {
    await rig.fault({ operation: "issueAccessToken", kind: "status", status });
    const reply = await issue();
    expect(reply).toMatchObject(UNAVAILABLE);
    expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await rig.takeCalls()).toEqual({ issueAccessToken: 1 });
  });

  it("an HTML page is 503 and none of it reaches the client", async () => {
    await rig.fault({ operation: "issueAccessToken", kind: "html503" });
    const reply = await issue();
    expect(reply).toMatchObject(UNAVAILABLE);
    expect(reply.text).not.toContain("<");
  });

  it("a dropped connection is 503", async () => {
    await rig.fault({ operation: "issueAccessToken", kind: "commitThenDrop" });
    expect(await issue()).toMatchObject(UNAVAILABLE);
    expect(await rig.takeCalls()).toEqual({ issueAccessToken: 1 });
  });

  it("a service that hangs is 504 at the deadline", async () => {
    await rig.fault({ operation: "issueAccessToken", kind: "hang" });
    expect(await issue()).toMatchObject({
      status: 504,
      data: null,
      errors: [{ extensions: { code: "DEADLINE_EXCEEDED", retryable: true } }],
    });
    expect(await rig.takeCalls()).toEqual({ issueAccessToken: 1 });
  });

  it("a refused key is 503 for the client and a line in the log for the operator", async () => {
    await rig.fault({
      operation: "issueAccessToken",
      kind: "status",
      status: 401,
      code: "Denied",
      message: "Denied by the resource provider.",
    });
    expect(await issue()).toMatchObject(UNAVAILABLE);
    expect(rig.logLines.join("")).toContain("Denied by the resource provider.");
  });

  it("works again with the next call", async () => {
    await rig.fault({ operation: "issueAccessToken", kind: "status", status: 500 });
    await issue();
    expect(await issue()).toMatchObject({ status: 200, errors: undefined });
  });
});

describe("a create that fails", () => {
  it("is not repeated, and the next call gives the same user one identity", async () => {
    const before = await rig.identitiesAtService();
    const fresh = await rig.member("fresh");
    await rig.fault({ operation: "createIdentity", kind: "status", status: 503 });
    expect(await fresh.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] })).toMatchObject(UNAVAILABLE);
    expect(await rig.takeCalls()).toEqual({ createIdentity: 1 });
    expect(await fresh.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] })).toMatchObject({ status: 200 });
    expect(await rig.identitiesAtService()).toBe(before + 1);
  });

  it("fails everybody who waits for it, once", async () => {
    const fresh = await rig.member("fresh-crowd");
    await rig.fault({ operation: "createIdentity", kind: "status", status: 500, delayMs: 100 });
    const replies = await Promise.all(
      Array.from({ length: 5 }, () => fresh.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] })),
    );
    expect(replies.map(({ status }) => status)).toEqual([503, 503, 503, 503, 503]);
    expect(await rig.takeCalls()).toEqual({ createIdentity: 1 });
  });
});

describe("a revocation that the service did not carry out", () => {
  it("is accepted, said to be pending, and carried out as soon as the service can; until then no token is issued", async () => {
    const client = await rig.member("leaver");
    const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    const old = issueAccessToken.accessToken?.token ?? "";
    await rig.fault({ operation: "revokeAccessTokens", kind: "status", status: 500, times: UNTIL_CLEARED });
    const { revokeAccessTokens } = await client.ask(RevokeMyAccessTokensDocument);
    expect(revokeAccessTokens).toMatchObject({ effectiveBy: null, userErrors: [] });
    const refused = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    expect(refused.issueAccessToken.userErrors).toMatchObject([{ code: "REVOCATION_PENDING", path: ["input"] }]);
    expect(refused.issueAccessToken.userErrors[0]?.retryAfterSeconds).toBeGreaterThan(0);
    await rig.clearFaults();
    await expect.poll(() => rig.isActive(old), { timeout: 10_000 }).toBe(false);
    const issue = async () =>
      (await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] })).issueAccessToken.accessToken;
    await expect.poll(issue, { timeout: 10_000 }).not.toBeNull();
  });
});

describe("exchangeTeamsUserToken", () => {
  const GUID = "11111111-2222-3333-4444-555555555555";
  const teamsToken = (claims: object) =>
    [
      { alg: "RS256", typ: "JWT" },
      { aud: "https://auth.msft.communication.azure.com", exp: Date.now() / 1000 + 3600, ...claims },
      "signature",
    ]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");

  it("returns a communication token", async () => {
    const reply = await known.ask(ExchangeTeamsUserTokenDocument, {
      teamsUserAadToken: teamsToken({ oid: GUID, appid: GUID }),
      clientId: GUID,
      userObjectId: GUID,
    });
    expect(reply.exchangeTeamsUserToken).toMatchObject({ accessToken: { token: expect.any(String) }, userErrors: [] });
    expect(await rig.takeCalls()).toEqual({ exchangeTeamsUserAccessToken: 1 });
  });

  it("answers TEAMS_TOKEN_REJECTED for one that the service does not accept", async () => {
    const reply = await known.ask(ExchangeTeamsUserTokenDocument, {
      teamsUserAadToken: teamsToken({ oid: GUID, appid: GUID, exp: 1 }),
      clientId: GUID,
      userObjectId: GUID,
    });
    expect(reply.exchangeTeamsUserToken).toMatchObject({
      accessToken: null,
      userErrors: [{ code: "TEAMS_TOKEN_REJECTED", path: ["input", "teamsUserAadToken"] }],
    });
  });

  it("hands out no token with less than 15 minutes left", async () => {
    const soon = { oid: GUID, appid: GUID, exp: Math.floor(Date.now() / 1000) + 800 };
    const variables = { teamsUserAadToken: teamsToken(soon), clientId: GUID, userObjectId: GUID };
    const reply = await known.ask(ExchangeTeamsUserTokenDocument, variables);
    expect(reply.exchangeTeamsUserToken).toMatchObject({
      accessToken: null,
      userErrors: [{ code: "TEAMS_TOKEN_REJECTED" }],
    });
  });

  it("asks the service no more with less than a second of the request's time left", async () => {
    const brief = await rig.startAnother({
      configure: ({ server, ...shipped }) => ({ ...shipped, server: { ...server, requestTimeoutSeconds: 1 } }),
    });
    const variables = { teamsUserAadToken: teamsToken({ oid: GUID, appid: GUID }), clientId: GUID, userObjectId: GUID };
    expect(await known.at(brief).execute(ExchangeTeamsUserTokenDocument, variables)).toMatchObject(UNAVAILABLE);
    expect(await rig.takeCalls()).toEqual({});
  });

  it("refuses ids that are no GUIDs without asking the service", async () => {
    const variables = { teamsUserAadToken: "x", clientId: GUID, userObjectId: "bob" };
    const reply = await known.ask(ExchangeTeamsUserTokenDocument, variables);
    expect(reply.exchangeTeamsUserToken.userErrors).toMatchObject([
      { code: "INVALID_INPUT", path: ["input", "userObjectId"] },
    ]);
    expect(await rig.takeCalls()).toEqual({});
  });

  it("does not take a refused key for a refused token", async () => {
    await rig.fault({ operation: "exchangeTeamsUserAccessToken", kind: "status", status: 401, code: "Denied" });
    const variables = { teamsUserAadToken: teamsToken({ oid: GUID, appid: GUID }), clientId: GUID, userObjectId: GUID };
    expect(await known.execute(ExchangeTeamsUserTokenDocument, variables)).toMatchObject(UNAVAILABLE);
  });
});

describe("a service that asks to wait", () => {
  beforeEach(async () => {
    await rig.close();
    await start();
  });

  it("429 with Retry-After is 503 with the same Retry-After", async () => {
    await rig.fault({ operation: "issueAccessToken", kind: "status", status: 429, retryAfterSeconds: 7 });
    const reply = await issue();
    expect(reply).toMatchObject(UNAVAILABLE);
    expect(reply.headers.get("retry-after")).toBe("7");
    expect(reply.errors?.[0]?.extensions.retryAfterSeconds).toBe(7);
    expect(await rig.takeCalls()).toEqual({ issueAccessToken: 1 });
  });

  it("keeps further calls of the operation away until it is over, and says for how long", async () => {
    await rig.fault({ operation: "issueAccessToken", kind: "status", status: 429, retryAfterSeconds: 7 });
    await issue();
    await rig.takeCalls();
    const reply = await issue();
    expect(reply).toMatchObject(UNAVAILABLE);
    expect(Number(reply.headers.get("retry-after"))).toBeGreaterThanOrEqual(6);
    expect(await rig.takeCalls()).toEqual({});
    const { revokeAccessTokens } = await known.ask(RevokeMyAccessTokensDocument);
    expect(revokeAccessTokens).toMatchObject({ effectiveBy: expect.any(String), userErrors: [] });
  });

  it("a Retry-After beyond all reason is an hour", async () => {
    await rig.fault({ operation: "issueAccessToken", kind: "status", status: 429, retryAfterSeconds: 86_400 });
    expect((await issue()).headers.get("retry-after")).toBe("3600");
  });
});
