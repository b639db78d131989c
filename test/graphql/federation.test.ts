import "reflect-metadata";
import {
  type GraphQLSchema,
  getOperationAST,
  isObjectType,
  isUnionType,
  parse,
  printSchema,
  validateSchema,
} from "graphql";
import { beforeAll, describe, expect, it } from "vitest";
import { compileOperation } from "../../src/graphql/compiled.js";
import { asSubgraph, subgraphSdl } from "../../src/graphql/federation.js";
import { createSchema } from "../../src/graphql/schema.js";

/** As it is printed, with its description. */
const SUBSCRIPTION = /\n+"""[^"]*"""\ntype Subscription \{[\s\S]*?\n\}/;

describe("the schema as a subgraph", () => {
  let plain: GraphQLSchema;
  let subgraph: GraphQLSchema;
  beforeAll(async () => {
    plain = await createSchema();
    subgraph = asSubgraph(plain);
  });

  it("is a schema", () => {
    expect(validateSchema(subgraph)).toEqual([]);
  });

  it("has the gateway's own types as they are, and what the specification of subgraphs asks for beside them", () => {
    const own = Object.entries(plain.getTypeMap());
    const others = own.filter(([name, type]) => subgraph.getType(name) !== type).map(([name]) => name);
    expect(others).toEqual(["Query"]);
    const added = Object.keys(subgraph.getTypeMap()).filter((name) => plain.getType(name) === undefined);
    expect(added.sort()).toEqual(["_Any", "_Entity", "_Service"]);
    const { _service, _entities, ...fields } = subgraph.getQueryType()?.getFields() ?? {};
    expect(Object.keys(fields)).toEqual(Object.keys(plain.getQueryType()?.getFields() ?? {}));
    expect(String(_service?.type)).toBe("_Service!");
    expect(String(_entities?.type)).toBe("[_Entity]!");
    expect(_entities?.args.map((argument) => `${argument.name}: ${argument.type}`)).toEqual([
      "representations: [_Any!]!",
    ]);
  });

  it("is described, what was there before and what was added", () => {
    const query = subgraph.getQueryType();
    expect(query?.description).toBe(plain.getQueryType()?.description);
    for (const name of ["_Any", "_Entity", "_Service"]) {
      const type = subgraph.getType(name);
      expect(type?.description, name).toMatch(/\.$/);
      if (isObjectType(type))
        for (const field of Object.values(type.getFields())) expect(field.description).toMatch(/\.$/);
      if (isUnionType(type)) expect(type.getTypes().map(String)).toEqual(["CommunicationIdentity"]);
    }
    for (const name of ["_service", "_entities"]) expect(query?.getFields()[name]?.description).toMatch(/\.$/);
  });

  it("runs the main operations compiled, as without", () => {
    const document = parse(
      "mutation ($s: [TokenScope!]!) { issueAccessToken(input: { scopes: $s }) { accessToken { token } } }",
    );
    const operation = getOperationAST(document) ?? expect.fail("no operation");
    expect(compileOperation({ schema: subgraph, document, operation, maxCoercionErrors: 3 })).toBeDefined();
  });

  it("says of itself what it is without routers' fields, with its key", () => {
    const sdl = subgraphSdl(plain);
    expect(sdl).toContain('type CommunicationIdentity implements Node @key(fields: "id") {');
    expect(sdl).not.toMatch(/_(Any|Entity|Service|service|entities)\b/);
    const withoutDirectives = sdl.replace(/extend schema.*\n\n/, "").replaceAll(/ @(key\([^)]*\)|shareable)/g, "");
    const own = `${printSchema(plain)}\n`.replace(SUBSCRIPTION, "");
    expect(withoutDirectives.split("\n").sort()).toEqual(own.split("\n").sort());
  });

  it("has no subscription for others to compose, which the gateway itself answers", () => {
    expect(printSchema(plain)).toMatch(SUBSCRIPTION);
    expect(subgraphSdl(plain)).not.toMatch(/\bSubscription\b|auditEventAdded/);
    expect(subgraph.getSubscriptionType()).toBe(plain.getSubscriptionType());
  });
});
