/** Mercurius on Fastify, with compiled queries. */
import { fastify } from "fastify";
import { mercurius } from "mercurius";
import { resolvers, typeDefs } from "./schema.js";
import { authenticate } from "./work.js";

const app = fastify();

app.decorateRequest("subject", "");
app.addHook("onRequest", async (request, reply) => {
  try {
    request.subject = await authenticate(request.headers.authorization);
  } catch {
    return await reply.code(401).send({ errors: [{ message: "Unauthenticated" }] });
  }
});
app.register(mercurius, { schema: typeDefs, resolvers, jit: 1, context: ({ subject }) => ({ subject }) });
await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });

declare module "mercurius" {
  interface MercuriusContext {
    subject: string;
  }
}

declare module "fastify" {
  interface FastifyRequest {
    subject: string;
  }
}
