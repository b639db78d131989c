/** Apollo Server on Express: what most people write. */
import { ApolloServer } from "@apollo/server";
import { expressMiddleware } from "@as-integrations/express5";
import express from "express";
import { type ApolloContext, contextOf } from "./apollo.js";
import { resolvers, typeDefs } from "./schema.js";

const server = new ApolloServer<ApolloContext>({ typeDefs, resolvers });
await server.start();

const app = express();
app.use("/graphql", express.json(), expressMiddleware(server, { context: ({ req }) => contextOf(req) }));
app.listen(Number(process.env.PORT), "127.0.0.1");
