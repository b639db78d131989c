import "reflect-metadata";
import type { GraphQLObjectType, GraphQLSchema } from "graphql";
import { buildSchema, getMetadataStorage } from "type-graphql";
import type { AuditAccess } from "../identities/audit-access.js";
import type { IdentityLifecycle } from "../identities/lifecycle.js";
import type { Operations } from "../identities/operations.js";
import type { Revocation } from "../identities/revocation.js";
import type { TeamsExchange } from "../tokens/exchange.js";
import type { TokenIssuance } from "../tokens/issue.js";
import { callDirectly } from "./direct-resolvers.js";
import { AuditEventResolver, AuditEventsResolver, IdentityAuditResolver } from "./resolvers/audit.js";
import { AuditFeedResolver, auditTopic } from "./resolvers/audit-feed.js";
import { IdentitiesResolver } from "./resolvers/identities.js";
import { LifecycleResolver } from "./resolvers/lifecycle.js";
import { NodesResolver } from "./resolvers/nodes.js";
import { AttemptsResolver, WorkResolver } from "./resolvers/operations.js";
import { IdentityTokensResolver, TokenRecordResolver, TokenRecordsResolver } from "./resolvers/token-records.js";
import { TokensResolver } from "./resolvers/tokens.js";
import { ViewerResolver } from "./resolvers/viewer.js";

/** What the resolvers call. */
export interface Services {
  readonly issuance: TokenIssuance;
  readonly teams: TeamsExchange;
  readonly revocation: Revocation;
  readonly lifecycle: IdentityLifecycle;
  readonly operations: Operations;
  readonly audit: AuditAccess;
}

type ResolverClass = new (...parts: never) => object;

/** The executable schema. Without services it can be printed but not run. */
export async function createSchema(services?: Services): Promise<GraphQLSchema> {
  const { issuance, teams, revocation, lifecycle, operations, audit } = services ?? ({} as Services);
  const resolvers = new Map<ResolverClass, object>([
    [ViewerResolver, new ViewerResolver()],
    [NodesResolver, new NodesResolver(audit)],
    [IdentitiesResolver, new IdentitiesResolver()],
    [TokensResolver, new TokensResolver(issuance, teams, revocation)],
    [LifecycleResolver, new LifecycleResolver(lifecycle)],
    [AttemptsResolver, new AttemptsResolver(operations)],
    [WorkResolver, new WorkResolver(operations)],
    [AuditEventsResolver, new AuditEventsResolver(audit)],
    [AuditFeedResolver, new AuditFeedResolver()],
    [AuditEventResolver, new AuditEventResolver()],
    [IdentityAuditResolver, new IdentityAuditResolver(audit)],
    [TokenRecordsResolver, new TokenRecordsResolver(audit)],
    [TokenRecordResolver, new TokenRecordResolver()],
    [IdentityTokensResolver, new IdentityTokensResolver(audit)],
  ]);
  // Fields that are nobody's work to resolve are properties, and GraphQL knows how to read those.
  for (const type of getMetadataStorage().objectTypes) type.simpleResolvers = true;
  const schema = await buildSchema({
    // The type asks for one at least.
    resolvers: [ViewerResolver, ...resolvers.keys()],
    container: { get: (resolverClass) => resolvers.get(resolverClass as ResolverClass) },
    pubSub: auditTopic(audit),
    // Input is checked by GraphQL's types and by the services; no second validator.
    validate: false,
    // The tests check it, whole; a start need not.
    skipCheck: services !== undefined,
  });
  callDirectly(schema, resolvers);
  describeRoot(schema.getQueryType(), "What can be read. Nothing here changes anything.");
  describeRoot(schema.getMutationType(), "What can be done. One root field a request.");
  describeRoot(schema.getSubscriptionType(), "What can be watched: by server-sent events or a WebSocket.");
  return schema;
}

/** type-graphql has no place for these descriptions. */
function describeRoot(type: GraphQLObjectType | null | undefined, description: string): void {
  if (type) type.description = description;
}
