import { StatementSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Client, IS_ON_SQLITE, Rig } from "../fixtures/rig.js";
import {
  IdentitiesByIdDocument,
  IdentitiesDocument,
  type IdentitiesQueryVariables,
  IdentityByCommunicationUserIdDocument,
  IdentityByUserDocument,
  IdentityDocument,
  type IdentityOrder,
  IssueAccessTokenDocument,
  ProvisionIdentityDocument,
  SuspendIdentityDocument,
} from "../generated/graphql.js";

const COUNT = 23;

let rig: Rig;
let admin: Client;
/** By the number in the subject. */
const ids: string[] = [];
let clock = Date.parse("2026-01-01T00:00:00Z");

beforeAll(async () => {
  // Pairs are asked for in the same millisecond, so that only the id tells them apart.
  rig = await Rig.start({
    now: () => clock,
    configure: (config) => ({
      ...config,
      issuers: config.issuers.map((issuer) => ({ ...issuer, clockToleranceSeconds: 1e9 })),
    }),
  });
  admin = await rig.admin();
  for (let number = 0; number < COUNT; number++) {
    clock += number % 2 === 0 ? 1000 : 0;
    const user = { issuer: rig.issuer.url, subject: `user-${String(number).padStart(2, "0")}` };
    const { provisionIdentity } = await admin.ask(ProvisionIdentityDocument, { user });
    ids.push(provisionIdentity.identity?.id ?? expect.fail("not provisioned"));
  }
  await admin.ask(SuspendIdentityDocument, { identityId: ids[3] ?? "" });
  await admin.ask(SuspendIdentityDocument, { identityId: ids[4] ?? "" });
});
afterAll(async () => {
  await rig.close();
});

async function walk(
  size: number,
  backward: boolean,
  rest: Omit<IdentitiesQueryVariables, "first" | "last" | "after" | "before">,
): Promise<string[][]> {
  const pages: string[][] = [];
  let cursor: string | null = null;
  for (;;) {
    const range: IdentitiesQueryVariables = backward ? { last: size, before: cursor } : { first: size, after: cursor };
    const { identities } = await admin.ask(IdentitiesDocument, { ...range, ...rest });
    pages.push(identities.edges.map(({ node }) => node.id));
    const { hasNextPage, hasPreviousPage, startCursor, endCursor } = identities.pageInfo;
    if (!(backward ? hasPreviousPage : hasNextPage)) return pages;
    cursor = backward ? startCursor : endCursor;
    if (pages.length > COUNT) expect.fail("the pages never end");
  }
}

describe("identities", () => {
  it("come newest first when no order is asked for", async () => {
    const { identities } = await admin.ask(IdentitiesDocument, { first: 100 });
    const times = identities.edges.map(({ node }) => Date.parse(node.createdAt));
    expect(times).toEqual([...times].sort((one, other) => other - one));
    expect(identities.totalCount).toBe(COUNT);
    expect(identities.pageInfo).toMatchObject({ hasNextPage: false, hasPreviousPage: false });
  });

  const orders: IdentityOrder[] = [
    { field: "CREATED_AT", direction: "ASC" },
    { field: "CREATED_AT", direction: "DESC" },
    { field: "LAST_TOKEN_ISSUED_AT", direction: "ASC" },
    { field: "LAST_TOKEN_ISSUED_AT", direction: "DESC" },
  ];
  it.each(orders)("page forward and backward through the same list, each once: $field $direction", async (orderBy) => {
    const { identities } = await admin.ask(IdentitiesDocument, { first: 100, orderBy });
    const whole = identities.edges.map(({ node }) => node.id);
    expect(new Set(whole).size).toBe(COUNT);
    expect((await walk(5, false, { orderBy })).flat()).toEqual(whole);
    expect((await walk(5, true, { orderBy })).reverse().flat()).toEqual(whole);
  });

  it("stop at `before` when paged forward from `after`", async () => {
    const { identities } = await admin.ask(IdentitiesDocument, { first: 10 });
    const [from, to] = [identities.edges[2], identities.edges[6]];
    const between = await admin.ask(IdentitiesDocument, {
      first: 100,
      after: from?.cursor ?? "",
      before: to?.cursor ?? "",
    });
    expect(between.identities.edges).toEqual(identities.edges.slice(3, 6));
  });

  it("are filtered by status, by subject and by time, all together", async () => {
    const suspended = await admin.ask(IdentitiesDocument, { first: 10, filter: { status: ["SUSPENDED"] } });
    expect(suspended.identities.totalCount).toBe(2);
    const prefix = await admin.ask(IdentitiesDocument, {
      first: 3,
      filter: { subjectPrefix: "user-1", issuer: rig.issuer.url },
    });
    expect(prefix.identities.totalCount).toBe(10);
    expect(prefix.identities.edges).toHaveLength(3);
    const anyCase = await admin.ask(IdentitiesDocument, { first: 3, filter: { subjectPrefix: "USER-1" } });
    expect(anyCase.identities.totalCount).toBe(0);
    const wildcard = await admin.ask(IdentitiesDocument, { first: 3, filter: { subjectPrefix: "user_1%" } });
    expect(wildcard.identities.totalCount).toBe(0);
    const since = { createdSince: "2026-01-01T00:00:02Z", createdUntil: "2026-01-01T00:00:03.000Z" };
    const dated = await admin.ask(IdentitiesDocument, { last: 10, filter: since });
    expect(dated.identities.edges.map(({ node }) => node.user?.subject).sort()).toEqual(["user-02", "user-03"]);
    const all = await admin.ask(IdentitiesDocument, {
      first: 10,
      filter: { ...since, status: ["SUSPENDED"], subjectPrefix: "user-0" },
    });
    expect(all.identities.edges.map(({ node }) => node.id)).toEqual([ids[3]]);
  });

  it("need IDENTITY_READ", async () => {
    const member = await rig.member();
    expect(await member.execute(IdentitiesDocument, { first: 1 })).toMatchObject({
      status: 403,
      data: null,
      errors: [{ extensions: { code: "FORBIDDEN" } }],
    });
  });

  const bad: [string, IdentitiesQueryVariables, string][] = [
    ["first: 0", { first: 0 }, "first"],
    ["first: 101", { first: 101 }, "first"],
    ["last: -1", { last: -1 }, "last"],
    ["both first and last", { first: 1, last: 1 }, "last"],
    ["neither first nor last", {}, "first"],
    ["a cursor that is none", { first: 1, after: "nonsense" }, "after"],
    [
      "a cursor that is JSON but none of ours",
      { first: 1, before: Buffer.from('["CREATED_AT DESC","x",3]').toString("base64url") },
      "before",
    ],
    ["an empty subjectPrefix", { first: 1, filter: { subjectPrefix: "" } }, "filter.subjectPrefix"],
  ];
  it.each(bad)("answer BAD_USER_INPUT that names the argument for %s", async (_, variables, argument) => {
    const reply = await admin.execute(IdentitiesDocument, variables);
    expect(reply).toMatchObject({
      status: 400,
      data: null,
      errors: [{ extensions: { code: "BAD_USER_INPUT", argument } }],
    });
    expect(reply.errors?.[0]?.message).toContain(`"${argument}"`);
  });

  it("say in a whole sentence what is missing, and what is one too many", async () => {
    const messageFor = async (variables: IdentitiesQueryVariables) =>
      (await admin.execute(IdentitiesDocument, variables)).errors?.[0]?.message;
    expect(await messageFor({})).toBe('Argument "first" is missing: give it or "last", 1 to 100.');
    const both = 'Argument "last" cannot be given together with "first".';
    expect(await messageFor({ first: 1, last: 1 })).toBe(both);
  });

  it("answer BAD_USER_INPUT for a cursor of another order", async () => {
    const { identities } = await admin.ask(IdentitiesDocument, { first: 1 });
    const orderBy: IdentityOrder = { field: "CREATED_AT", direction: "ASC" };
    const reply = await admin.execute(IdentitiesDocument, { first: 1, after: identities.pageInfo.endCursor, orderBy });
    expect(reply).toMatchObject({
      status: 400,
      errors: [{ extensions: { code: "BAD_USER_INPUT", argument: "after" } }],
    });
  });
});

// Counted in SQLite; the statements are the same on any database.
describe.runIf(IS_ON_SQLITE)("the cost of a request", () => {
  /** SQL statements that one request runs. */
  async function statements(query: string): Promise<number> {
    const spies = (["all", "run"] as const).map((method) => vi.spyOn(StatementSync.prototype, method));
    try {
      const { errors } = await admin.send({ query });
      expect(errors).toBeUndefined();
      const ran = spies.flatMap((spy) => (spy.mock.contexts as StatementSync[]).map(({ sourceSQL }) => sourceSQL));
      // What carries out revocations, erases and lists looks for some at its own pace.
      return ran.filter((statement) => !/service_work|audit_erasures|"listed" = 0/.test(statement)).length;
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
  }
  const fields = "id status user { subject } communicationUserId lastTokenIssuedAt revocationPending";

  it("is one query for a page of identities, however long, and one more for the count", async () => {
    for (const first of [1, 20]) {
      expect(
        await statements(
          `{ identities(first: ${first}) { nodes { ${fields} } edges { cursor node { ${fields} } } pageInfo { hasNextPage } } }`,
        ),
      ).toBe(1);
      expect(await statements(`{ identities(first: ${first}) { nodes { id } totalCount } }`)).toBe(2);
    }
  });

  it("is one query for all ids, and one for all users, of a request", async () => {
    const list = JSON.stringify(ids.slice(0, 20));
    const nodes = ids.slice(0, 5).map((id, index) => `n${index}: node(id: "${id}") { id }`);
    expect(await statements(`{ nodes(ids: ${list}) { id } ${nodes.join(" ")} }`)).toBe(1);
    const users = ids
      .slice(0, 5)
      .map(
        (_, index) =>
          `u${index}: identityByUser(user: { issuer: "${rig.issuer.url}", subject: "user-0${index}" }) { id }`,
      );
    expect(await statements(`{ viewer { identity { id } } ${users.join(" ")} }`)).toBe(1);
  });
});

describe("one identity", () => {
  it("is found by id, by user and by communication user id", async () => {
    const { node } = await admin.ask(IdentityDocument, { id: ids[0] ?? "" });
    const user = { issuer: rig.issuer.url, subject: "user-00" };
    const byUser = await admin.ask(IdentityByUserDocument, { user });
    expect(byUser.identityByUser).toMatchObject({ id: ids[0], user });
    const communicationUserId = byUser.identityByUser?.communicationUserId ?? "";
    const byService = await admin.ask(IdentityByCommunicationUserIdDocument, { communicationUserId });
    expect(byService.identityByCommunicationUserId).toEqual(byUser.identityByUser);
    expect(node).toEqual(byUser.identityByUser);
  });

  it("that is unknown is null", async () => {
    expect((await admin.ask(IdentityDocument, { id: "idn_0000000000000000000000" })).node).toBeNull();
    const user = { issuer: rig.issuer.url, subject: "nobody" };
    expect((await admin.ask(IdentityByUserDocument, { user })).identityByUser).toBeNull();
    const communicationUserId = "8:acs:00000000-0000-0000-0000-000000000000_00000000-0000-0000-0000-000000000000";
    const reply = await admin.ask(IdentityByCommunicationUserIdDocument, { communicationUserId });
    expect(reply.identityByCommunicationUserId).toBeNull();
  });

  it("of the caller may be read without permission; another's answers like one that does not exist", async () => {
    const member = await rig.member("reader");
    const { issueAccessToken } = await member.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    const own = issueAccessToken.accessToken?.identity ?? expect.fail("no token");
    const nodes = await member.ask(IdentitiesByIdDocument, { ids: [own.id, ids[0] ?? "", "unknown", own.id] });
    expect(nodes.nodes.map((node) => node?.id)).toEqual([own.id, undefined, undefined, own.id]);
    const byUser = await member.ask(IdentityByUserDocument, { user: { issuer: rig.issuer.url, subject: "reader" } });
    expect(byUser.identityByUser?.id).toBe(own.id);
    const communicationUserId = own.communicationUserId ?? "";
    const byService = await member.ask(IdentityByCommunicationUserIdDocument, { communicationUserId });
    expect(byService.identityByCommunicationUserId?.id).toBe(own.id);

    const { identityByUser: foreign } = await admin.ask(IdentityByUserDocument, {
      user: { issuer: rig.issuer.url, subject: "user-00" },
    });
    const unknown = "8:acs:00000000-0000-0000-0000-000000000000_00000000-0000-0000-0000-000000000000";
    const refusals = await Promise.all([
      member.execute(IdentityByUserDocument, { user: foreign?.user ?? expect.fail("no user") }),
      member.execute(IdentityByUserDocument, { user: { issuer: rig.issuer.url, subject: "nobody" } }),
      member.execute(IdentityByCommunicationUserIdDocument, {
        communicationUserId: foreign?.communicationUserId ?? "",
      }),
      member.execute(IdentityByCommunicationUserIdDocument, { communicationUserId: unknown }),
    ]);
    for (const refusal of refusals) {
      expect(refusal).toMatchObject({ status: 403, errors: [{ extensions: { code: "FORBIDDEN" } }] });
    }
    expect(refusals[0]?.errors?.[0]?.message).toBe(refusals[1]?.errors?.[0]?.message);
    expect(refusals[2]?.errors?.[0]?.message).toBe(refusals[3]?.errors?.[0]?.message);
  });

  it("by an id that cannot be one is BAD_USER_INPUT", async () => {
    const reply = await admin.execute(IdentityByCommunicationUserIdDocument, { communicationUserId: "bob" });
    expect(reply).toMatchObject({ status: 400, errors: [{ extensions: { code: "BAD_USER_INPUT" } }] });
  });

  it("more than a hundred at once are BAD_USER_INPUT", async () => {
    const reply = await admin.execute(IdentitiesByIdDocument, { ids: Array.from({ length: 101 }, () => "x") });
    expect(reply).toMatchObject({ status: 400, errors: [{ extensions: { code: "BAD_USER_INPUT", argument: "ids" } }] });
  });
});
