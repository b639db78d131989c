import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.js";
import { Cli } from "../fixtures/cli.js";
import { type Client, Rig } from "../fixtures/rig.js";
import { ViewerDocument } from "../generated/graphql.js";
import { expectRefusal } from "./refusal.js";

/** As the client preset of GraphQL Code Generator wrote it, of `schema/operations/`. */
const PRESET = "test/generated/persisted-documents.json";
const PRESET_TEXTS = JSON.parse(readFileSync(PRESET, "utf8")) as Record<string, string>;
const VIEWER_ID = Object.keys(PRESET_TEXTS).find((id) => PRESET_TEXTS[id]?.includes("query Viewer")) ?? "";
const BARE_VIEWER_ID = VIEWER_ID.replace("sha256:", "");

/** Texts of one app, and of a later version of it. */
const OLD = "query Old {\n  viewer {\n    permissions\n  }\n}";
const NEW = "query New {\n  viewer {\n    allowedScopes\n  }\n}";
const ISSUE = "mutation Issue { issueAccessToken(input: { scopes: [CHAT] }) { accessToken { token } } }";
const UNLISTED = "query Unlisted { viewer { maxTokenLifetimeMinutes } }";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const md5 = (text: string) => createHash("md5").update(text).digest("hex");
const apolloManifest = (...bodies: string[]) => ({
  format: "apollo-persisted-query-manifest",
  version: 1,
  operations: bodies.map((body) => ({ id: sha256(body), name: "Any", type: "query", body })),
});
const flatManifest = (...texts: string[]) => Object.fromEntries(texts.map((text) => [md5(text), text]));
const apolloId = (sha256Hash: unknown, version: unknown = 1) => ({
  extensions: { persistedQuery: { version, sha256Hash } },
});

let folder: string;
let rig: Rig;
let member: Client;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gateway-manifests-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

type Mode = Config["graphql"]["trustedDocuments"]["mode"];

function inMode(mode: Mode): void {
  beforeAll(async () => {
    const manifests = [
      PRESET,
      file("apollo.json", apolloManifest(OLD, ISSUE)),
      file("relay.json", flatManifest(NEW, OLD)),
    ];
    rig = await Rig.start({
      configure: (config) => ({ ...config, graphql: { ...config.graphql, trustedDocuments: { mode, manifests } } }),
    });
    member = await rig.member();
  });
  beforeEach(async () => {
    await rig.takeCalls();
    rig.logLines.length = 0;
  });
  afterAll(async () => {
    await rig.close();
  });
}

/** The log's lines about documents in no manifest. */
const noted = () =>
  rig.logLines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === "untrusted document");

async function counted(outcome: string): Promise<number> {
  const metrics = await (await fetch(`${rig.gateway.adminUrl}/metrics`)).text();
  return Number(
    new RegExp(`^gateway_untrusted_documents_total{outcome="${outcome}"} (\\d+)$`, "m").exec(metrics)?.[1] ?? 0,
  );
}

/** What holds in every mode. */
function takesIds(mode: Mode): void {
  const named: [string, Record<string, unknown>, RegExp][] = [
    ["documentId of the client preset", { documentId: VIEWER_ID }, /"permissions"/],
    ["the same without sha256:", { documentId: BARE_VIEWER_ID }, /"permissions"/],
    ["the same as Apollo's clients do", apolloId(BARE_VIEWER_ID), /"permissions"/],
    ["that with sha256:", apolloId(VIEWER_ID), /"permissions"/],
    ["both forms alike", { documentId: VIEWER_ID, ...apolloId(BARE_VIEWER_ID) }, /"permissions"/],
    ["an id of Apollo's manifest", apolloId(sha256(OLD)), /"permissions"/],
    ["the same with sha256:", { documentId: `sha256:${sha256(OLD)}` }, /"permissions"/],
    ["an id of Relay's file", { documentId: md5(NEW) }, /"allowedScopes"/],
    ["an id beside its own text", { query: NEW, documentId: md5(NEW) }, /"allowedScopes"/],
    ["an id beside null", { query: null, documentId: md5(NEW), extensions: null, variables: null }, /"allowedScopes"/],
    [
      "an id and another extension",
      { documentId: md5(NEW), extensions: { trace: 1, persistedQuery: null } },
      /"allowedScopes"/,
    ],
    ["an id and the operation's name", { documentId: md5(NEW), operationName: "New" }, /"allowedScopes"/],
  ];
  it.each(named)("runs the document that is named by %s", async (_, body, answer) => {
    const reply = await member.send(body);
    expect(reply).toMatchObject({ status: 200, errors: undefined });
    expect(reply.text).toMatch(answer);
    expect(noted()).toEqual([]);
  });

  it("runs a mutation by its id, with what its variables say", async () => {
    const id = Object.keys(PRESET_TEXTS).find((key) => PRESET_TEXTS[key]?.includes("mutation IssueAccessToken(")) ?? "";
    const reply = await member.send({ documentId: id, variables: { scopes: ["CHAT"] } });
    expect(reply.data).toMatchObject({ issueAccessToken: { accessToken: { scopes: ["CHAT"] }, userErrors: [] } });
  });

  const refused: [string, Record<string, unknown>][] = [
    ["an unknown id", { documentId: "sha256:0000" }],
    ["an id that is a name of every object", { documentId: "constructor" }],
    ["an id with sha256: twice", { documentId: `sha256:${VIEWER_ID}` }],
    ["an id in another case", { documentId: VIEWER_ID.toUpperCase() }],
    ["an empty id", { documentId: "" }],
    ["an id that is a number", { documentId: 7 }],
    ["an id that is an object", { documentId: { id: VIEWER_ID } }],
    ["an id that is a list", { documentId: [VIEWER_ID] }],
    ["an id that is false", { documentId: false, query: NEW }],
    ["a hash that is a number", apolloId(7)],
    ["a hash that is an object", apolloId({})],
    ["a hash that is missing", { extensions: { persistedQuery: { version: 1 } } }],
    ["another version", apolloId(BARE_VIEWER_ID, 2)],
    ["a version that is a text", apolloId(BARE_VIEWER_ID, "1")],
    ["a persisted query that is a text", { extensions: { persistedQuery: VIEWER_ID }, query: NEW }],
    ["a persisted query that is false", { extensions: { persistedQuery: false }, query: NEW }],
    ["two ids that disagree", { documentId: VIEWER_ID, ...apolloId(sha256(OLD)) }],
    ["an id beside another document", { documentId: VIEWER_ID, query: NEW }],
    ["an id beside a longer text", { documentId: md5(NEW), query: `${NEW} ` }],
    ["an id beside a mutation", { documentId: VIEWER_ID, query: ISSUE }],
    ["an id beside a query that is no text", { documentId: VIEWER_ID, query: 7 }],
    ["extensions that are no object", { documentId: VIEWER_ID, extensions: "x" }],
    ["the id of one and the name of another operation", { documentId: VIEWER_ID, operationName: "Old" }],
  ];
  it("refuses an unknown hash of Apollo's clients, which send the text then, where any may be run", async () => {
    const reply = await member.send(apolloId("0000"));
    await expectRefusalOfMine(reply);
    const isHint = reply.errors?.[0]?.message === "PersistedQueryNotSupported";
    const withText = await member.send({ ...apolloId(sha256(UNLISTED)), query: UNLISTED });
    expect([isHint, withText.status]).toEqual(mode === "enforce" ? [false, 400] : [true, 200]);
  });

  it.each(refused)("refuses %s", async (_, body) => {
    const reply = await member.send(body);
    await expectRefusalOfMine(reply);
    expect(reply.text).not.toMatch(/PersistedQuery|PERSISTED_QUERY/);
  });
}

/** The request after it is one by id, which every mode allows. */
async function expectRefusalOfMine(reply: Awaited<ReturnType<Client["send"]>>): Promise<void> {
  expect(reply).toMatchObject({ status: 400, errors: [{ extensions: { code: "BAD_REQUEST", retryable: false } }] });
  expect(Buffer.byteLength(reply.text)).toBeLessThan(2048);
  expect(await rig.takeCalls()).toEqual({});
  expect(await member.send({ documentId: VIEWER_ID })).toMatchObject({ status: 200, errors: undefined });
}

describe("trusted documents that are off", () => {
  inMode("off");
  takesIds("off");

  it("run any text, and note nothing", async () => {
    expect(await member.send({ query: UNLISTED })).toMatchObject({ status: 200, errors: undefined });
    expect(await member.send({ query: UNLISTED, ...apolloId(sha256(UNLISTED)) })).toMatchObject({ status: 200 });
    await member.send({ documentId: "unknown" });
    expect(noted()).toEqual([]);
  });

  it("leave what is no GraphQL to the same refusals as ever", async () => {
    await expectRefusal({ rig, client: member }, await member.send({ query: "{" }), "GRAPHQL_PARSE_FAILED");
    await expectRefusal({ rig, client: member }, await member.send({}), "BAD_REQUEST");
    await expectRefusal({ rig, client: member }, await member.send([UNLISTED]), "BAD_REQUEST");
  });
});

describe("trusted documents in the log", () => {
  inMode("log");
  takesIds("log");

  it("note a text that is in no manifest once a request, without the text, and count it", async () => {
    const before = await counted("run");
    const headers = {
      "apollographql-client-name": "dashboard",
      "apollographql-client-version": "7.1",
      "x-request-id": "r-1",
    };
    const query = `query Unlisted($id: ID!) { node(id: $id) { id } viewer { maxTokenLifetimeMinutes } }`;
    expect(await member.send({ query, variables: { id: "top-secret" } }, headers)).toMatchObject({ status: 200 });
    expect(noted()).toMatchObject([
      {
        requestId: "r-1",
        clientName: "dashboard",
        clientVersion: "7.1",
        operationName: "Unlisted",
        sha256: sha256(query),
        refused: false,
      },
    ]);
    expect(rig.logLines.join("")).not.toMatch(/top-secret|maxTokenLifetimeMinutes/);
    expect(await counted("run")).toBe(before + 1);
  });

  it("run and note a text under an unknown id", async () => {
    expect(await member.send({ query: UNLISTED, ...apolloId(sha256(UNLISTED)) })).toMatchObject({ status: 200 });
    expect(noted()).toMatchObject([{ sha256: sha256(UNLISTED), refused: false }]);
  });

  it("note an id that nobody knows, cut", async () => {
    await member.send({ documentId: "x".repeat(5000), operationName: "y".repeat(5000) });
    expect(noted()).toMatchObject([{ documentId: "x".repeat(100), operationName: "y".repeat(100), refused: true }]);
  });

  it("note no text that is in a manifest", async () => {
    for (const query of [OLD, NEW]) expect(await member.send({ query })).toMatchObject({ status: 200 });
    expect(noted()).toEqual([]);
  });
});

describe("trusted documents that are enforced", () => {
  inMode("enforce");
  takesIds("enforce");

  it("run a text that is in a manifest, of any version of any app", async () => {
    for (const query of [OLD, NEW, ...Object.values(PRESET_TEXTS).filter((text) => text.includes("query Viewer"))])
      expect(await member.send({ query })).toMatchObject({ status: 200, errors: undefined });
    expect(await member.send({ query: ISSUE })).toMatchObject({ status: 200, errors: undefined });
  });

  const others: [string, Record<string, unknown>][] = [
    ["a text in no manifest", { query: UNLISTED }],
    ["a mutation in no manifest", { query: ISSUE.replace("CHAT", "VOIP") }],
    ["a listed text with one space more", { query: `${OLD} ` }],
    ["a listed text with another operation behind it", { query: `${OLD} ${ISSUE}`, operationName: "Issue" }],
    ["a text in no manifest under an unknown id", { query: UNLISTED, ...apolloId(sha256(UNLISTED)) }],
    ["what is no GraphQL", { query: "{" }],
    ["a query that is no text", { query: [OLD] }],
    ["nothing", {}],
  ];
  it.each(others)("refuse %s, and note it", async (_, body) => {
    const before = await counted("refused");
    await expectRefusalOfMine(await member.send(body));
    expect(noted()).toMatchObject([{ refused: true }]);
    expect(await counted("refused")).toBe(before + 1);
  });

  it("say what to do, and in the log which document it was", async () => {
    const reply = await member.send(
      { query: UNLISTED, operationName: "Unlisted" },
      { "apollographql-client-name": "app" },
    );
    expect(reply.errors).toMatchObject([{ message: expect.stringMatching(/trusted.*id.*manifest/i) }]);
    expect(noted()).toMatchObject([{ clientName: "app", operationName: "Unlisted", sha256: sha256(UNLISTED) }]);
  });

  it("refuse the document of the client preset as it is before it is normalised: its clients send the id", async () => {
    await expectRefusalOfMine(await member.send({ query: ViewerDocument.toString() }));
    expect(await member.send({ documentId: ViewerDocument.__meta__?.hash })).toMatchObject({ status: 200 });
  });
});

describe("a manifest that cannot be used stops the start, and is named", () => {
  let running: Cli[] = [];
  afterEach(async () => {
    for (const cli of running) cli.kill("SIGKILL");
    await Promise.all(running.map((cli) => cli.ended()));
    running = [];
  });

  async function start(manifests: readonly string[]): Promise<{ code: number | string; stderr: string }> {
    const config = file(
      "gateway.yaml",
      JSON.stringify({
        issuers: [{ issuer: "http://127.0.0.1:9", audience: "a" }],
        policy: { rules: [] },
        graphql: { trustedDocuments: { mode: "enforce", manifests } },
      }),
    );
    const env = {
      PORT: "0",
      ADMIN_PORT: "0",
      ACS_CONNECTION_STRING: "endpoint=http://127.0.0.1:9/;accesskey=YQ==",
      DATABASE_URL: `sqlite:${join(folder, "gateway.db")}`,
    };
    const cli = Cli.start(["serve", "--config", config], { cwd: folder, env });
    running.push(cli);
    return { code: await cli.ended(), stderr: cli.stderr };
  }

  const deep = "query Deep { identities(first: 1) { edges { node { user { issuer } } } } }";
  const bad: [string, unknown, RegExp][] = [
    ["no JSON", "{", /not JSON/],
    ["an id twice", '{"a":"{ viewer { permissions } }","a":"{ viewer { allowedScopes } }"}', /member twice/],
    ["a list", [OLD], /not an object/],
    ["nothing", {}, /no documents/],
    ["another version", { ...apolloManifest(OLD), version: 2 }, /version/],
    ["another format", { ...apolloManifest(OLD), format: "other" }, /another format/],
    ["no operations", { ...apolloManifest(OLD), operations: {} }, /operations/],
    ["an operation without a body", { ...apolloManifest(), operations: [{ id: "a" }] }, /another format/],
    ["a document that is no text", { a: 7 }, /another format/],
    ["an id with two documents", { a: OLD, "sha256:a": NEW }, /\ba has two different documents/],
    ["a document that is no GraphQL", { a: OLD, "broken-id": "{" }, /broken-id.*Syntax Error/],
    ["a document of another schema", { "other-id": "{ nope }" }, /other-id.*nope/],
    ["introspection", { "curious-id": "{ __schema { queryType { name } } }" }, /curious-id.*introspection/],
    ["a document over a limit", { "large-id": `{ viewer { ${"permissions ".repeat(500)} } }` }, /large-id.*500/],
    [
      "a document that costs too much whatever its variables say",
      {
        "dear-id":
          "query D($n: Int) { identities(first: $n) { nodes { id } } b: identities(first: 100) { edges { node { user { issuer } } } nodes { a: user { issuer } b: user { issuer } c: user { issuer } d: user { issuer } } c: edges { node { user { issuer } } } } }",
      },
      /dear-id.*1000/,
    ],
  ];
  it.each(bad)("with exit code 2: %s", async (_, content, message) => {
    const { code, stderr } = await start([file("good.json", apolloManifest(deep)), file("bad.json", content)]);
    expect(stderr).toMatch(message);
    expect(stderr).toContain("bad.json");
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(code).toBe(2);
  });

  it("with exit code 2: a file that is not there", async () => {
    const { code, stderr } = await start(["missing.json"]);
    expect(stderr).toMatch(/missing\.json.*ENOENT/);
    expect(code).toBe(2);
  });

  it("with exit code 2: two files that give one id to different documents", async () => {
    const { code, stderr } = await start([file("one.json", { a: OLD }), file("two.json", { a: NEW })]);
    expect(stderr).toMatch(/one\.json.*two\.json/);
    expect(code).toBe(2);
  });
});
