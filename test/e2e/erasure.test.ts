import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Client, IS_ON_SQLITE, Rig } from "../fixtures/rig.js";
import { readRows } from "../fixtures/trail.js";
import {
  DeleteIdentityDocument,
  DeleteMyIdentityDocument,
  ExchangeTeamsUserTokenDocument,
  IdentityByUserDocument,
  IdentityDocument,
  IssueAccessTokenDocument,
  IssueAccessTokenOnBehalfDocument,
  OperationsDocument,
  ProvisionIdentityDocument,
  SuspendIdentityDocument,
} from "../generated/graphql.js";

/** More than two statements erase. */
const MANY = 2500;
const subject = "u-canary";
const GUID = "11111111-2222-3333-4444-555555555555";

let rig: Rig;
let admin: Client;
let user: Client;
let clockAhead = 0;

beforeEach(async () => {
  clockAhead = 0;
  rig = await Rig.start({ now: () => Date.now() + clockAhead });
  [admin, user] = [await rig.admin(), await rig.member(subject)];
});
afterEach(async () => {
  await rig.close();
});

async function signIn(): Promise<string> {
  const { issueAccessToken } = await user.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  return issueAccessToken.accessToken?.identity.id ?? expect.fail("no token");
}

/** Records of what the user has done with their identity, as if over years. */
async function addRecords(identityId: string): Promise<void> {
  await rig.ask(`
    insert into audit_events (id, writer, sequence, at, action, phase, identity_id, actor_issuer, actor_subject, actor_salt,
      actor_commitment, reason, reason_salt, reason_commitment, request_id, hash)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${MANY})
    select 'aud_old_' || i, 'old', i, i, 'TOKEN_REFUSED', 'OUTCOME', '${identityId}', '${rig.issuer.url}', '${subject}', 's',
      'c', 'said of them', 's', 'c', 'r', 'h'
    from n`);
}

const statusOf = async (id: string) => (await admin.ask(IdentityDocument, { id })).node;
const named = async () => (await readRows(rig.ask)).filter((row) => row.actor_subject === subject);
const saidOf = async (id: string) =>
  (await readRows(rig.ask)).filter((row) => row.identity_id === id && row.reason !== null);

/** The first search is over: only what comes later is left to find. */
const isSearched = async () => (await rig.ask<object>("select 1 from audit_erasures where is_last = 1")).length === 1;

/** What takes no erasure, until what it answers is called. */
async function protectTrail(): Promise<() => Promise<unknown>> {
  if (IS_ON_SQLITE) {
    await rig.ask(
      "create trigger protected before update on audit_events begin select raise(abort, 'is protected'); end",
    );
    return () => rig.ask("drop trigger protected");
  }
  await rig.ask(
    "create function protect() returns trigger language plpgsql as $$ begin raise exception 'is protected'; end $$",
  );
  await rig.ask("create trigger protected before update on audit_events for each row execute function protect()");
  return () => rig.ask("drop trigger protected on audit_events");
}

describe("the erasure of a user from the trail", () => {
  it("is complete when the identity is DELETED, however many records there are", async () => {
    const id = await signIn();
    await addRecords(id);
    await user.ask(DeleteMyIdentityDocument);
    await expect.poll(() => statusOf(id), { timeout: 15_000 }).toMatchObject({ status: "DELETED" });
    expect((await named()).filter(({ writer }) => writer === "old")).toEqual([]);
    expect(await saidOf(id)).toEqual([]);
    await expect.poll(named).toEqual([]);
  });

  it.runIf(IS_ON_SQLITE)("leaves nothing of them in the database's file once its log is empty", async () => {
    const reason = "said-of-canary";
    const id = await signIn();
    await admin.ask(SuspendIdentityDocument, { identityId: id, reason });
    await admin.ask(DeleteIdentityDocument, { identityId: id, reason });
    await expect.poll(() => statusOf(id), { timeout: 15_000 }).toMatchObject({ status: "DELETED" });
    await expect.poll(async () => [...(await named()), ...(await saidOf(id))]).toEqual([]);
    await expect.poll(() => rig.ask("pragma wal_checkpoint(truncate)")).toMatchObject([{ busy: 0 }]);
    const files = ["gateway.db", "gateway.db-wal"].map((name) => readFileSync(join(rig.folder, name)));
    for (const text of [subject, reason]) expect(files.map((bytes) => bytes.includes(text))).toEqual([false, false]);
  });

  it("leaves by whose order something was done to somebody else", async () => {
    const aliceId = await signIn();
    await admin.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    await admin.ask(IssueAccessTokenOnBehalfDocument, { identityId: aliceId, scopes: ["CHAT"] });
    await admin.ask(DeleteMyIdentityDocument);
    const ofAda = async () => (await readRows(rig.ask)).filter((row) => row.actor_subject === "ada");
    await expect.poll(async () => (await ofAda()).map((row) => row.identity_id)).toEqual([aliceId]);
  });

  it("is complete when the identity is DELETED of which the service never heard", async () => {
    await rig.fault({ operation: "createIdentity", kind: "status", status: 429 });
    expect(await user.execute(IssueAccessTokenDocument, { scopes: ["CHAT"] })).toMatchObject({ status: 503 });
    const { identityByUser } = await admin.ask(IdentityByUserDocument, { user: { issuer: rig.issuer.url, subject } });
    const id = identityByUser?.id ?? expect.fail("no identity");
    await addRecords(id);
    await admin.ask(DeleteIdentityDocument, { identityId: id });
    await expect.poll(() => statusOf(id), { timeout: 15_000 }).toMatchObject({ status: "DELETED", user: null });
    expect([await named(), await saidOf(id)]).toEqual([[], []]);
    expect(await rig.takeCalls()).not.toHaveProperty("deleteIdentity");
  });

  it("that fails is put off with its error, and the identity is not DELETED before", async () => {
    const id = await signIn();
    const unprotect = await protectTrail();
    await user.ask(DeleteMyIdentityDocument);
    const pending = async () => (await admin.ask(OperationsDocument)).pendingServiceWork[0];
    await expect.poll(pending).toMatchObject({ tries: 3, lastError: expect.stringContaining("is protected") });
    expect(await statusOf(id)).toMatchObject({ status: "DELETING" });
    await unprotect();
    await expect.poll(() => statusOf(id), { timeout: 15_000 }).toMatchObject({ status: "DELETED" });
    await expect.poll(named).toEqual([]);
  });

  it("reaches what is about no identity, once an operator has made one for who never had any", async () => {
    const ask = { teamsUserAadToken: "x", clientId: GUID, userObjectId: GUID };
    expect(await user.ask(ExchangeTeamsUserTokenDocument, ask)).toMatchObject({
      exchangeTeamsUserToken: { userErrors: [{ code: "TEAMS_TOKEN_REJECTED" }] },
    });
    expect((await named()).map((row) => row.identity_id)).toEqual([null, null]);
    const { provisionIdentity } = await admin.ask(ProvisionIdentityDocument, {
      user: { issuer: rig.issuer.url, subject },
    });
    await admin.ask(DeleteIdentityDocument, { identityId: provisionIdentity.identity?.id ?? expect.fail("none") });
    await expect.poll(named).toEqual([]);
  });

  it("reaches a Teams exchange that was under way", async () => {
    const id = await signIn();
    await rig.fault({ operation: "exchangeTeamsUserAccessToken", kind: "delay", delayMs: 3000 });
    const ask = { teamsUserAadToken: "x", clientId: GUID, userObjectId: GUID };
    const underWay = user.execute(ExchangeTeamsUserTokenDocument, ask);
    await rig.untilCalled("exchangeTeamsUserAccessToken");
    await admin.ask(DeleteIdentityDocument, { identityId: id });
    await expect.poll(isSearched).toBe(true);
    await underWay;
    expect((await named()).map((row) => row.identity_id)).toEqual([id]);
    clockAhead = 2 * 60_000;
    await expect.poll(named).toEqual([]);
  });

  it("is repeated for what was under way while they were deleted, and spares who has come back", async () => {
    const id = await signIn();
    await rig.takeCalls();
    await rig.fault({ operation: "issueAccessToken", kind: "delay", delayMs: 3000 });
    const underWay = user.execute(IssueAccessTokenDocument, { scopes: ["CHAT"], forceNew: true });
    await rig.untilCalled("issueAccessToken");
    await admin.ask(DeleteIdentityDocument, { identityId: id });
    expect(await statusOf(id)).toMatchObject({ status: "DELETED" });
    await expect.poll(isSearched).toBe(true);
    await underWay;
    expect((await named()).map((row) => row.identity_id)).toContain(id);
    const back = await signIn();
    clockAhead = 2 * 60_000;
    const identities = async () => [...new Set((await named()).map((row) => row.identity_id))];
    await expect.poll(identities).toEqual([back]);
    await expect.poll(() => rig.ask("select 1 from audit_erasures")).toEqual([]);
  });
});
