/** Apollo Server on Fastify. */
import { ApolloServer } from "@apollo/server";
import fastifyApollo, { fastifyApolloDrainPlugin } from "@as-integrations/fastify";
import { fastify } from "fastify";
import { type ApolloContext, contextOf } from "./apollo.js";
import { resolvers, typeDefs } from "./schema.js";

const app = fastify();
const server = new ApolloServer<ApolloContext>({ typeDefs, resolvers, plugins: [fastifyApolloDrainPlugin(app)] });
await server.start();

await app.register(fastifyApollo(server), { context: (request) => contextOf(request) });
await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
