/** What schema/public.graphql promises: a caller with no permission but TOKEN_ISSUE can use all of it, and nothing else. */
import { readFileSync } from "node:fs";
import { buildSchema, type GraphQLNamedType, type GraphQLOutputType, getNamedType, isObjectType } from "graphql";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, Rig } from "../fixtures/rig.js";
import { IssueAccessTokenDocument, ViewerDocument } from "../generated/app/graphql.js";

const schemaIn = (file: string) => buildSchema(readFileSync(`schema/${file}`, "utf8"));
const published = schemaIn("public.graphql");
const whole = schemaIn("schema.graphql");
const rootsOf = (schema: typeof published) =>
  [schema.getQueryType(), schema.getMutationType()].flatMap((type) =>
    Object.values(type?.getFields() ?? {}).map((field) => ({ kind: type?.name.toLowerCase(), field })),
  );

const GUID = "11111111-2222-3333-4444-555555555555";

let rig: Rig;
let member: Client;
let identityId: string;
let tokenRecordId: string;
let otherId: string;

beforeAll(async () => {
  rig = await Rig.start();
  member = await rig.member("plain");
  identityId = await identityOf(member);
  otherId = await identityOf(await rig.member("other"));
  const query = `{ viewer { identity { tokenRecords(first: 1) { nodes { id } } } } }`;
  const { data } = await member.send({ query });
  const viewer = (data as { viewer: { identity: { tokenRecords: { nodes: { id: string }[] } } } }).viewer;
  tokenRecordId = viewer.identity.tokenRecords.nodes[0]?.id ?? expect.fail("no token record");
});
afterAll(() => rig.close());

async function identityOf(client: Client): Promise<string> {
  const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  return issueAccessToken.accessToken?.identity.id ?? expect.fail("no token");
}

/** All that can be selected of a type, each type once on the way down. */
function selectionOf(type: GraphQLOutputType, above: readonly GraphQLNamedType[] = []): string {
  const named = getNamedType(type);
  if (!("getFields" in named)) return "";
  const own = Object.values(named.getFields()).flatMap((field) => {
    const answered = getNamedType(field.type);
    if ([...above, named].includes(answered)) return [];
    const inputs = field.args.some(({ name }) => name === "first") ? "(first: 1)" : "";
    return [`${field.name}${inputs} ${selectionOf(field.type, [...above, named])}`];
  });
  const possible = isObjectType(named) ? [] : published.getPossibleTypes(named);
  const fragments = possible.map((type) => `... on ${type.name} ${selectionOf(type, above)}`);
  return `{ __typename ${[...own, ...fragments].join(" ")} }`;
}

function argumentsFor(name: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { oid: GUID, appid: GUID, exp: Math.floor(Date.now() / 1000) + 3600 };
  const teamsToken = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.${part({})}`;
  const inputs: Record<string, string> = {
    viewer: "",
    node: `(id: "${identityId}")`,
    nodes: `(ids: ["${identityId}", "${tokenRecordId}"])`,
    issueAccessToken: "(input: { scopes: [CHAT], lifetimeMinutes: 60, forceNew: true })",
    exchangeTeamsUserToken: `(input: { teamsUserAadToken: "${teamsToken}", clientId: "${GUID}", userObjectId: "${GUID}" })`,
    revokeAccessTokens: '(input: { reason: "signed out" })',
    deleteIdentity: `(input: { identityId: "${identityId}", reason: "left" })`,
  };
  return inputs[name] ?? expect.fail(`${name} is new: say what to give it`);
}

describe("a plain member", () => {
  // In this order, the identity is deleted last.
  const order = ["viewer", "node", "nodes", "issueAccessToken", "exchangeTeamsUserToken", "revokeAccessTokens"];
  const roots = rootsOf(published).sort((one, other) => rank(one.field.name) - rank(other.field.name));
  function rank(name: string): number {
    return order.includes(name) ? order.indexOf(name) : order.length;
  }

  it.each(roots.map(({ kind, field }) => ({ name: field.name, kind, type: field.type })))(
    "can ask for all that is published for apps: $name",
    async ({ name, kind, type }) => {
      const query = `${kind} { ${name}${argumentsFor(name)} ${selectionOf(type)} }`;
      const { data, errors, text } = await member.send({ query });
      expect(errors, text).toBeUndefined();
      expect(text).not.toMatch(/"code":/);
      expect([(data as Record<string, unknown>)[name]].flat()).not.toContain(null);
    },
  );

  const refused: Readonly<Record<string, () => string>> = {
    auditEvents: () => "(first: 1) { totalCount }",
    identities: () => "(first: 1) { totalCount }",
    identityByCommunicationUserId: () => '(communicationUserId: "8:acs:a_b") { id }',
    identityByUser: () => '(user: { issuer: "https://example.com", subject: "other" }) { id }',
    pendingServiceWork: () => "{ tries }",
    provisioningAttemptsInDoubt: () => "{ id }",
    tokenActivity: () => '(since: "2026-01-01T00:00:00Z", until: "2026-01-01T01:00:00Z") { issued }',
    provisionIdentity: () =>
      '(input: { user: { issuer: "https://example.com", subject: "x" } }) { userErrors { code } }',
    suspendIdentity: () => `(input: { identityId: "${otherId}" }) { userErrors { code } }`,
    reinstateIdentity: () => `(input: { identityId: "${otherId}" }) { userErrors { code } }`,
  };

  it.each(Object.entries(refused))("is refused what is not: %s", async (name, rest) => {
    const kind = whole.getMutationType()?.getFields()[name] ? "mutation" : "query";
    const { status, errors } = await member.send({ query: `${kind} { ${name}${rest()} }` });
    expect([status, errors?.[0]?.extensions.code]).toEqual([403, "FORBIDDEN"]);
  });

  it("has been asked about everything that there is", () => {
    const asked = [...rootsOf(published).map(({ field }) => field.name), ...Object.keys(refused)];
    expect(asked.sort()).toEqual(
      rootsOf(whole)
        .map(({ field }) => field.name)
        .sort(),
    );
  });

  it("has used up the identity by now", async () => {
    expect((await member.ask(ViewerDocument)).viewer.identity).toBeNull();
  });
});
