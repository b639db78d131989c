import { readFileSync } from "node:fs";
import { ApolloServer, type ApolloServerPlugin } from "@apollo/server";
import { buildSchema, type GraphQLObjectType, getOperationAST, parse } from "graphql";
import { describe, expect, it } from "vitest";
import { compileOperation } from "../../src/graphql/compiled.js";
import type { RequestContext } from "../../src/graphql/context.js";
import { compilingGateway } from "../../src/graphql/executor.js";
import { createSchema } from "../../src/graphql/schema.js";

const TIMES = 4;
const QUERY = "query Ask($times: Int!) { greeting { text(times: $times) bad } }";
const context = {} as RequestContext;

/** Runs the same operation often enough to be compiled, and gives what each time was answered. */
async function ask(plugin: ApolloServerPlugin<RequestContext>): Promise<unknown[]> {
  const schema = buildSchema("type Query { greeting: Greeting } type Greeting { text(times: Int!): String, bad: Int }");
  const [query, greeting] = ["Query", "Greeting"].map((name) =>
    (schema.getType(name) as GraphQLObjectType).getFields(),
  );
  if (query?.greeting) query.greeting.resolve = () => ({});
  if (greeting?.text) greeting.text.resolve = (_, { times }) => "hi ".repeat(times);
  if (greeting?.bad)
    greeting.bad.resolve = () => {
      throw new Error("always");
    };
  const server = new ApolloServer<RequestContext>({ gateway: compilingGateway(schema, 3), plugins: [plugin] });
  const results: unknown[] = [];
  for (let time = 0; time < TIMES; time++) {
    const { body } = await server.executeOperation(
      { query: QUERY, variables: { times: 2 } },
      { contextValue: context },
    );
    results.push(body.kind === "single" && { ...body.singleResult, errors: body.singleResult.errors?.length });
  }
  await server.stop();
  return results;
}

const ANSWERS = Array.from({ length: TIMES }, () => ({ data: { greeting: { text: "hi hi ", bad: null } }, errors: 1 }));

describe("behind Apollo's pipeline", () => {
  it("plugins hear of operations and of errors, however often an operation comes", async () => {
    const heard: string[] = [];
    const note = (what: string) => async () => void heard.push(what);
    const results = await ask({
      requestDidStart: async () => ({
        didResolveOperation: note("operation"),
        executionDidStart: async () => ({ executionDidEnd: note("end") }),
        didEncounterErrors: note("errors"),
        willSendResponse: note("answer"),
      }),
    });
    expect(results).toEqual(ANSWERS);
    expect(heard).toEqual(ANSWERS.flatMap(() => ["operation", "errors", "end", "answer"]));
  });

  it("plugins that watch fields, as tracing does, see each of them each time", async () => {
    const fields: string[] = [];
    const results = await ask({
      requestDidStart: async () => ({
        executionDidStart: async () => ({ willResolveField: ({ info }) => void fields.push(info.fieldName) }),
      }),
    });
    expect(results).toEqual(ANSWERS);
    expect(fields).toEqual(ANSWERS.flatMap(() => ["greeting", "text", "bad"]));
  });
});

/** Of the published manifest, whose texts have `__typename` wherever it may be. */
const published = JSON.parse(readFileSync("schema/persisted-documents.json", "utf8"))
  .operations.filter(({ name }: { name: string }) =>
    ["RefreshAccessToken", "IssueAccessToken", "Viewer"].includes(name),
  )
  .map(({ body }: { body: string }) => body) as string[];

it.each([
  ...published,
  "mutation ($s: [TokenScope!]!) { issueAccessToken(input: { scopes: $s }) { accessToken { token identity { id status } } userErrors { code } } }",
  "{ viewer { user { issuer subject } permissions identity { id communicationUserId } } }",
])("what the gateway is asked most is compiled: %s", async (text) => {
  const schema = await createSchema();
  const document = parse(text);
  const operation = getOperationAST(document);
  if (!operation) throw new Error("no operation");
  expect(compileOperation({ schema, document, operation, maxCoercionErrors: 3 })).toBeDefined();
});
