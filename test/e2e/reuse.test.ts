import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, type Instance, IS_ON_SQLITE, Rig } from "../fixtures/rig.js";
import {
  DeleteIdentityDocument,
  IssueAccessTokenDocument,
  ReinstateIdentityDocument,
  RevokeAccessTokensDocument,
  SuspendIdentityDocument,
} from "../generated/graphql.js";

const CROWD = 40;

let rig: Rig;
let other: Instance;
let operator: Client;
beforeAll(async () => {
  rig = await Rig.start();
  other = await rig.startAnother();
  operator = (await rig.admin()).at(other);
});
afterAll(() => rig.close());

interface Answer {
  readonly token: string | undefined;
  readonly identityId: string | undefined;
  readonly refusal: string | undefined;
}

async function ask(client: Client): Promise<Answer> {
  const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  const { accessToken, userErrors } = issueAccessToken;
  return { token: accessToken?.token, identityId: accessToken?.identity.id, refusal: userErrors[0]?.code };
}

/** Who has a token, and has been given it again, so that this instance knows the row. */
async function returning(subject: string): Promise<{ client: Client; token: string; identityId: string }> {
  const client = await rig.member(subject);
  const { token = "", identityId = "" } = await ask(client);
  expect(await ask(client)).toMatchObject({ token });
  expect(await ask(client)).toMatchObject({ token });
  return { client, token, identityId };
}

/** What the trail has of this user's tokens, in order. */
async function recorded(subject: string): Promise<string[]> {
  const rows = await rig.ask<{ action: string; reason: string | null }>(
    `select action, reason from audit_events where actor_subject = '${subject}' and phase = 'OUTCOME' and action like 'TOKEN_%'
      order by at, id`,
  );
  return rows.map(({ action, reason }) => (reason === null ? action : `${action} ${reason}`));
}

const BEFORE = ["TOKEN_ISSUED", "TOKEN_REUSED", "TOKEN_REUSED"];

describe("a user who comes again, of whom another instance has changed something", () => {
  it("is given no token that was revoked there, and none is recorded", async () => {
    const { client, token, identityId } = await returning("revoked");
    await operator.ask(RevokeAccessTokensDocument, { identityId });
    await expect.poll(() => rig.isActive(token), { timeout: 5000 }).toBe(false);
    await expect.poll(async () => (await ask(client)).token, { timeout: 5000 }).toBeDefined();
    const anew = await ask(client);
    expect(anew.token).not.toBe(token);
    expect(await rig.isActive(anew.token ?? "")).toBe(true);
    const refusals = (await recorded("revoked")).filter((line) => line === "TOKEN_REFUSED REVOCATION_PENDING");
    expect(await recorded("revoked")).toEqual([...BEFORE, ...refusals, "TOKEN_ISSUED", "TOKEN_REUSED"]);
  });

  it("is refused while suspended there, and given a token again after", async () => {
    const { client, identityId } = await returning("suspended");
    await operator.ask(SuspendIdentityDocument, { identityId });
    expect(await ask(client)).toMatchObject({ token: undefined, refusal: "IDENTITY_SUSPENDED" });
    expect(await recorded("suspended")).toEqual([...BEFORE, "TOKEN_REFUSED IDENTITY_SUSPENDED"]);
    await operator.ask(ReinstateIdentityDocument, { identityId });
    await expect.poll(async () => (await ask(client)).token, { timeout: 5000 }).toBeDefined();
  });

  it("who was deleted there, is given another identity and nothing of the old one", async () => {
    const { client, token, identityId } = await returning("deleted");
    await operator.ask(DeleteIdentityDocument, { identityId });
    await expect.poll(async () => (await ask(client)).token, { timeout: 5000 }).toBeDefined();
    const anew = await ask(client);
    expect(anew.identityId).not.toBe(identityId);
    expect(anew.token).not.toBe(token);
  });

  it("is told of the row as it is now", async () => {
    const { client, identityId } = await returning("reinstated");
    await operator.ask(SuspendIdentityDocument, { identityId });
    await operator.ask(ReinstateIdentityDocument, { identityId });
    // Its old tokens went with the suspension.
    await expect.poll(async () => (await ask(client)).token, { timeout: 5000 }).toBeDefined();
    expect((await ask(client)).identityId).toBe(identityId);
    const query =
      "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { identity { lastTokenIssuedAt } } } }";
    for (const at of [1_700_000_000_000, 1_700_000_000_001]) {
      await rig.ask(`update identities set last_token_issued_at = ${at} where id = '${identityId}' returning id`);
      const identity = { lastTokenIssuedAt: new Date(at).toISOString() };
      expect(await client.send({ query })).toMatchObject({ data: { issueAccessToken: { accessToken: { identity } } } });
    }
  });
});

describe.skipIf(IS_ON_SQLITE)("a token of which the record takes long", () => {
  let slow: Rig;
  beforeAll(async () => {
    slow = await Rig.start({ elapsed: () => performance.now() });
  });
  afterAll(() => slow.close());

  it("is not handed out when its user was suspended by another instance meanwhile, and that is recorded", async () => {
    const operatorElsewhere = (await slow.admin()).at(await slow.startAnother());
    const client = await slow.member("slow");
    const { identityId = "" } = await ask(client);
    await ask(client);
    await slow.ask(
      `create function take_long() returns trigger language plpgsql as 'begin perform pg_sleep(0.5); return new; end'`,
    );
    await slow.ask(`create trigger take_long before insert on audit_events for each row
      when (new.action = 'TOKEN_REUSED') execute function take_long()`);
    const asking = ask(client);
    await expect
      .poll(() =>
        slow.ask("select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"),
      )
      .toHaveLength(1);
    await operatorElsewhere.ask(SuspendIdentityDocument, { identityId });
    expect(await asking).toMatchObject({ token: undefined, refusal: "IDENTITY_SUSPENDED" });
    const events = await slow.ask<{ action: string }>(
      "select action from audit_events where actor_subject = 'slow' and phase = 'OUTCOME' order by at, id",
    );
    expect(events.map(({ action }) => action).slice(-2)).toEqual(["TOKEN_REUSED", "TOKEN_REFUSED"]);
  });
});

it("of a crowd of whom some are revoked elsewhere, each token that is handed out has its record, and each record its token", async () => {
  const subjects = Array.from({ length: CROWD }, (_, index) => `crowd-${index}`);
  const users = await Promise.all(subjects.map(async (subject) => ({ subject, ...(await returning(subject)) })));
  const handedOut = new Map(subjects.map((subject) => [subject, 0]));
  const asking = Promise.all(
    users.map(async ({ subject, client }) => {
      for (let round = 0; round < 10; round++) {
        const { token } = await ask(client);
        if (token !== undefined) handedOut.set(subject, (handedOut.get(subject) ?? 0) + 1);
      }
    }),
  );
  await Promise.all(
    users
      .filter((_, index) => index % 4 === 0)
      .map(({ identityId }) => operator.ask(RevokeAccessTokensDocument, { identityId })),
  );
  await asking;
  for (const { subject, client } of users) {
    const lines = await recorded(subject);
    const tokens = lines.filter((line) => line === "TOKEN_REUSED" || line === "TOKEN_ISSUED").length - BEFORE.length;
    // What was recorded and then found revoked behind the record is refused, with a record of that.
    const refused = lines.filter((line) => line.startsWith("TOKEN_REFUSED")).length;
    const given = handedOut.get(subject) ?? 0;
    expect([subject, given <= tokens && tokens <= given + refused]).toEqual([subject, true]);
    const last = await ask(client);
    if (last.token !== undefined) expect(await rig.isActive(last.token)).toBe(true);
  }
  expect((await rig.verifyTrail()).code).toBe(0);
});
