import { getIntrospectionQuery } from "graphql";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.js";
import { type Client, type Reply, Rig } from "../fixtures/rig.js";
import { expectRefusal } from "./refusal.js";

/** The schema has few levels and few lists, so these two limits are tried lower than they ship. */
const LIMITS = { maxDepth: 4, maxCost: 300 };

let rig: Rig;
let admin: Client;

beforeAll(async () => {
  rig = await Rig.start({ configure: (config) => withGraphql(config, LIMITS) });
  admin = await rig.admin();
});
beforeEach(async () => {
  await rig.takeCalls();
});
afterAll(async () => {
  await rig.close();
});

function withGraphql(config: Config, graphql: Partial<Config["graphql"]>): Config {
  const limits = { ...config.limits, requestsPerSubject: 1_000_000 };
  return { ...config, limits, graphql: { ...config.graphql, ...graphql } };
}

function post(body: string | Uint8Array<ArrayBuffer>, client = admin): Promise<Reply<unknown>> {
  return rig.post(body, { "content-type": "application/json", authorization: `Bearer ${client.token}` });
}

const times = (count: number, text: (index: number) => string) =>
  Array.from({ length: count }, (_, i) => text(i)).join(" ");
const quoted = (ids: number) => JSON.stringify(Array.from({ length: ids }, (_, id) => String(id)));
/** Each fragment spreads the next one twice. */
const doubling = (levels: number, each: string) =>
  `${times(levels, (i) => `fragment F${i} on Viewer { ${each} ...F${i + 1} ...F${i + 1} }`)} fragment F${levels} on Viewer { ${each} }`;

interface Attempt {
  readonly query: string;
  readonly variables?: Record<string, unknown>;
}

/** What is just within a limit, and what is just over it. */
interface Limit {
  readonly limit: string;
  readonly code: string;
  readonly within: readonly Attempt[];
  readonly over: readonly Attempt[];
}

const INVALID = "GRAPHQL_VALIDATION_FAILED";
/** Two queries of the database for each, though they bring up no object but themselves. */
const COUNTS = "a: tokenRecords(first: 1) { totalCount } b: tokenRecords(first: 2) { totalCount }";
const PAGE = "nodes { user { subject } }";
const EDGES = "edges { node { user { subject } } }";

const limits: Limit[] = [
  {
    limit: "500 lexical tokens",
    code: "GRAPHQL_PARSE_FAILED",
    within: [{ query: `{ viewer { ${times(495, () => "permissions")} } }` }],
    over: [{ query: `{ viewer { ${times(496, () => "permissions")} } }` }, { query: "{ ".repeat(501) }],
  },
  {
    limit: "brackets nested 100 deep",
    code: "GRAPHQL_PARSE_FAILED",
    within: [{ query: `{ viewer { ${"... { ".repeat(98)} permissions ${"}".repeat(98)} } }` }],
    over: [
      { query: `{ viewer { ${"... { ".repeat(99)} permissions ${"}".repeat(99)} } }` },
      { query: `{ node(id: ${"[".repeat(200)}${"]".repeat(200)}) { id } }` },
      { query: `query ($id: ${"[".repeat(200)}ID${"]".repeat(200)}) { node(id: $id) { id } }` },
    ],
  },
  {
    limit: "2000 lines",
    code: "GRAPHQL_PARSE_FAILED",
    within: [{ query: `${"\n".repeat(1999)}{ viewer { permissions } }` }],
    over: [{ query: `${"\n".repeat(2000)}{ viewer { permissions } }` }],
  },
  {
    limit: "a depth",
    code: INVALID,
    within: [
      { query: `{ identities(first: 1) { nodes { user { issuer } } } }` },
      {
        query: `{ identities(first: 1) { ... { ...Page } } } fragment Page on CommunicationIdentityConnection { ${PAGE} }`,
      },
    ],
    over: [
      { query: `{ identities(first: 1) { ${EDGES} } }` },
      { query: `{ identities(first: 1) { ... { ${EDGES} } } }` },
      { query: `{ identities(first: 1) { ...Page } } fragment Page on CommunicationIdentityConnection { ${EDGES} }` },
      { query: `{ viewer { permissions } } query B { identities(first: 1) { ${EDGES} } }`.replace("{", "query A {") },
    ],
  },
  {
    limit: "10 aliases, as they would execute",
    code: INVALID,
    within: [
      { query: `{ viewer { ${times(10, (i) => `a${i}: permissions`)} } }` },
      { query: `{ viewer { ...F ...F } } fragment F on Viewer { ${times(5, (i) => `a${i}: permissions`)} }` },
    ],
    over: [
      { query: `{ viewer { ${times(11, (i) => `a${i}: permissions`)} } }` },
      { query: `{ viewer { permissions } ${times(11, (i) => `a${i}: __typename`)} }` },
      { query: `{ viewer { ${times(11, () => "permissions: permissions")} } }` },
      { query: `{ viewer { ...F ...F ...F } } fragment F on Viewer { ${times(4, (i) => `a${i}: permissions`)} }` },
      { query: `{ viewer { ...F0 } } ${doubling(30, "a: permissions")}` },
    ],
  },
  {
    limit: "10 directives, as they would execute",
    code: INVALID,
    within: [{ query: `{ viewer { ${times(10, () => "permissions @skip(if: false)")} } }` }],
    over: [
      { query: `{ viewer { ${times(11, () => "permissions @skip(if: false)")} } }` },
      { query: `{ viewer { ${times(11, () => "... @include(if: true) { permissions }")} } }` },
      { query: `{ viewer { ${times(11, () => "...F @include(if: true)")} } } fragment F on Viewer { permissions }` },
      { query: `{ viewer { permissions ${times(11, () => "@skip(if: false)")} } }` },
      { query: `query ${times(11, () => "@unknown")} { viewer { permissions } }` },
      { query: `query ($v: ID ${times(11, () => "@unknown")}) { viewer { permissions } }` },
      { query: `{ viewer { ...F0 } } ${doubling(20, "permissions @skip(if: false)")}` },
    ],
  },
  {
    limit: "a cost, by the objects that pages and lists can bring up",
    code: INVALID,
    within: [
      { query: `{ identities(first: 100) { ${PAGE} } }` },
      {
        query:
          "{ identities(first: 59) { nodes { user { issuer } ...F } } } fragment F on Node { ... on CommunicationIdentity { a: user { issuer } b: user { issuer } c: user { issuer } } }",
      },
      { query: `query ($n: Int = 149) { identities(first: $n) { ${PAGE} } }`, variables: { n: 100 } },
      { query: `query ($n: Int = 50) { identities(first: $n) { ${PAGE} a: ${PAGE} } }` },
      { query: `{ nodes(ids: ${quoted(100)}) { ... on CommunicationIdentity { user { issuer } } } }` },
      { query: `{ nodes(ids: ${quoted(27)}) { ... on CommunicationIdentity { ${COUNTS} } } }` },
      { query: "{ pendingServiceWork { identity { user { issuer } } } }" },
      {
        query: "query ($n: Int!) { pendingServiceWork(first: $n) { identity { user { issuer } a: user { issuer } } } }",
        variables: { n: 75 },
      },
    ],
    over: [
      {
        query: `{ identities(first: 100) { ${PAGE} pageInfo { hasNextPage } } identityByUser(user: { issuer: "", subject: "" }) { id } a: identities(last: 49) { ${PAGE} } }`,
      },
      {
        query:
          "{ identities(first: 60) { nodes { user { issuer } ...F } } } fragment F on Node { ... on CommunicationIdentity { a: user { issuer } b: user { issuer } c: user { issuer } } }",
      },
      { query: `query ($n: Int = 100) { identities(first: $n) { ${PAGE} a: ${PAGE} } }` },
      { query: `query ($n: Int) { identities(first: $n) { ${PAGE} a: ${PAGE} } }`, variables: { n: 1_000_000 } },
      { query: `query ($n: Int = 1) { identities(first: $n) { ${PAGE} a: ${PAGE} } }`, variables: { n: null } },
      { query: `query ($n: Int = 1) { identities(first: $n) { ${PAGE} a: ${PAGE} } }`, variables: { n: 76 } },
      { query: `{ identities { ${PAGE} a: ${PAGE} } }` },
      { query: `{ identities(last: -5) { ${PAGE} a: ${PAGE} } }` },
      { query: `{ identities(first: 1, last: 100) { ${PAGE} a: ${PAGE} } }` },
      { query: `{ nodes(ids: ${quoted(28)}) { ... on CommunicationIdentity { ${COUNTS} } } }` },
      {
        query: `{ ${times(4, (i) => `t${i}: tokenActivity(since: "2026-01-0${i + 1}T00:00:00Z") { issued }`)} }`,
      },
      { query: `{ nodes(ids: ${quoted(151)}) { ... on CommunicationIdentity { user { issuer } } } }` },
      {
        query: "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
        variables: { ids: Array.from({ length: 301 }, String) },
      },
      { query: "{ pendingServiceWork { identity { user { issuer } a: user { issuer } } } }" },
      { query: `{ viewer { ...F0 } } ${doubling(30, "identity { id }")}` },
    ],
  },
  {
    limit: "one mutation root field",
    code: INVALID,
    within: [
      { query: `mutation { __typename revokeAccessTokens(input: {}) { effectiveBy } ... { a: __typename } }` },
      { query: `mutation { __typename }` },
    ],
    over: [
      {
        query: `mutation { revokeAccessTokens(input: {}) { effectiveBy } a: revokeAccessTokens(input: {}) { effectiveBy } }`,
      },
      {
        query: `mutation { issueAccessToken(input: { scopes: [CHAT] }) { __typename } ... { __typename deleteIdentity(input: {}) { __typename } } }`,
      },
    ],
  },
];

describe("an operation", () => {
  const within = limits.flatMap(({ limit, within }) => within.map((attempt) => [limit, attempt] as const));
  it.each(within)("is run just within %s: %j", async (_, attempt) => {
    expect(await admin.send(attempt)).toMatchObject({ status: 200, errors: undefined });
  });

  const over = limits.flatMap(({ limit, code, over }) => over.map((attempt) => [limit, attempt, code] as const));
  it.each(over)("is refused over %s: %j", async (_, attempt, code) => {
    await expectRefusal({ rig, client: admin }, await admin.send(attempt), code);
  });

  it("is told what it would cost, what it may, and what to do", async () => {
    const { errors } = await admin.send({ query: `{ identities(first: 100) { ${PAGE} a: nodes { id } } }` });
    expect(errors).toMatchObject([{ message: expect.stringMatching(/\b305\b.*\b300\b.*smaller or fewer pages/) }]);
  });

  it("is refused when its fragments spread themselves, directly or in a ring", async () => {
    const ring = (size: number) =>
      times(size, (i) => `fragment F${i} on Viewer { identity { id } ...F${(i + 1) % size} }`);
    for (const size of [1, 2, 40]) {
      const reply = await admin.send({ query: `{ viewer { ...F0 } } ${ring(size)}` });
      await expectRefusal({ rig, client: admin }, reply, INVALID);
    }
  });
});

describe("introspection", () => {
  const queries = [getIntrospectionQuery(), "{ __schema { types { name } } }", '{ __type(name: "Viewer") { name } }'];
  it.each(queries)("is refused in production: %s", async (query) => {
    await expectRefusal({ rig, client: admin }, await admin.send({ query }), INVALID);
  });

  it("fits the shipped limits where it is on, as the explorer asks it", async () => {
    const open = await Rig.start({ configure: (config) => withGraphql(config, { introspection: true }) });
    try {
      const query = getIntrospectionQuery({
        inputValueDeprecation: true,
        schemaDescription: true,
        specifiedByUrl: true,
      });
      expect(await (await open.member()).send({ query })).toMatchObject({ status: 200, errors: undefined });
    } finally {
      await open.close();
    }
  });
});

describe("an error", () => {
  const misspelt: Attempt[] = [
    { query: "{ viewer { permission } }" },
    { query: "{ viewers { permissions } }" },
    { query: '{ node(ids: "a") { id } }' },
    { query: "{ viewer { ...F } } fragment F on Viewers { permissions }" },
    { query: "mutation { issueAccessToken(input: { scopes: [CHATS] }) { accessToken { token } } }" },
    { query: "mutation { issueAccessToken(input: { scope: [CHAT] }) { accessToken { token } } }" },
    ...[{ scopes: ["CHATS"] }, { scope: ["CHAT"], scopes: ["CHAT"] }].map((input) => ({
      query: "mutation ($input: IssueAccessTokenInput!) { issueAccessToken(input: $input) { accessToken { token } } }",
      variables: { input },
    })),
  ];
  it.each(misspelt)("suggests no name of the schema: %j", async (attempt) => {
    const reply = await admin.send(attempt);
    await expectRefusal({ rig, client: admin }, reply, attempt.variables ? "BAD_USER_INPUT" : INVALID);
    expect(reply.text).not.toContain("Did you mean");
  });

  const many: Attempt[] = [
    { query: `{ viewer { ${times(200, (i) => `unknown${i}`)} } }` },
    { query: `query (${times(90, () => "$v: ID")}) { viewer { permissions } }` },
    { query: `{ node(${times(90, () => 'id: "a"')}) { id } }` },
    {
      query: "mutation ($s: [TokenScope!]!) { issueAccessToken(input: { scopes: $s }) { accessToken { token } } }",
      variables: { s: Array.from({ length: 10_000 }, () => "A") },
    },
  ];
  it.each(many.map((attempt) => [attempt.query.slice(0, 60), attempt] as const))(
    "comes with two others at most: %s",
    async (_, attempt) => {
      await expectRefusal(
        { rig, client: admin },
        await admin.send(attempt),
        attempt.variables ? "BAD_USER_INPUT" : INVALID,
      );
    },
  );

  const long = "a".repeat(60_000);
  const wide = "\\ud83d\\ude00".repeat(5000);
  const huge: [string, string, string][] = [
    ["a field", JSON.stringify({ query: `{ ${long} }` }), INVALID],
    ["an argument", JSON.stringify({ query: `{ node(${long}: 1) { id } }` }), INVALID],
    ["a type", JSON.stringify({ query: `query ($v: ${long}) { viewer { permissions } }` }), INVALID],
    ["a fragment", JSON.stringify({ query: `{ ...${long} }` }), INVALID],
    ["a directive", JSON.stringify({ query: `{ viewer @${long} { permissions } }` }), INVALID],
    [
      "an enum value",
      JSON.stringify({
        query: `mutation { issueAccessToken(input: { scopes: [${long}] }) { accessToken { token } } }`,
      }),
      INVALID,
    ],
    [
      "a text",
      JSON.stringify({ query: `{ identities(first: "${"Did you mean ".repeat(4000)}") { totalCount } }` }),
      INVALID,
    ],
    [
      "a name that is a syntax error",
      JSON.stringify({ query: `{ viewer { permissions } } ${long}` }),
      "GRAPHQL_PARSE_FAILED",
    ],
    [
      "the alias of what fails",
      JSON.stringify({ query: `{ ${long}: identities(first: 0) { totalCount } }` }),
      "BAD_USER_INPUT",
    ],
    [
      "an operation's name",
      JSON.stringify({ query: "{ viewer { permissions } }", operationName: long }),
      "BAD_REQUEST",
    ],
    [
      "an operation's name in wide characters",
      `{"query":"{ viewer { permissions } }","operationName":"${wide}"}`,
      "BAD_REQUEST",
    ],
    [
      "a variable's value",
      JSON.stringify({ query: "query ($n: Int!) { identities(first: $n) { totalCount } }", variables: { n: long } }),
      "BAD_USER_INPUT",
    ],
    [
      "a variable's name",
      JSON.stringify({ query: "{ viewer { permissions } }", variables: { [long]: "\0" } }),
      "BAD_USER_INPUT",
    ],
    [
      "an input's member",
      JSON.stringify({
        query: "query ($u: ApplicationUserInput!) { identityByUser(user: $u) { id } }",
        variables: { u: { [long]: 1 } },
      }),
      "BAD_USER_INPUT",
    ],
    [
      "control characters",
      JSON.stringify({
        query: "query ($n: Int!) { identities(first: $n) { totalCount } }",
        variables: { n: "\x01".repeat(10_000) },
      }),
      "BAD_USER_INPUT",
    ],
    [
      "an extension",
      JSON.stringify({ query: "{", extensions: { [long]: long.slice(0, 3000) } }),
      "GRAPHQL_PARSE_FAILED",
    ],
    ["an id", JSON.stringify({ documentId: long }), "BAD_REQUEST"],
  ];
  it.each(huge)("does not repeat what it is about at any length: %s", async (_, body, code) => {
    await expectRefusal({ rig, client: admin }, await post(body), code);
  });

  it("is short, too, when all that was asked for failed under long names", async () => {
    const member = await rig.member();
    const query = `{ ${times(9, (i) => `${"a".repeat(6000)}${i}: identityByUser(user: { issuer: "x", subject: "${i}" }) { id }`)} }`;
    const reply = await member.send({ query });
    expect(reply).toMatchObject({ status: 403, data: null, errors: [{ extensions: { code: "FORBIDDEN" } }, {}, {}] });
    expect(Buffer.byteLength(reply.text)).toBeLessThan(2048);
  });
});

describe("a body", () => {
  const operation = '"query":"{ viewer { permissions } }"';
  const bodies: [string, string | Uint8Array<ArrayBuffer>, RegExp][] = [
    ["a member twice", `{${operation},${operation}}`, /member twice/],
    ["a member twice, spelled in two ways", `{${operation},"qu\\u0065ry":"{ viewer { __typename } }"}`, /member twice/],
    [
      "a member twice, deep in the variables",
      `{${operation},"variables":{"a":[{"b":1,"c":{"b":1,"b":2}}]}}`,
      /member twice/,
    ],
    ["a member twice, in the extensions", `{${operation},"extensions":{"a":1,"a":1}}`, /member twice/],
    [
      "bytes that are not UTF-8",
      new Uint8Array([...Buffer.from(`{${operation},"a":"`), 0xc3, 0x28, ...Buffer.from('"}')]),
      /UTF-8/,
    ],
    ["UTF-16", new Uint8Array(Buffer.from(`{${operation}}`, "utf16le")), /JSON/],
    ["a byte order mark", `\ufeff{${operation}}`, /byte order mark/],
    ["two values", `{${operation}}{${operation}}`, /JSON/],
    ["a batch", `[{${operation}},{${operation}}]`, /batching/i],
    ["a batch of one", `[{${operation}}]`, /batching/i],
  ];
  it.each(bodies)("is refused with %s, and told so", async (_, body, message) => {
    const reply = await post(body);
    await expectRefusal({ rig, client: admin }, reply, "BAD_REQUEST");
    expect(reply.errors?.[0]?.message).toMatch(message);
  });

  it("registers no document under a hash (APQ)", async () => {
    const query = "{ viewer { __typename permissions } }";
    const sha256Hash = "9b5a9d1f5a8e2cbbd6b2c3f0e56a1e3c4b1d6f0d0cf3b6a4ed9f5b0c11aa22bb";
    const extensions = { persistedQuery: { version: 1, sha256Hash } };
    for (let round = 0; round < 2; round++) {
      const reply = await admin.send({ extensions });
      await expectRefusal({ rig, client: admin }, reply, "BAD_REQUEST");
      // Apollo's clients send the text from then on.
      expect(reply.errors).toMatchObject([{ message: "PersistedQueryNotSupported" }]);
      expect(await admin.send({ query, extensions })).toMatchObject({ status: 200, errors: undefined });
    }
  });
});
