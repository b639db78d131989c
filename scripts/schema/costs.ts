/**
 * What `src/graphql/cost.ts` counts, for those who only have the schema: as directives of IBM's cost specification
 * (https://ibm.github.io/graphql-specs/cost-spec.html), which gateways and clients read, and as a table for people.
 */
import {
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLObjectType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isCompositeType,
  isListType,
  isObjectType,
} from "graphql";
import { MAX_PAGE } from "../../src/graphql/connection.js";
import { sizingArguments, weightOf } from "../../src/graphql/cost.js";
import { printWithDirectives } from "../../src/graphql/sdl.js";

type Field = GraphQLField<unknown, unknown>;

/** How many objects a field brings up. */
type Size =
  /** One, or a list that is counted as one; of a type that counts as so many. */
  | { readonly by: "nothing"; readonly isList: boolean; readonly weight: number }
  /** A list that is as long as the field above says. */
  | { readonly by: "field above" }
  /** A list, or the lists of an object, that are as long as the largest of these says. */
  | {
      readonly by: "arguments";
      readonly names: readonly string[];
      readonly lists?: readonly string[];
      readonly weight: number;
    };

/** As the specification has them. */
const DEFINITIONS = `"""How much this adds to the cost of an operation."""
directive @cost(
  """A number, 0 or more. Where there is none it is 1 for an object and 0 for all else."""
  weight: String!
) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR

"""
How long a list is in the cost of an operation. One without this is as long as the field above says, or counts once.
"""
directive @listSize(
  """How long it is when no slicing argument is given."""
  assumedSize: Int

  """
  The arguments that say how long it is, by their value, or by their length if they are lists. The largest counts.
  """
  slicingArguments: [String!]

  """The lists right below this field that it is about. Left out: this field."""
  sizedFields: [String!]

  """Whether an operation has to give exactly one of the slicing arguments."""
  requireOneSlicingArgument: Boolean = true
) on FIELD_DEFINITION
`;

/**
 * The SDL of the schema with the costs of its fields, and the definitions of the directives that say them. `executable`: the one that it is
 * made from, whose types know what they count.
 */
export function printWithCosts(schema: GraphQLSchema, executable: GraphQLSchema): string {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const directives = [
    ...objectTypesOf(executable).flatMap((type) => {
      const weight = weightOf(type);
      return weight === 1 ? [] : [[type.name, `@cost(weight: "${weight}")`] as const];
    }),
    ...roots.flatMap((root) => (root ? [[root.name, '@cost(weight: "0")'] as const] : [])),
    ...[...sizesOf(schema)].flatMap(([place, size]) => {
      const directive = listSize(size);
      return directive === undefined ? [] : [[place, directive] as const];
    }),
  ];
  return `${DEFINITIONS}\n${printWithDirectives(schema, new Map(directives))}`;
}

/** The table of docs/schema.md: how many objects each field counts that answers objects. */
export function costTable(schema: GraphQLSchema): string {
  const places = new Map<string, string[]>();
  for (const [place, size] of sizesOf(schema)) {
    const words = inWords(size);
    places.set(words, [...(places.get(words) ?? []), `\`${place}\``]);
  }
  const rows = [...places].map(([words, fields]) => `| ${words} | ${fields.sort().join(", ")} |`);
  return ["| objects | fields |", "|---|---|", ...rows.sort()].join("\n");
}

function listSize(size: Size): string | undefined {
  if (size.by === "field above" || (size.by === "nothing" && !size.isList)) return undefined;
  if (size.by === "nothing") return "@listSize(assumedSize: 1)";
  const { names: slicingArguments, lists: sizedFields } = size;
  const requireOneSlicingArgument = false;
  const given = { assumedSize: MAX_PAGE, slicingArguments, sizedFields, requireOneSlicingArgument };
  const written = Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${JSON.stringify(value).replaceAll(",", ", ")}`],
  );
  return `@listSize(${written.join(", ")})`;
}

function inWords(size: Size): string {
  if (size.by === "nothing") return size.isList ? `${size.weight}, however long the list` : `${size.weight}`;
  if (size.by === "field above") return "as many as the field above says";
  const count = `as many as ${code(size.names, "or")} says, or ${MAX_PAGE}`;
  return size.lists ? `${size.weight}, and its ${code(size.lists, "and")} ${count}` : count;
}

function code(names: readonly string[], conjunction: string): string {
  return names.map((name) => `\`${name}\``).join(` ${conjunction} `);
}

/** Of each field that answers objects, by its place in the schema, such as `Query.viewer`. */
function sizesOf(schema: GraphQLSchema): ReadonlyMap<string, Size> {
  const fields = objectTypesOf(schema).flatMap((type) => objectFieldsOf(type).map((field) => ({ type, field })));
  const sized = fields.filter(({ field }) => sizingArguments(field).length > 0 && !isList(field));
  const sizedTypes = sized.map(({ field }) => getNamedType(field.type));
  return new Map(
    fields.map(({ type, field }) => {
      const isSized = isList(field) && sizedTypes.includes(type);
      return [`${type.name}.${field.name}`, sizeOf(field, isSized)];
    }),
  );
}

function objectTypesOf(schema: GraphQLSchema): GraphQLObjectType[] {
  return Object.values(schema.getTypeMap())
    .filter(isObjectType)
    .filter(({ name }) => !name.startsWith("__"));
}

function sizeOf(field: Field, isSized: boolean): Size {
  const names = sizingArguments(field).map(({ name }) => name);
  const weight = weightOf(getNamedType(field.type));
  if (names.length === 0) return isSized ? { by: "field above" } : { by: "nothing", isList: isList(field), weight };
  if (isList(field)) return { by: "arguments", names, weight };
  const lists = objectFieldsOf(getNamedType(field.type)).filter(isUnsizedList);
  return { by: "arguments", names, lists: lists.map(({ name }) => name), weight };
}

function objectFieldsOf(type: GraphQLNamedType): Field[] {
  const fields = isObjectType(type) ? Object.values(type.getFields()) : [];
  return fields.filter((field) => isCompositeType(getNamedType(field.type)));
}

function isUnsizedList(field: Field): boolean {
  return isList(field) && sizingArguments(field).length === 0;
}

function isList({ type }: Field): boolean {
  return isListType(getNullableType(type));
}
