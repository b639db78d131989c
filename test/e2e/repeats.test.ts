/** What each mutation's description says of repeating it: a client on a bad network may, and does no harm. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RawConnection } from "../fixtures/raw.js";
import { type Client, Rig } from "../fixtures/rig.js";
import {
  DeleteIdentityDocument,
  DeleteMyIdentityDocument,
  ExchangeTeamsUserTokenDocument,
  IssueAccessTokenDocument,
  ProvisionIdentityDocument,
  ReinstateIdentityDocument,
  RevokeMyAccessTokensDocument,
  SuspendIdentityDocument,
  type TypedDocumentString,
  ViewerDocument,
} from "../generated/graphql.js";

const GUID = "11111111-2222-3333-4444-555555555555";
const TIMES = 8;

let rig: Rig;
let admin: Client;
let users = 0;

beforeAll(async () => {
  rig = await Rig.start();
  admin = await rig.admin();
});
afterAll(() => rig.close());

interface User {
  readonly client: Client;
  readonly identityId: string;
  readonly token: string;
}

async function newcomer() {
  const subject = `user-${users++}`;
  return { subject, client: await rig.member(subject) };
}

async function signedIn(): Promise<User> {
  const { client } = await newcomer();
  const { token, identity } = await tokenFor(client);
  return { client, token, identityId: identity.id };
}

async function tokenFor(client: Client) {
  const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  return issueAccessToken.accessToken ?? expect.fail(JSON.stringify(issueAccessToken.userErrors));
}

/** One call, as often as a client comes to make it. */
interface Repeated<Data, Variables> {
  readonly client: Client;
  readonly document: TypedDocumentString<Data, Variables>;
  readonly variables: Variables & object;
}

const WAYS = ["in turn", "at once", "after its answer was lost", "after its client had left"] as const;

async function repeat<Data, Variables>(
  way: (typeof WAYS)[number],
  { client, document, variables }: Repeated<Data, Variables>,
): Promise<Data[]> {
  const body = { query: document.toString(), variables };
  const ask = async () => {
    const { data, text } = await client.send(body);
    return (data as Data | null) ?? expect.fail(text);
  };
  if (way === "at once") return await Promise.all(Array.from({ length: TIMES }, ask));
  if (way === "in turn") return [await ask(), await ask(), await ask()];
  const connection = await RawConnection.open(rig.gateway.url);
  connection.send(postOf(client, JSON.stringify(body)));
  if (way === "after its answer was lost") await connection.until(/^HTTP/);
  else await new Promise((resolve) => connection.socket.write("", resolve));
  connection.close();
  return [await ask(), await ask()];
}

function postOf({ token }: Client, body: string): string {
  return [
    "POST /graphql HTTP/1.1",
    "host: gateway",
    "content-type: application/json",
    `authorization: Bearer ${token}`,
    `content-length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

function same<Value>(values: readonly Value[]): Value {
  const [first] = values;
  if (first === undefined) throw new Error("no value");
  expect(values).toEqual(values.map(() => first));
  return first;
}

describe.for(WAYS)("repeated %s,", (way) => {
  it("issueAccessToken makes one identity, and every token that it answers is good", async () => {
    const { client } = await newcomer();
    const answers = await repeat(way, { client, document: IssueAccessTokenDocument, variables: { scopes: ["CHAT"] } });
    const tokens = answers.map(({ issueAccessToken }) => issueAccessToken.accessToken ?? expect.fail("no token"));
    same(tokens.map(({ identity }) => identity.id));
    for (const token of new Set(tokens.map(({ token }) => token))) expect(await rig.isActive(token)).toBe(true);
  });

  it("issueAccessToken with forceNew leaves earlier tokens good", async () => {
    const { client, token, identityId } = await signedIn();
    const variables = { scopes: ["CHAT" as const], forceNew: true };
    const answers = await repeat(way, { client, document: IssueAccessTokenDocument, variables });
    const tokens = answers.map(({ issueAccessToken }) => issueAccessToken.accessToken ?? expect.fail("no token"));
    expect(same(tokens.map(({ identity }) => identity.id))).toBe(identityId);
    const different = new Set([token, ...tokens.map(({ token }) => token)]);
    expect(different.size).toBe(1 + answers.length);
    for (const good of different) expect(await rig.isActive(good)).toBe(true);
  });

  it("exchangeTeamsUserToken answers tokens that are all good, and makes no identity", async () => {
    const { client } = await newcomer();
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = { oid: GUID, appid: GUID, exp: Math.floor(Date.now() / 1000) + 3600 };
    const teamsUserAadToken = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.${part({})}`;
    const variables = { teamsUserAadToken, clientId: GUID, userObjectId: GUID };
    const identities = await rig.identitiesAtService();
    const answers = await repeat(way, { client, document: ExchangeTeamsUserTokenDocument, variables });
    for (const { exchangeTeamsUserToken } of answers) {
      const { token } = exchangeTeamsUserToken.accessToken ?? expect.fail("no token");
      expect(await rig.isActive(token)).toBe(true);
    }
    expect(await rig.identitiesAtService()).toBe(identities);
  });

  it("revokeAccessTokens revokes what there is, and the next token is good", async () => {
    const { client, token } = await signedIn();
    const answers = await repeat(way, { client, document: RevokeMyAccessTokensDocument, variables: {} });
    for (const { revokeAccessTokens } of answers) expect(revokeAccessTokens.userErrors).toEqual([]);
    expect(await rig.isActive(token)).toBe(false);
    expect(await rig.isActive((await tokenFor(client)).token)).toBe(true);
  });

  it("provisionIdentity answers the same identity, made once", async () => {
    const { subject } = await newcomer();
    const user = { issuer: rig.issuer.url, subject };
    await rig.takeCalls();
    const answers = await repeat(way, { client: admin, document: ProvisionIdentityDocument, variables: { user } });
    const { identity } = same(answers.map(({ provisionIdentity }) => provisionIdentity));
    expect(identity).toMatchObject({ status: "ACTIVE", user });
    expect(await rig.takeCalls()).toEqual({ createIdentity: 1 });
  });

  it("suspendIdentity answers the suspended identity, revoked once", async () => {
    const { identityId, token } = await signedIn();
    await rig.takeCalls();
    const answers = await repeat(way, { client: admin, document: SuspendIdentityDocument, variables: { identityId } });
    for (const { suspendIdentity } of answers) {
      expect(suspendIdentity).toMatchObject({ identity: { id: identityId, status: "SUSPENDED" }, userErrors: [] });
    }
    same(answers.map(({ suspendIdentity }) => suspendIdentity.identity?.tokensValidAfter));
    expect(await rig.isActive(token)).toBe(false);
    expect(await rig.takeCalls()).toEqual({ revokeAccessTokens: 1 });
  });

  it("suspendIdentity is answered when the service has revoked, however slow it is to", async () => {
    const { identityId, token } = await signedIn();
    await rig.takeCalls();
    await rig.fault({ operation: "revokeAccessTokens", kind: "delay", delayMs: 500 });
    const answers = await repeat(way, { client: admin, document: SuspendIdentityDocument, variables: { identityId } });
    expect(await rig.isActive(token)).toBe(false);
    for (const { suspendIdentity } of answers) expect(suspendIdentity.identity?.revocationPending).toBe(false);
    expect(await rig.takeCalls()).toEqual({ revokeAccessTokens: 1 });
  });

  it("reinstateIdentity answers the reinstated identity", async () => {
    const { identityId, client } = await signedIn();
    await admin.ask(SuspendIdentityDocument, { identityId });
    const variables = { identityId };
    const answers = await repeat(way, { client: admin, document: ReinstateIdentityDocument, variables });
    for (const { reinstateIdentity } of answers) {
      expect(reinstateIdentity).toMatchObject({ identity: { id: identityId, status: "ACTIVE" }, userErrors: [] });
    }
    expect(await rig.isActive((await tokenFor(client)).token)).toBe(true);
  });

  it("deleteIdentity answers the same id, deleted once", async () => {
    const { client, identityId } = await signedIn();
    await rig.takeCalls();
    const answers = await repeat(way, { client, document: DeleteMyIdentityDocument, variables: {} });
    expect(same(answers)).toEqual({ deleteIdentity: { deletedIdentityId: identityId, userErrors: [] } });
    expect(await rig.takeCalls()).toEqual({ deleteIdentity: 1 });
  });

  it("deleteIdentity by its id leaves alone what identity the user has by then", async () => {
    const { client, identityId } = await signedIn();
    const call = { client, document: DeleteIdentityDocument, variables: { identityId } };
    const answers = await repeat(way, call);
    expect(same(answers)).toEqual({ deleteIdentity: { deletedIdentityId: identityId, userErrors: [] } });
    const { identity } = await tokenFor(client);
    expect(identity.id).not.toBe(identityId);
    expect(same(await repeat(way, call))).toEqual(answers[0]);
    expect((await client.ask(ViewerDocument)).viewer.identity).toMatchObject({ id: identity.id, status: "ACTIVE" });
  });
});

describe("a repeat that arrives after somebody has done the opposite does it again:", () => {
  const statusOf = async (client: Client) => (await client.ask(ViewerDocument)).viewer.identity?.status;

  it("suspendIdentity and reinstateIdentity", async () => {
    const { client, identityId } = await signedIn();
    await admin.ask(SuspendIdentityDocument, { identityId });
    await admin.ask(ReinstateIdentityDocument, { identityId });
    await admin.ask(SuspendIdentityDocument, { identityId });
    expect(await statusOf(client)).toBe("SUSPENDED");
    await admin.ask(ReinstateIdentityDocument, { identityId });
    expect(await statusOf(client)).toBe("ACTIVE");
  });

  it("provisionIdentity and issueAccessToken", async () => {
    const { client, subject } = await newcomer();
    const user = { issuer: rig.issuer.url, subject };
    const made = [
      async () => (await admin.ask(ProvisionIdentityDocument, { user })).provisionIdentity.identity?.id,
      async () => (await tokenFor(client)).identity.id,
    ];
    for (const make of made) {
      const first = await make();
      await client.ask(DeleteMyIdentityDocument);
      const second = await make();
      expect(second).toMatch(/^idn_/);
      expect(second).not.toBe(first);
    }
  });
});
