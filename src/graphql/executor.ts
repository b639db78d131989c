/** Runs operations in Apollo's place, by the interface that it has for a gateway: what comes again runs compiled. */
import type { ApolloServerOptions } from "@apollo/server";
import { type ExecutionResult, execute, type GraphQLSchema, type OperationDefinitionNode } from "graphql";
import { type CompiledOperation, compileOperation } from "./compiled.js";
import type { RequestContext } from "./context.js";

type ApolloGateway = NonNullable<ApolloServerOptions<RequestContext>["gateway"]>;
type ApolloExecutor = NonNullable<Awaited<ReturnType<ApolloGateway["load"]>>["executor"]>;
/** All that there is of it in the built program (scripts/apollo-parts.ts). */
type Asked = Pick<Parameters<ApolloExecutor>[0], "request" | "context" | "document" | "operation">;

/** A document that comes once, as a flood of made-up ones does, is not worth the work. */
const USES_BEFORE_COMPILED = 2;

/** What is known of an operation; it goes with its document (`document-store.ts`). */
interface Known {
  uses: number;
  /** Null: left to graphql-js. */
  compiled?: CompiledOperation | null;
}

export function compilingGateway(schema: GraphQLSchema, maxCoercionErrors: number): ApolloGateway {
  const known = new WeakMap<OperationDefinitionNode, Known>();
  const compiledFor = ({ document, operation }: Asked): CompiledOperation | null => {
    const entry = known.get(operation) ?? { uses: 0 };
    entry.uses += 1;
    if (entry.uses === 1) known.set(operation, entry);
    if (entry.uses < USES_BEFORE_COMPILED) return null;
    entry.compiled ??= compileOperation({ schema, document, operation, maxCoercionErrors }) ?? null;
    return entry.compiled;
  };
  const executor = async (about: Asked) => {
    const { document, operation, request, context } = about;
    const variables = request.variables ?? {};
    // Apollo asks for no operation, or several, to hear what is wrong with that; and plugins that watch each field do so
    // by a mark on the context, for resolvers that graphql-js calls.
    const isPlain = operation !== undefined && Object.getOwnPropertySymbols(context).length === 0;
    const compiled = isPlain ? compiledFor(about) : null;
    const result: ExecutionResult = compiled
      ? await compiled.run(context, variables)
      : await execute({
          schema,
          document,
          contextValue: context,
          variableValues: variables,
          operationName: request.operationName,
          options: { maxCoercionErrors },
        });
    return result as Awaited<ReturnType<ApolloExecutor>>;
  };
  return {
    load: async () => ({ executor }),
    onSchemaLoadOrUpdate: (tell) => {
      tell({ apiSchema: schema, coreSupergraphSdl: "" });
      return () => {};
    },
    stop: async () => {},
  };
}
