/** What the peers on Apollo Server have in common. */
import type { BaseContext } from "@apollo/server";
import { GraphQLError } from "graphql";
import type { Context } from "./schema.js";
import { authenticate } from "./work.js";

export type ApolloContext = BaseContext & Context;

interface Request {
  readonly headers: { readonly authorization?: string | undefined };
}

export async function contextOf({ headers }: Request): Promise<ApolloContext> {
  try {
    return { subject: await authenticate(headers.authorization) };
  } catch (error) {
    const extensions = { code: "UNAUTHENTICATED", http: { status: 401 } };
    throw new GraphQLError("Unauthenticated", { extensions, originalError: error as Error });
  }
}
