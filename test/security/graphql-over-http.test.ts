import { serverAudits } from "graphql-http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, Rig } from "../fixtures/rig.js";

/** What the audits of GraphQL over HTTP remark on, by their ids, and why it is so. */
const REMARKS: Readonly<Record<string, readonly [status: string, reason: string]>> = {
  "5A70": ["notice", "GET is 405: the gateway serves POST only, so that no link of another site can ask anything"],
  D6D5: ["notice", "the same, with variables"],
  "6A70": ["notice", "the same, with variables and application/json"],
  "572B": ["warn", "a document that is no GraphQL is 400 in both media types: one table of codes and statuses"],
  FDE2: ["warn", "the same, of a document that is not valid"],
  "7B9B": ["warn", "the same, of variables that are not valid"],
};

/** These ask for `__type`, which is refused in production. */
const WITHOUT_INTROSPECTION: typeof REMARKS = {
  BF61: ["error", "introspection is off: Unicode is tried with __type"],
  "2EA1": ["warn", "introspection is off: variables are tried with __type"],
  "28B9": ["error", "introspection is off: variables are tried with __type, and application/json"],
};

let rig: Rig;

beforeAll(async () => {
  rig = await Rig.start();
});
afterAll(async () => {
  await rig.close();
});

async function audit(on: Rig): Promise<Record<string, string>> {
  const { token } = await on.member();
  const fetchFn = (url: string, init: RequestInit = {}) =>
    fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } });
  const remarks: Record<string, string> = {};
  for (const { id, fn } of serverAudits({ url: `${on.gateway.url}/graphql`, fetchFn })) {
    const { status } = await fn();
    if (status !== "ok") remarks[id] = status;
  }
  return remarks;
}

const statuses = (remarks: typeof REMARKS) =>
  Object.fromEntries(Object.entries(remarks).map(([id, [status]]) => [id, status]));

describe("GraphQL over HTTP, by its audits", () => {
  it("has no error, and no remark but those with a reason", async () => {
    const open = await Rig.start({
      configure: (config) => ({ ...config, graphql: { ...config.graphql, introspection: true } }),
    });
    try {
      expect(await audit(open)).toEqual(statuses(REMARKS));
    } finally {
      await open.close();
    }
  });

  it("differs in production by what asks for introspection only", async () => {
    expect(await audit(rig)).toEqual(statuses({ ...REMARKS, ...WITHOUT_INTROSPECTION }));
  });
});

describe("GraphQL over HTTP", () => {
  let member: Client;
  const issue = "mutation { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { token } } }";

  beforeAll(async () => {
    member = await rig.member();
    await rig.takeCalls();
  });

  const json = ({ token }: Client) => ({ "content-type": "application/json", authorization: `Bearer ${token}` });
  const unchanged = async () => {
    expect(await rig.takeCalls()).toEqual({});
    expect(await member.send({ query: "{ viewer { permissions } }" })).toMatchObject({
      status: 200,
      errors: undefined,
    });
  };

  it.each(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "QUERY"])("executes no mutation by %s", async (method) => {
    const url = `${rig.gateway.url}/graphql?query=${encodeURIComponent(issue)}`;
    const response = await fetch(url, { method, headers: { authorization: `Bearer ${member.token}` } });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
    expect((await response.text()).length).toBeLessThan(2048);
    await unchanged();
  });

  const forms: [type: string, body: string][] = [
    ["application/x-www-form-urlencoded", `query=${encodeURIComponent(issue)}`],
    ["multipart/form-data; boundary=x", `--x\r\ncontent-disposition: form-data; name="query"\r\n\r\n${issue}\r\n--x--`],
    ["text/plain", JSON.stringify({ query: issue })],
    ["application/graphql", issue],
    ["application/json; charset=utf-16", JSON.stringify({ query: issue })],
    ["text/plain, application/json", JSON.stringify({ query: issue })],
  ];
  it.each(forms)("takes nothing as %s", async (type, body) => {
    const reply = await rig.post(body, { "content-type": type, authorization: `Bearer ${member.token}` });
    expect(reply).toMatchObject({ status: 415, errors: [{ extensions: { code: "BAD_REQUEST", retryable: false } }] });
    expect(reply.text.length).toBeLessThan(2048);
    await unchanged();
  });

  const faults: [headers: Record<string, string>, fault: RegExp][] = [
    [{ "content-encoding": "gzip" }, /not compressed/],
    [{ "content-type": "application/json; charset=utf-16" }, /in UTF-8/],
    [{ "content-type": "text/plain" }, /with content-type: application\/json\.$/],
  ];
  it.each(faults)("names what is wrong with a body that it does not take: %o", async (headers, fault) => {
    const reply = await member.send({ query: issue }, headers);
    expect(reply).toMatchObject({ status: 415, errors: [{ message: expect.stringMatching(fault) }] });
  });

  const kinds: [accept: string, answered: string][] = [
    ["application/json", "application/json; charset=utf-8"],
    ["application/graphql-response+json", "application/graphql-response+json; charset=utf-8"],
    ["application/graphql-response+json, application/json;q=0.9", "application/graphql-response+json; charset=utf-8"],
    ["application/json;q=0.1, application/graphql-response+json", "application/graphql-response+json; charset=utf-8"],
    ["*/*", "application/json; charset=utf-8"],
    ["application/graphql-response+json; charset=utf-8", "application/graphql-response+json; charset=utf-8"],
    ["application/json;q=0, */*;q=0.1", "application/graphql-response+json; charset=utf-8"],
    ["application/JSON ; unknown=1", "application/json; charset=utf-8"],
    ["text/html, application/*", "application/json; charset=utf-8"],
  ];
  it.each(kinds)("answers what is asked for with %s", async (accept, answered) => {
    for (const query of ["{ viewer { permissions } }", "{ nope }", "{"]) {
      const reply = await member.send({ query }, { accept });
      expect(reply.status).toBe(query.includes("viewer") ? 200 : 400);
      expect(reply.headers.get("content-type")).toBe(answered);
    }
  });

  it.each(["application/json;", "application/json; charset=utf8", 'application/json; charset="UTF-8"'])(
    "takes JSON as %s, and an Accept that says nothing",
    async (type) => {
      const headers = { "content-type": type, accept: "", authorization: `Bearer ${member.token}` };
      const reply = await rig.post('{"query":"{ viewer { permissions } }"}', headers);
      expect(reply).toMatchObject({ status: 200, errors: undefined });
    },
  );

  it("names no other program in what it says of introspection and of a missing query", async () => {
    for (const body of [{ query: "{ __schema { types { name } } }" }, {}, { query: "" }]) {
      const reply = await member.send(body);
      expect(reply.status).toBe(400);
      expect(reply.text).not.toMatch(/apollo|persistedQuery|introspection: true/i);
    }
  });

  const early: [string, (headers: Record<string, string>) => ReturnType<Rig["post"]>, number][] = [
    ["who has no token", (headers) => rig.post("{}", { ...headers, "content-type": "application/json" }), 401],
    ["of a body that is no JSON", (headers) => rig.post("{", { ...headers, ...json(member) }), 400],
    [
      "of a form",
      (headers) => rig.post("a=b", { ...headers, "content-type": "application/x-www-form-urlencoded" }),
      415,
    ],
  ];
  it.each(early)("answers a caller %s in the media type asked for, too", async (_, post, status) => {
    for (const type of ["application/json", "application/graphql-response+json"]) {
      const reply = await post({ accept: type });
      expect(reply.status).toBe(status);
      expect(reply.headers.get("content-type")).toBe(`${type}; charset=utf-8`);
    }
  });

  it.each([
    "text/html",
    "application/xml",
    "application/json;q=0",
    "*/*;q=0",
    "application/json;charset=utf-16",
    "application/json;q=x",
    "multipart/mixed",
  ])("does nothing when no answer would do: %s", async (accept) => {
    const reply = await member.send({ query: issue }, { accept });
    expect(reply).toMatchObject({ status: 406, errors: [{ extensions: { code: "BAD_REQUEST" } }] });
    await unchanged();
  });
});
