import type { ApolloServerOptions, BaseContext } from "@apollo/server";
import type { DocumentNode } from "graphql";
import { keepRecent } from "../recent.js";

type DocumentStore = NonNullable<ApolloServerOptions<BaseContext>["documentStore"]>;

/** All that are kept together: some 500 of those that apps send. */
const MOST_BYTES = 16 * 1024 * 1024;
const BYTES_A_CHARACTER = 2;
/** With its part of the tree, and of what is compiled of that. */
const BYTES_A_TOKEN = 640;

/**
 * Documents that are well, for when they come again, by Apollo's hash of their text. Apollo's own store goes by their JSON, in which
 * neither their text is nor their tokens: of short ones with much white space it keeps gigabytes.
 */
export function documentStore(): DocumentStore {
  const documents = keepRecent(MOST_BYTES, bytesOf);
  return {
    get: async (hash) => documents.get(hash),
    set: async (hash, document) => void documents.set(hash, document),
    delete: async (hash) => documents.delete(hash),
  };
}

/** About as many. */
function bytesOf({ loc }: DocumentNode): number {
  if (loc === undefined) throw new Error("a document is parsed with its places, which errors name");
  let tokens = 0;
  for (let token: typeof loc.startToken | null = loc.startToken; token; token = token.next) tokens += 1;
  return loc.source.body.length * BYTES_A_CHARACTER + tokens * BYTES_A_TOKEN;
}
