import { connect } from "node:net";
import { generateKeyPair } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client, type Reply, Rig } from "../fixtures/rig.js";
import { IssueAccessTokenDocument, ViewerDocument } from "../generated/graphql.js";

const JSON_TYPE = { "content-type": "application/json" };
const VIEWER = JSON.stringify({ query: "{ viewer { maxTokenLifetimeMinutes } }" });

let rig: Rig;
let member: Client;

beforeAll(async () => {
  rig = await Rig.start();
  member = await rig.member();
});
beforeEach(async () => {
  await rig.takeCalls();
});
afterAll(async () => {
  await rig.close();
});

describe("a caller who does not authenticate", () => {
  const hour = 3600;
  const now = () => Math.floor(Date.now() / 1000);
  const tokens: [string, () => Promise<string>][] = [
    ["garbage", async () => "garbage"],
    ["three parts of garbage", async () => "a.b.c"],
    ["an expired token", () => rig.issuer.sign("alice", { claims: { iat: now() - 2 * hour, exp: now() - hour } })],
    ["another issuer's token", () => rig.issuer.sign("alice", { claims: { iss: "https://other.example.com" } })],
    ["an issuer with a slash more", () => rig.issuer.sign("alice", { claims: { iss: `${rig.issuer.url}/` } })],
    ["another audience's token", () => rig.issuer.sign("alice", { claims: { aud: "other" } })],
    ["a part of the audience", () => rig.issuer.sign("alice", { claims: { aud: "test" } })],
    ["a token without exp", () => rig.issuer.sign("alice", { claims: { exp: undefined } })],
    ["a token without iat", () => rig.issuer.sign("alice", { claims: { iat: undefined } })],
    ["a token not valid yet", () => rig.issuer.sign("alice", { claims: { nbf: now() + hour } })],
    ["a token without a subject", () => rig.issuer.sign("alice", { claims: { sub: undefined } })],
    ["a subject that is too long", () => rig.issuer.sign("x".repeat(256))],
    ["a subject with a NUL", () => rig.issuer.sign("ali\0ce")],
    ["a subject with half a character", () => rig.issuer.sign("alice\ud83d")],
    ["a subject that is no text", () => rig.issuer.sign("alice", { claims: { sub: 7 } })],
    ["an ID token", () => rig.issuer.sign("alice", { header: { typ: "JWT" }, claims: { nonce: "n" } })],
    ["another kind of JWT", () => rig.issuer.sign("alice", { header: { typ: "dpop+jwt" } })],
    ["a sender-constrained token without proof", () => rig.issuer.sign("alice", { claims: { cnf: { jkt: "x" } } })],
    ["an unknown key", () => rig.issuer.sign("alice", { header: { kid: "other" } })],
    [
      "another key under the same kid",
      async () => rig.issuer.sign("alice", { key: (await generateKeyPair("ES256")).privateKey }),
    ],
    [
      "a token whose payload was changed",
      async () => {
        const [header, , signature] = (await rig.issuer.sign("alice")).split(".");
        const [, payload] = (await rig.issuer.sign("ada", { claims: { roles: ["Gateway.Admin"] } })).split(".");
        return `${header}.${payload}.${signature}`;
      },
    ],
    [
      "an unsigned token",
      async () => {
        const [, payload] = (await rig.issuer.sign("alice")).split(".");
        return `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString("base64url")}.${payload}.`;
      },
    ],
  ];

  async function withToken(authorization: string | undefined): Promise<Reply<unknown>> {
    return await rig.post(VIEWER, { ...JSON_TYPE, ...(authorization !== undefined && { authorization }) });
  }

  it("is challenged without an error code when there is no token at all", async () => {
    const reply = await withToken(undefined);
    expect(reply.status).toBe(401);
    // Two challenges, each in a line of its own (RFC 9449 §7.1); fetch joins them.
    expect(reply.headers.get("www-authenticate")).toMatch(
      /^Bearer realm="acs-token-gateway", DPoP realm="acs-token-gateway", algs="[A-Za-z0-9 ]+"$/,
    );
    expect(reply.errors).toMatchObject([{ extensions: { code: "UNAUTHENTICATED", retryable: false } }]);
  });

  it.each(tokens)("is refused with the one same body: %s", async (_, token) => {
    const missing = await withToken(undefined);
    const reply = await withToken(`Bearer ${await token()}`);
    expect(reply.status).toBe(401);
    expect(reply.text).toBe(missing.text);
    expect(reply.headers.get("www-authenticate")).toMatch(
      /^Bearer realm="acs-token-gateway", error="invalid_token"(, DPoP .*)?$/,
    );
    expect(reply.headers.get("cache-control")).toBe("no-store");
    expect(await rig.takeCalls()).toEqual({});
  });

  it.each(["Basic YTpi", "Bearer", "Bearer ", "Bearer a b", "token"])(
    "is refused with the header %j",
    async (header) => {
      expect(await withToken(header)).toMatchObject({ status: 401 });
    },
  );

  it("is refused whatever the request says, malformed or not", async () => {
    expect(await rig.post("{", JSON_TYPE)).toMatchObject({ status: 401 });
    expect(await rig.post('{"query":"{ __schema { types { name } } }"}', JSON_TYPE)).toMatchObject({ status: 401 });
  });

  it("is let in with the next good token, in any case of the scheme's name", async () => {
    expect(await withToken(`bearer ${member.token}`)).toMatchObject({ status: 200, errors: undefined });
  });

  it("finds the reason in the log only", async () => {
    rig.logLines.length = 0;
    await withToken(`Bearer ${await rig.issuer.sign("alice", { claims: { aud: "other" } })}`);
    expect(rig.logLines.join("")).toContain("aud");
  });
});

describe("an issuer that cannot be asked", () => {
  it("is 503 KEYS_UNAVAILABLE, not 401, and works once it is back", async () => {
    const fresh = await Rig.start();
    try {
      fresh.issuer.outage = { status: 500 };
      const client = await fresh.member();
      const reply = await client.execute(ViewerDocument);
      expect(reply).toMatchObject({
        status: 503,
        errors: [{ extensions: { code: "KEYS_UNAVAILABLE", retryable: true } }],
      });
      expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
      fresh.issuer.outage = undefined;
      // It is not asked again at once: a second later, and after further failures after up to four.
      await expect.poll(async () => (await client.execute(ViewerDocument)).status, { timeout: 10_000 }).toBe(200);
    } finally {
      await fresh.close();
    }
  });
});

describe("a request that is not well-formed", () => {
  const bodies: [string, string | Uint8Array<ArrayBuffer>, string][] = [
    ["malformed JSON", '{"query":', "BAD_REQUEST"],
    ["an empty body", "", "BAD_REQUEST"],
    ["bytes that are not UTF-8", new Uint8Array([0x22, 0xff, 0x22]), "BAD_REQUEST"],
    ["no query", "{}", "BAD_REQUEST"],
    ["an empty query", '{"query":""}', "BAD_REQUEST"],
    ["a query that is no text", '{"query":7}', "BAD_REQUEST"],
    ["variables that are no object", '{"query":"{ viewer { __typename } }","variables":"x"}', "BAD_REQUEST"],
    ["a batch", `[${VIEWER},${VIEWER}]`, "BAD_REQUEST"],
    ["null", "null", "BAD_REQUEST"],
    ["a subscription", '{"query":"subscription { viewer { __typename } }"}', "GRAPHQL_VALIDATION_FAILED"],
    ["an unknown operation name", '{"query":"query A { viewer { __typename } }","operationName":"B"}', "BAD_REQUEST"],
    [
      "several operations and no name",
      '{"query":"query A { viewer { __typename } } query B { viewer { __typename } }"}',
      "BAD_REQUEST",
    ],
    ["a persisted query", '{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"aa"}}}', "BAD_REQUEST"],
    ["a syntax error", '{"query":"{ viewer {"}', "GRAPHQL_PARSE_FAILED"],
    ["an unknown field", '{"query":"{ viewer { nope } }"}', "GRAPHQL_VALIDATION_FAILED"],
    ["introspection", '{"query":"{ __schema { types { name } } }"}', "GRAPHQL_VALIDATION_FAILED"],
    [
      "a mutation with two root fields",
      '{"query":"mutation { a: revokeAccessTokens(input: {}) { effectiveBy } ... on Mutation { b: deleteIdentity(input: {}) { deletedIdentityId } } }"}',
      "GRAPHQL_VALIDATION_FAILED",
    ],
    [
      "a variable of the wrong type",
      '{"query":"query ($id: ID!) { node(id: $id) { id } }","variables":{"id":{}}}',
      "BAD_USER_INPUT",
    ],
    ...["\0", "a\0b", "\ud83d"].flatMap((text): typeof bodies => [
      [
        `a variable that no database could keep: ${JSON.stringify(text)}`,
        JSON.stringify({ query: "query ($id: ID!) { node(id: $id) { id } }", variables: { id: text } }),
        "BAD_USER_INPUT",
      ],
      [
        `one deep inside an input: ${JSON.stringify(text)}`,
        JSON.stringify({
          query: "query ($user: ApplicationUserInput!) { identityByUser(user: $user) { id } }",
          variables: { user: { issuer: "https://issuer.example.com", subject: text } },
        }),
        "BAD_USER_INPUT",
      ],
      [
        `a cursor with one: ${JSON.stringify(text)}`,
        JSON.stringify({
          query: "query ($after: String) { identities(first: 1, after: $after) { nodes { id } } }",
          variables: { after: Buffer.from(JSON.stringify(["CREATED_AT DESC", 1, text])).toString("base64url") },
        }),
        "BAD_USER_INPUT",
      ],
    ]),
    [
      "a literal that no database could keep",
      JSON.stringify({ query: '{ node(id: "a\\u0000b") { id } }' }),
      "GRAPHQL_VALIDATION_FAILED",
    ],
    [
      "variables nested deeper than calls can be",
      `{"query":"{ viewer { __typename } }","variables":{"a":${"[".repeat(30_000)}"\\u0000"${"]".repeat(30_000)}}}`,
      "BAD_USER_INPUT",
    ],
    ...[
      [
        "a list in an input",
        "query ($s: IdentityStatus = ACTIVE) { identities(first: 1, filter: { status: [$s] }) { nodes { id } } }",
        "s",
      ],
      ["an argument", 'query ($i: ID = "x") { node(id: $i) { id } }', "i"],
      ["a directive", "query ($b: Boolean = true) { viewer @skip(if: $b) { __typename } }", "b"],
    ].map(([where, query, name]): [string, string, string] => [
      `null for a variable with a default in ${where}`,
      JSON.stringify({ query, variables: { [String(name)]: null } }),
      "BAD_USER_INPUT",
    ]),
    ["a missing variable", '{"query":"query ($id: ID!) { node(id: $id) { id } }"}', "BAD_USER_INPUT"],
  ];
  it("has its error's status beside a __typename, which code generators add", async () => {
    const user = '{ issuer: "https://issuer.example.com", subject: "nobody" }';
    const reply = await member.send({ query: `{ __typename identityByUser(user: ${user}) { __typename id } }` });
    expect(reply).toMatchObject({ status: 403, errors: [{ extensions: { code: "FORBIDDEN" } }] });
  });

  it.each(bodies)("is a JSON 400: %s", async (_, body, code) => {
    const send = () => rig.post(body, { ...JSON_TYPE, authorization: `Bearer ${member.token}` });
    const reply = await send();
    expect(reply).toMatchObject({ status: 400, errors: [{ extensions: { code, retryable: false } }] });
    // An operation that comes again is compiled.
    for (let times = 0; times < 2; times++) expect(await send()).toMatchObject({ status: 400, errors: reply.errors });
    expect(reply.headers.get("content-type")).toMatch(/^application\/(graphql-response\+)?json/);
    expect(reply.text).not.toMatch(/Did you mean|stacktrace|node_modules/);
    expect(await rig.takeCalls()).toEqual({});
  });

  it("is none for having several operations, of which it names one", async () => {
    const query = "query A { viewer { permissions } } query B { viewer { allowedScopes } }";
    const { status, data } = await member.send({ query, operationName: "B" });
    expect([status, data]).toEqual([200, { viewer: { allowedScopes: expect.any(Array) } }]);
  });

  it("is told where in the document a value is that is none of its type", async () => {
    const since = '{ a: auditEvents(first: 1, filter: { since: "x" }) { nodes { id } }';
    const ids = 'b: identityByCommunicationUserId(communicationUserId: "x") { id }';
    const again = 'c: identityByCommunicationUserId(communicationUserId: "x") { id } }';
    const { status, errors } = await member.send({ query: [since, ids, again].join("\n") });
    expect(status).toBe(400);
    expect(errors?.map(({ extensions, locations }) => [extensions.code, locations])).toEqual(
      [since, ids, again].map((text, index) => [
        "GRAPHQL_VALIDATION_FAILED",
        [{ line: index + 1, column: text.indexOf('"x"') + 1 }],
      ]),
    );
  });

  it("is a 413 when it is too large, with or without a stated length", async () => {
    const body = JSON.stringify({ query: `# ${"x".repeat(70_000)}\n{ viewer { __typename } }` });
    expect(await member.send(JSON.parse(body))).toMatchObject({
      status: 413,
      errors: [{ extensions: { code: "BAD_REQUEST" } }],
    });
    const stream = new ReadableStream({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode(body));
        controller.close();
      },
    });
    const init = {
      method: "POST",
      body: stream,
      duplex: "half",
      headers: { ...JSON_TYPE, authorization: `Bearer ${member.token}` },
    };
    const response = await fetch(`${rig.gateway.url}/graphql`, init as RequestInit);
    expect(response.status).toBe(413);
  });

  it("is a 406, and nothing is done, when no answer would be acceptable", async () => {
    const query = "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { token } } }";
    expect(await member.send({ query }, { accept: "text/html" })).toMatchObject({ status: 406 });
    expect(await rig.takeCalls()).toEqual({});
    expect(await member.send({ query }, { accept: "text/html, */*;q=0.1" })).toMatchObject({ status: 200 });
  });

  it("is a 415 with a content encoding, which is not supported", async () => {
    const reply = await member.send({ query: "{ viewer { __typename } }" }, { "content-encoding": "gzip" });
    expect(reply).toMatchObject({ status: 415 });
  });

  it.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    "application/jsonp",
    "",
  ])("is a 415 with the media type %j", async (type) => {
    const reply = await rig.post(VIEWER, { "content-type": type, authorization: `Bearer ${member.token}` });
    expect(reply).toMatchObject({ status: 415, errors: [{ extensions: { code: "BAD_REQUEST" } }] });
  });

  it("is a 405 that names POST when it is a GET", async () => {
    const response = await fetch(`${rig.gateway.url}/graphql?query={viewer{__typename}}`, {
      headers: { authorization: `Bearer ${member.token}` },
    });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
  });

  it("is a 404 that names what there is at another path", async () => {
    const response = await fetch(`${rig.gateway.url}/graphq`);
    expect(response.status).toBe(404);
    expect(await response.text()).toContain("/graphql");
  });

  it("does not end the process when it is cut off", async () => {
    const { port, hostname } = new URL(rig.gateway.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer ${member.token}\r\ncontent-length: 100\r\n\r\n{`,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    expect(await member.execute(ViewerDocument)).toMatchObject({ status: 200 });
  });
});

describe("every answer", () => {
  it("comes in the media type that was asked for", async () => {
    const type = "application/graphql-response+json";
    const reply = await member.send({ query: "{ viewer { __typename } }" }, { accept: type });
    expect(reply.headers.get("content-type")).toMatch(type);
    const plain = await member.send({ query: "{ viewer { __typename } }" }, { accept: "application/json" });
    expect(plain.headers.get("content-type")).toMatch("application/json");
  });

  it("has a request id, the caller's own where that is harmless", async () => {
    const own = await member.send({ query: "{ viewer { __typename } }" }, { "x-request-id": "trace-42" });
    expect(own.headers.get("x-request-id")).toBe("trace-42");
    const odd = await member.send({ query: "{ viewer { __typename } }" }, { "x-request-id": 'x" }' });
    expect(odd.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("limits", () => {
  it("answer 429 with the seconds to wait, by tokens minted, by requests and by failed authentication", async () => {
    const tight = await Rig.start({
      configure: (config) => ({
        ...config,
        limits: {
          ...config.limits,
          mintsPerSubject: 2,
          mintsPerIssuer: 1000,
          requestsPerSubject: 4,
          failedAuthPerAddress: 3,
          instances: 1,
        },
      }),
    });
    try {
      const client = await tight.member();
      const issue = () => client.execute(IssueAccessTokenDocument, { scopes: ["CHAT"], forceNew: true });
      const statuses = [(await issue()).status, (await issue()).status];
      expect(statuses).toEqual([200, 200]);
      await tight.takeCalls();
      const third = await issue();
      expect(third).toMatchObject({ status: 429, errors: [{ extensions: { code: "RATE_LIMITED", retryable: true } }] });
      expect(Number(third.headers.get("retry-after"))).toBeGreaterThan(0);
      expect(await client.execute(ViewerDocument)).toMatchObject({ status: 200 });
      expect(await client.execute(ViewerDocument)).toMatchObject({ status: 429 });
      expect(await tight.takeCalls()).toEqual({});
      const bad = () => tight.post(VIEWER, { ...JSON_TYPE, authorization: "Bearer x.y.z" });
      expect([(await bad()).status, (await bad()).status, (await bad()).status]).toEqual([401, 401, 401]);
      expect((await bad()).status).toBe(429);
      expect(await (await tight.member("neighbour")).execute(ViewerDocument)).toMatchObject({ status: 200 });
    } finally {
      await tight.close();
    }
  });
});
