import "reflect-metadata";
import type { GraphQLObjectType, GraphQLSchema } from "graphql";
import { buildSchema } from "type-graphql";
import type { IdentityLifecycle } from "../identities/lifecycle.js";
import type { Operations } from "../identities/operations.js";
import type { Revocation } from "../identities/revocation.js";
import type { TeamsExchange } from "../tokens/exchange.js";
import type { TokenIssuance } from "../tokens/issue.js";
import { IdentitiesResolver } from "./resolvers/identities.js";
import { LifecycleResolver } from "./resolvers/lifecycle.js";
import { AttemptsResolver, WorkResolver } from "./resolvers/operations.js";
import { TokensResolver } from "./resolvers/tokens.js";
import { ViewerResolver } from "./resolvers/viewer.js";

/** What the resolvers call. */
export interface Services {
  readonly issuance: TokenIssuance;
  readonly teams: TeamsExchange;
  readonly revocation: Revocation;
  readonly lifecycle: IdentityLifecycle;
  readonly operations: Operations;
}

/** The executable schema. Without services it can be printed but not run. */
export async function createSchema(services?: Services): Promise<GraphQLSchema> {
  const { issuance, teams, revocation, lifecycle, operations } = services ?? ({} as Services);
  const resolvers = new Map<unknown, object>([
    [ViewerResolver, new ViewerResolver()],
    [IdentitiesResolver, new IdentitiesResolver()],
    [TokensResolver, new TokensResolver(issuance, teams, revocation)],
    [LifecycleResolver, new LifecycleResolver(lifecycle)],
    [AttemptsResolver, new AttemptsResolver(operations)],
    [WorkResolver, new WorkResolver(operations)],
  ]);
  const schema = await buildSchema({
    resolvers: [ViewerResolver, IdentitiesResolver, TokensResolver, LifecycleResolver, AttemptsResolver, WorkResolver],
    container: { get: (resolverClass) => resolvers.get(resolverClass) },
    // Input is checked by GraphQL's types and by the services; no second validator.
    validate: false,
  });
  describeRoot(schema.getQueryType(), "What can be read. Nothing here changes anything.");
  describeRoot(schema.getMutationType(), "What can be done. One root field a request.");
  return schema;
}

/** type-graphql has no place for these descriptions. */
function describeRoot(type: GraphQLObjectType | null | undefined, description: string): void {
  if (type) type.description = description;
}
