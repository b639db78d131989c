/** The gateway as a subgraph, composed with another one and asked through real routers. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { transformSupergraphToPublicSchema } from "@theguild/federation-composition";
import { buildASTSchema, parse, validate } from "graphql";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.js";
import { LOOK_EVERY_MS } from "../../src/http/load.js";
import {
  composeAsApollo,
  composeAsHive,
  DIRECTORY_SDL,
  Directory,
  type Router,
  startApolloRouter,
  startHiveRouter,
  startIntrospectingRouter,
} from "../fixtures/federation.js";
import { type Client, Rig } from "../fixtures/rig.js";
import { IssueAccessTokenDocument } from "../generated/graphql.js";
import { Operations } from "../performance/operations.js";

const federated = (shipped: Config): Config => ({ ...shipped, graphql: { ...shipped.graphql, federation: true } });
const published = (name: string) => readFileSync(`schema/${name}.subgraph.graphql`, "utf8");
const PEOPLE = "{ people { nodes { name identity { id status user { subject } } } } }";
const ENTITIES =
  "query ($of: [_Any!]!) { _entities(representations: $of) { ... on CommunicationIdentity { id status } } }";

let operations: Operations;
let rig: Rig;
let directory: Directory;
let alice: Client;
let admin: Client;
let identityId: string;

beforeAll(async () => {
  operations = await Operations.install();
  rig = await Rig.start({ configure: federated });
  directory = await Directory.start();
  admin = await rig.admin();
  alice = await rig.member("alice");
  identityId = await identityOf(alice);
  directory.people.set("Alice", identityId);
  directory.people.set("Bob", await identityOf(await rig.member("bob")));
  directory.people.set("Carol", await identityOf(await rig.member("carol")));
  directory.people.set("Nobody", "idn_0000000000000000000000");
});
afterAll(async () => {
  await directory.close();
  await rig.close();
  operations.uninstall();
});

async function identityOf(client: Client): Promise<string> {
  const { issueAccessToken } = await client.ask(IssueAccessTokenDocument, { scopes: ["CHAT"] });
  return issueAccessToken.accessToken?.identity.id ?? expect.fail("no token");
}

const subgraphs = (variant = "schema", { url } = rig.gateway) => [
  { name: "tokens", url: `${url}/graphql`, sdl: published(variant) },
  { name: "directory", url: directory.url, sdl: DIRECTORY_SDL },
];
const bearer = ({ token }: Client) => `Bearer ${token}`;

describe("the published subgraph", () => {
  it.each(["schema", "public"])("composes with another one, without an error or a hint: %s", (variant) => {
    for (const compose of [composeAsApollo, composeAsHive]) {
      const { supergraph, errors, hints } = compose(subgraphs(variant));
      expect({ errors, hints }).toEqual({ errors: [], hints: [] });
      expect(supergraph).toContain("displayName");
      expect(supergraph).not.toMatch(/\bSubscription\b/);
    }
  });

  it("composes with the subgraph that docs/federation.md shows, for the operation that it shows", () => {
    const docs = readFileSync("docs/federation.md", "utf8");
    const [operation = "", sdl = ""] = [...docs.matchAll(/```graphql \w+\n([\s\S]*?)```/g)].map(([, block]) => block);
    const people = { name: "people", url: directory.url, sdl };
    for (const compose of [composeAsApollo, composeAsHive]) {
      const { supergraph = "", ...faults } = compose([...subgraphs("public").slice(0, 1), people]);
      expect(faults).toEqual({ errors: [], hints: [] });
      const api = buildASTSchema(transformSupergraphToPublicSchema(parse(supergraph)));
      expect(validate(api, parse(operation))).toEqual([]);
    }
  });

  it("is what the gateway answers for it", async () => {
    // To compose has held up this process, which the gateway is in: it takes nothing before it has seen that this is over.
    await setTimeout(2 * LOOK_EVERY_MS);
    const { data } = await alice.send({ query: "{ _service { sdl } }" });
    const { sdl } = (data as { _service: { sdl: string } })._service;
    expect(published("schema").replace(/^(#.*\n)+\n/, "")).toBe(sdl);
  });

  it("can be composed by a router that asks for it", async () => {
    const router = await startIntrospectingRouter(subgraphs(), bearer(alice));
    const { data } = await router.ask("{ viewer { identity { id displayName } } }", bearer(alice));
    await router.close();
    expect(data).toEqual({ viewer: { identity: { id: identityId, displayName: "Alice" } } });
  });
});

describe.each([
  { name: "Apollo Gateway", start: startApolloRouter },
  { name: "Hive Gateway", start: startHiveRouter },
])("through $name", ({ start }) => {
  let router: Router;
  beforeAll(async () => {
    router = await start(subgraphs());
  });
  afterAll(() => router.close());

  interface People {
    readonly people: { readonly nodes: readonly { name: string; identity: object | null }[] };
  }
  const peopleFor = async (client: Client) => {
    const { data, ...rest } = await router.ask(PEOPLE, bearer(client));
    const { people } = data as unknown as People;
    return { ...rest, identities: Object.fromEntries(people.nodes.map(({ name, identity }) => [name, identity])) };
  };

  it("a member sees their own identity, and of others no more than if there were none", async () => {
    const { identities, errors } = await peopleFor(alice);
    // What a router makes of the null is its own; it is the same for all three.
    expect(new Set(errors?.map((error) => JSON.stringify({ ...error, path: [] }))).size).toBeLessThan(2);
    expect(identities).toEqual({
      Alice: { id: identityId, status: "ACTIVE", user: { subject: "alice" } },
      Bob: null,
      Carol: null,
      Nobody: null,
    });
  });

  it("an administrator sees everybody's", async () => {
    const { identities } = await peopleFor(admin);
    expect(identities).toMatchObject({
      Alice: { status: "ACTIVE", user: { subject: "alice" } },
      Bob: { status: "ACTIVE", user: { subject: "bob" } },
      Carol: { status: "ACTIVE", user: { subject: "carol" } },
      Nobody: null,
    });
  });

  it("the gateway reads several identities at once", async () => {
    const answer = Number(new URL(rig.gateway.url).port);
    const counts = await operations.during({ answer, redis: undefined, postgres: undefined }, async () => {
      await peopleFor(admin);
    });
    const reads = [...(counts.get("sql") ?? [])].filter(([statement]) => /from "identities"/i.test(statement));
    expect(reads.map(([, times]) => times)).toEqual([1]);
  });

  it("what the gateway answers is completed by the other subgraph", async () => {
    const { data, errors } = await router.ask("{ viewer { identity { id displayName status } } }", bearer(alice));
    expect(errors).toBeUndefined();
    expect(data).toEqual({ viewer: { identity: { id: identityId, displayName: "Alice", status: "ACTIVE" } } });
  });

  it("tokens are issued, pages asked for, and refusals told", async () => {
    const issued = await router.ask(
      "mutation ($scopes: [TokenScope!]!) { issueAccessToken(input: { scopes: $scopes }) { accessToken { token identity { displayName } } userErrors { code } } }",
      bearer(alice),
      { scopes: ["CHAT"] },
    );
    const payload = issued.data?.issueAccessToken as { accessToken: { token: string; identity: object } } | undefined;
    const { accessToken } = payload ?? expect.fail(JSON.stringify(issued));
    expect(accessToken.identity).toEqual({ displayName: "Alice" });
    expect(await rig.isActive(accessToken.token)).toBe(true);
    const paged = "{ identities(first: 2) { nodes { createdAt displayName } pageInfo { hasNextPage } } }";
    expect(await router.ask(paged, bearer(admin))).toMatchObject({
      data: {
        identities: { nodes: [{ displayName: "Carol" }, { displayName: "Bob" }], pageInfo: { hasNextPage: true } },
      },
    });
    const refused = await router.ask(paged, bearer(alice));
    expect(refused.data?.identities ?? null).toBeNull();
    expect(refused.errors?.map(({ extensions }) => extensions?.code)).toContain("FORBIDDEN");
  });

  it("nobody gets in whose token the gateway would not take", async () => {
    for (const authorization of ["", "Bearer x"]) {
      const { data, errors } = await router.ask("{ viewer { user { subject } } }", authorization);
      expect(data?.viewer ?? null).toBeNull();
      expect(errors).not.toHaveLength(0);
    }
  });
});

describe("_entities", () => {
  const own = () => ({ __typename: "CommunicationIdentity", id: identityId });

  it("answers each on its own, in their order", async () => {
    const of = [{ ...own(), id: "y" }, own(), { ...own(), id: "idn_0000000000000000000000" }];
    const { status, data, errors } = await alice.send({ query: ENTITIES, variables: { of } });
    expect([status, errors]).toEqual([200, undefined]);
    expect(data).toEqual({ _entities: [null, { id: identityId, status: "ACTIVE" }, null] });
  });

  it.each([
    ["of another type", { __typename: "Person", id: "x" }],
    ["without its key", { __typename: "CommunicationIdentity" }],
    ["with a key of another type", { __typename: "CommunicationIdentity", id: 7 }],
    ["that is no object", 7],
  ])("is refused once, however many references are there %s, and looks none up", async (_, fault) => {
    const answer = Number(new URL(rig.gateway.url).port);
    const counts = await operations.during({ answer, redis: undefined, postgres: undefined }, async () => {
      const of = [own(), ...Array(999).fill(fault)];
      const { data, errors } = await alice.send({ query: ENTITIES, variables: { of } });
      expect(data ?? null).toBeNull();
      expect(errors).toMatchObject([{ path: ["_entities"], extensions: { code: "BAD_USER_INPUT" } }]);
    });
    const reads = [...(counts.get("sql") ?? [])].filter(([statement]) => /from "identities"/i.test(statement));
    expect(reads).toEqual([]);
  });

  it("counts each reference in the cost of an operation", async () => {
    const ask = async (count: number) => {
      const of = Array(count).fill({ ...own(), id: "x" });
      const { status, errors } = await admin.send({ query: ENTITIES, variables: { of } });
      return [status, errors?.[0]?.extensions.code];
    };
    expect(await ask(1000)).toEqual([200, undefined]);
    expect(await ask(1001)).toEqual([400, "GRAPHQL_VALIDATION_FAILED"]);
  });

  it("takes its references from the document, too", async () => {
    const query = `{ _entities(representations: [{ __typename: "CommunicationIdentity", id: "${identityId}" }]) { __typename ... on CommunicationIdentity { user { subject } } } }`;
    const { data } = await alice.send({ query });
    expect(data).toEqual({ _entities: [{ __typename: "CommunicationIdentity", user: { subject: "alice" } }] });
  });
});

describe("trusted documents", () => {
  it("do not know what a router makes of an operation: it is logged, or refused", async () => {
    const manifest = join(rig.folder, "manifest.json");
    writeFileSync(manifest, JSON.stringify({ viewer: "query Viewer { viewer { allowedScopes } }" }));
    for (const mode of ["log", "enforce"] as const) {
      const trustedDocuments = { mode, manifests: [manifest] };
      const configure = (shipped: Config) => ({
        ...shipped,
        graphql: { ...federated(shipped).graphql, trustedDocuments },
      });
      const instance = await rig.startAnother({ configure });
      const router = await startApolloRouter(subgraphs("schema", instance));
      const { data, errors } = await router.ask("query Viewer { viewer { allowedScopes } }", bearer(alice));
      await router.close();
      const isAnswered = errors === undefined && data?.viewer !== null;
      expect(isAnswered).toBe(mode === "log");
      expect(instance.logLines.join()).toContain("untrusted document");
    }
  });
});

describe("without federation", () => {
  it("routers' fields are unknown", async () => {
    const plain = await rig.startAnother({ configure: (shipped) => shipped });
    for (const query of ["{ _service { sdl } }", "{ _entities(representations: []) { __typename } }"]) {
      const { status, errors } = await alice.at(plain).send({ query });
      expect([status, errors?.[0]?.extensions.code]).toEqual([400, "GRAPHQL_VALIDATION_FAILED"]);
      expect(errors?.[0]?.message).toMatch(/^Cannot query field "_(service|entities)" on type "Query"/);
    }
  });

  it("none of it is loaded: it is in a file of its own, which the program asks for when it is on", () => {
    const names = readdirSync("dist").filter((name) => name.endsWith(".js"));
    const files = names.map((file) => ({ file, text: readFileSync(`dist/${file}`, "utf8") }));
    const having = files.filter(({ text }) => text.includes("specs.apollo.dev/federation/v2.0"));
    expect(having.map(({ file }) => file)).toEqual(["federation.js"]);
    const loading = files.flatMap(({ text }) => text.match(/[^;\n]*"\.\/federation\.js"/g) ?? []);
    expect(loading).toEqual([expect.stringContaining('import("./federation.js"')]);
  });
});
