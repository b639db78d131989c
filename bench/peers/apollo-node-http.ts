/** Apollo Server on `node:http`, without a framework, with a compiled executor in the place of graphql-js's own. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { ApolloServer, HeaderMap } from "@apollo/server";
import { buildSchema } from "graphql";
import { type CompiledQuery, compileQuery, isCompiledQuery } from "graphql-jit";
import { type ApolloContext, contextOf } from "./apollo.js";
import { resolvers, typeDefs } from "./schema.js";

const schema = buildSchema(typeDefs);
const mutation = schema.getMutationType()?.getFields().issueAccessToken;
if (mutation) mutation.resolve = (source, args, context) => resolvers.Mutation.issueAccessToken(source, args, context);

const compiled = new Map<string, CompiledQuery>();

const server = new ApolloServer<ApolloContext>({
  gateway: {
    onSchemaLoadOrUpdate: (callback) => {
      callback({ apiSchema: schema, coreSupergraphSdl: typeDefs });
      return () => {};
    },
    load: async () => ({
      executor: async ({ document, queryHash, operationName, context, request }) => {
        const key = `${queryHash} ${operationName}`;
        let query = compiled.get(key);
        if (query === undefined) {
          const made = compileQuery(schema, document, operationName ?? undefined);
          if (!isCompiledQuery(made)) return made;
          query = made;
          compiled.set(key, query);
        }
        return await query.query(undefined, context, request.variables);
      },
    }),
    stop: async () => {},
  },
});
await server.start();

createServer((request, response) => {
  void answer(request, response);
}).listen(Number(process.env.PORT), "127.0.0.1");

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const headers = new HeaderMap(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
  const body: unknown = JSON.parse(await text(request));
  const answered = await server.executeHTTPGraphQLRequest({
    httpGraphQLRequest: { method: request.method ?? "", headers, search: "", body },
    context: () => contextOf(request),
  });
  if (answered.body.kind !== "complete") throw new Error("nothing here is delivered bit by bit");
  response.writeHead(answered.status ?? 200, Object.fromEntries(answered.headers));
  response.end(answered.body.string);
}
