/** GraphQL Yoga on `node:http`. */
import { createServer } from "node:http";
import { GraphQLError } from "graphql";
import { createSchema, createYoga } from "graphql-yoga";
import { type Context, resolvers, typeDefs } from "./schema.js";
import { authenticate } from "./work.js";

const yoga = createYoga<object, Context>({
  schema: createSchema<Context>({ typeDefs, resolvers }),
  logging: false,
  graphiql: false,
  landingPage: false,
  context: async ({ request }) => {
    try {
      return { subject: await authenticate(request.headers.get("authorization") ?? undefined) };
    } catch {
      throw new GraphQLError("Unauthenticated", { extensions: { code: "UNAUTHENTICATED", http: { status: 401 } } });
    }
  },
});

createServer(yoga).listen(Number(process.env.PORT), "127.0.0.1");
