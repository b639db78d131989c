import { type ASTNode, type GraphQLSchema, parse, printSchema, visit } from "graphql";

/**
 * The SDL of the schema with directives at these places (`Type`, `Type.field`), each as it is written. GraphQL's own printer
 * leaves them out.
 */
export function printWithDirectives(schema: GraphQLSchema, directives: ReadonlyMap<string, string>): string {
  const sdl = printSchema(schema);
  const additions: { readonly at: number; readonly text: string }[] = [];
  const add = (place: string, behind: ASTNode) => {
    const text = directives.get(place);
    if (text !== undefined) additions.push({ at: behind.loc?.end ?? 0, text: ` ${text}` });
  };
  visit(parse(sdl), {
    ObjectTypeDefinition: ({ name, interfaces = [], fields = [] }) => {
      add(name.value, interfaces.at(-1) ?? name);
      for (const field of fields) add(`${name.value}.${field.name.value}`, field);
    },
  });
  return additions.reduceRight((text, { at, text: added }) => text.slice(0, at) + added + text.slice(at), sdl);
}
