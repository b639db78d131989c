/**
 * Methods of resolvers, called at once. type-graphql finds out at each call what it has to call them with: it sorts the parameters,
 * makes instances of the classes that inputs are declared by, and asks the validator that is turned off. Here that is settled
 * once, and a method is given its input as GraphQL has read it.
 */
import { type GraphQLFieldResolver, type GraphQLSchema, isObjectType } from "graphql";
import { getMetadataStorage } from "type-graphql";
import type { RequestContext } from "./context.js";

type Metadata = ReturnType<typeof getMetadataStorage>;
type Handler = Metadata["queries" | "mutations" | "fieldResolvers"][number];
type Parameter = NonNullable<Handler["params"]>[number];
type Resolve = GraphQLFieldResolver<unknown, RequestContext>;
type Read = (source: unknown, args: Readonly<Record<string, unknown>>, context: RequestContext) => unknown;
type Method = (this: object, ...parameters: unknown[]) => unknown;

/**
 * Has the schema that type-graphql has built call the resolvers of these classes. What it cannot is left to type-graphql; but what
 * `buildSchema` is told for all of them (`globalMiddlewares`, `authChecker`, `validate`) is passed by.
 */
export function callDirectly(schema: GraphQLSchema, resolvers: ReadonlyMap<unknown, object>): void {
  const { queries, mutations, fieldResolvers, objectTypes } = getMetadataStorage();
  const nameOf = new Map(objectTypes.map(({ target, name }) => [target, name]));
  const direct = (typeName: string | undefined, handler: Handler) => {
    const type = typeName === undefined ? undefined : schema.getType(typeName);
    const field = isObjectType(type) ? type.getFields()[handler.schemaName] : undefined;
    const resolve = directResolver(handler, resolvers.get(handler.target));
    if (field?.resolve && resolve) field.resolve = resolve;
  };
  for (const query of queries) direct(schema.getQueryType()?.name, query);
  for (const mutation of mutations) direct(schema.getMutationType()?.name, mutation);
  for (const field of fieldResolvers) direct(field.getObjectType && nameOf.get(field.getObjectType()), field);
}

function directResolver(
  { methodName, params = [], middlewares, roles }: Handler,
  resolver?: object,
): Resolve | undefined {
  if (resolver === undefined || middlewares?.length || roles) return undefined;
  const method = (resolver as Readonly<Record<string, Method>>)[methodName];
  const reads = params.toSorted((one, other) => one.index - other.index).map(readerOf);
  if (method === undefined || !areAll(reads)) return undefined;
  const [first, second, third, ...more] = reads;
  // A list of parameters would be made for each call.
  if (first === undefined) return () => method.call(resolver);
  if (second === undefined) return (source, args, context) => method.call(resolver, first(source, args, context));
  if (third === undefined) {
    return (source, args, context) =>
      method.call(resolver, first(source, args, context), second(source, args, context));
  }
  const all = [first, second, third, ...more];
  return (source, args, context) => method.call(resolver, ...all.map((read) => read(source, args, context)));
}

function readerOf(parameter: Parameter): Read | undefined {
  switch (parameter.kind) {
    case "arg":
      return (_, args) => args[parameter.name];
    case "args":
      return (_, args) => args;
    case "context":
      return parameter.propertyName === undefined ? (_source, _args, context) => context : undefined;
    case "root":
      return parameter.propertyName === undefined ? (source) => source : undefined;
    default:
      return undefined;
  }
}

function areAll(reads: readonly (Read | undefined)[]): reads is readonly Read[] {
  return !reads.includes(undefined);
}
