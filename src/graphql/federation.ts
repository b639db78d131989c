/**
 * The schema as a subgraph of Apollo Federation 2 (its "subgraph specification"): `_service` says it as SDL, for who composes
 * it with others, and `_entities` finds what other subgraphs refer to by its key. A router in front asks for that in the
 * caller's name, so each is shown what `node` would show them.
 */
import {
  type GraphQLFieldConfig,
  GraphQLList,
  GraphQLNonNull,
  GraphQLObjectType,
  GraphQLScalarType,
  GraphQLSchema,
  GraphQLString,
  GraphQLUnionType,
  isObjectType,
  lexicographicSortSchema,
} from "graphql";
import { badArgument } from "./bad-argument.js";
import type { RequestContext } from "./context.js";
import { isObject } from "./manifest.js";
import { printWithDirectives } from "./sdl.js";

const LINK = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.0", import: ["@key", "@shareable"])`;

/** The type that others may refer to. */
const ENTITY = "CommunicationIdentity";

const DIRECTIVES = new Map([
  [ENTITY, '@key(fields: "id")'],
  // Every subgraph with connections has it.
  ["PageInfo", "@shareable"],
]);

/** What there is to compose, sorted as it is published. */
export function subgraphSdl(schema: GraphQLSchema): string {
  const sorted = lexicographicSortSchema(withoutSubscriptions(schema));
  return `${LINK}\n\n${printWithDirectives(sorted, DIRECTIVES)}\n`;
}

/** Routers differ in how they subscribe at a subgraph: some ask by GET, which is refused here. */
function withoutSubscriptions(schema: GraphQLSchema): GraphQLSchema {
  const { types, subscription, ...rest } = schema.toConfig();
  return new GraphQLSchema({ ...rest, types: types.filter((type) => type !== subscription) });
}

/** The executable schema with what routers ask for. Its own types stay the same objects. */
export function asSubgraph(schema: GraphQLSchema): GraphQLSchema {
  const query = schema.getQueryType();
  const entity = schema.getType(ENTITY);
  if (!query || !isObjectType(entity)) throw new Error(`the schema has no ${ENTITY} to ask for`);
  const { fields, ...about } = query.toConfig();
  const federated = new GraphQLObjectType<unknown, RequestContext>({
    ...about,
    fields: { ...fields, _service: serviceField(schema), _entities: entitiesField(entity) },
  });
  const { types, ...rest } = schema.toConfig();
  return new GraphQLSchema({ ...rest, query: federated, types: types.filter((type) => type !== query) });
}

function serviceField(schema: GraphQLSchema): GraphQLFieldConfig<unknown, RequestContext> {
  let sdl: string | undefined;
  const service = new GraphQLObjectType({
    name: "_Service",
    description: "This subgraph, for who composes it with others.",
    fields: {
      sdl: { type: new GraphQLNonNull(GraphQLString), description: "Its schema, without what is here for routers." },
    },
  });
  return {
    type: new GraphQLNonNull(service),
    description: "This subgraph, for who composes it with others.",
    resolve: () => {
      sdl ??= subgraphSdl(schema);
      return { sdl };
    },
  };
}

/** The cost of it is counted as that of any list by its length (cost.ts). */
function entitiesField(entity: GraphQLObjectType): GraphQLFieldConfig<unknown, RequestContext> {
  const description = "An object as another subgraph refers to it: `__typename` and its key.";
  const representation = new GraphQLScalarType({ name: "_Any", description });
  const union = new GraphQLUnionType({
    name: "_Entity",
    description: "What other subgraphs may refer to.",
    types: [entity],
    resolveType: () => entity.name,
  });
  return {
    type: new GraphQLNonNull(new GraphQLList(union)),
    description:
      "The objects that are referred to, in the same order; null for each that `node` would answer null for. Refused as a whole, with BAD_USER_INPUT, if one is no reference.",
    args: {
      representations: {
        type: new GraphQLNonNull(new GraphQLList(new GraphQLNonNull(representation))),
        description: "Which, each with `__typename` and `id`.",
      },
    },
    // Each is found on its own, so that one which fails is one null, with its error; together they are read as a batch.
    resolve: (_, { representations }: { representations: readonly unknown[] }, { identities }) =>
      representations.map(idIn).map(async (id) => await identities.byId(id)),
  };
}

/** Looked at before any is found: a router makes no mistake in one alone, and one error says as much as a thousand. */
function idIn(representation: unknown): string {
  const { __typename, id } = isObject(representation) ? representation : {};
  if (__typename === ENTITY && typeof id === "string") return id;
  throw badArgument("representations", `must have entries with the __typename ${ENTITY} and an id`);
}
