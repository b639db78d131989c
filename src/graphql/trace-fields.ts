import type { GraphQLField, GraphQLSchema } from "graphql";
import type { SpanAbout, Tracing } from "../observe/tracing.js";

/** Has a span made of each root field that is resolved: that is where a service is called. Changes the schema. */
export function traceRootFields(schema: GraphQLSchema, tracing: Tracing): void {
  for (const type of ["query", "mutation", "subscription"] as const)
    for (const field of fieldsOf(schema, type)) traceField(field, { name: `${type} ${field.name}` }, tracing);
}

function fieldsOf(schema: GraphQLSchema, type: "query" | "mutation" | "subscription") {
  const root = { query: schema.getQueryType(), mutation: schema.getMutationType() };
  const of = { ...root, subscription: schema.getSubscriptionType() }[type];
  return Object.values(of?.getFields() ?? {});
}

/** Of a subscription its beginning. */
function traceField(field: GraphQLField<unknown, unknown>, about: SpanAbout, tracing: Tracing): void {
  const { resolve, subscribe } = field;
  if (subscribe) field.subscribe = (...given) => tracing.span(about, () => subscribe(...given));
  else if (resolve) field.resolve = (...given) => tracing.span(about, () => resolve(...given));
}
