/**
 * What a compiled operation is given: its variables, and the arguments of its fields. Whatever is not as it has to be is left to
 * graphql-js, which says what is wrong with it.
 */
import {
  coerceInputValue,
  type FieldNode,
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLInputType,
  type GraphQLSchema,
  getArgumentValues,
  getNullableType,
  isInputObjectType,
  isInputType,
  isLeafType,
  isListType,
  isNonNullType,
  Kind,
  typeFromAST,
  type ValueNode,
  type VariableDefinitionNode,
  valueFromAST,
} from "graphql";

/** Without a prototype, as the client chooses the names. */
export type Variables = Readonly<Record<string, unknown>>;

/** The operation is left to graphql-js. */
export class NotCompiled extends Error {}

/** The variables of the operation, from those that are given; undefined when one is not as it has to be. */
export function coercionOf(
  schema: GraphQLSchema,
  definitions: readonly VariableDefinitionNode[],
): (given: Variables) => Variables | undefined {
  const known = definitions.map(({ variable, type: node, defaultValue }) => {
    const type = typeFromAST(schema, node);
    if (!isInputType(type)) throw new NotCompiled();
    const otherwise = () => valueFromAST(defaultValue, type);
    return { name: variable.name.value, coerce: coercerOf(type), otherwise, isNeeded: isNonNullType(type) };
  });
  return (given) => {
    const variables: Record<string, unknown> = Object.create(null);
    try {
      for (const { name, coerce, otherwise, isNeeded } of known) {
        const value = Object.hasOwn(given, name) ? coerce(given[name]) : otherwise();
        if (value !== undefined) variables[name] = value;
        else if (isNeeded) return undefined;
      }
    } catch {
      return undefined;
    }
    return variables;
  };
}

/** Makes of JSON what resolvers are given. Throws for what is not of the type. */
type Coerce = (given: unknown) => unknown;

function coercerOf(type: GraphQLInputType): Coerce {
  const nullable = getNullableType(type);
  const coerce = presentCoercerOf(nullable);
  if (nullable === type) return (given) => (given === null ? null : coerce(given));
  return (given) => (given === null ? stopAtFault() : coerce(given));
}

function presentCoercerOf(type: GraphQLInputType): Coerce {
  if (isLeafType(type)) {
    return (given) => {
      const value: unknown = type.parseValue(given);
      return value === undefined ? stopAtFault() : value;
    };
  }
  if (isListType(type)) {
    const coerce = coercerOf(type.ofType);
    return (given) => (Array.isArray(given) ? given.map(coerce) : [coerce(given)]);
  }
  return (given) => coerceInputValue(given, type, stopAtFault);
}

/** The first is enough: a long list of what is wrong would otherwise be looked at to its end. */
function stopAtFault(): never {
  throw FAULT;
}

const FAULT = Symbol("fault");

/** The arguments of a field, from the operation's variables. */
export function argumentsOf(
  definition: GraphQLField<unknown, unknown>,
  node: FieldNode,
): (variables: Variables) => Record<string, unknown> {
  const given = new Map(node.arguments?.map(({ name, value }) => [name.value, value]));
  const read = membersOf(definition.args, given);
  return (variables) => read(variables) ?? getArgumentValues(definition, node, variables);
}

/** What a value of the document comes to; undefined for a variable that is left out, and for what is not of the type. */
type Read = (variables: Variables) => unknown;

/** Of arguments, or of an input object's fields; undefined where one is missing or not of its type. */
function membersOf(
  members: readonly (GraphQLArgument | GraphQLInputField)[],
  given: ReadonlyMap<string, ValueNode>,
): (variables: Variables) => Record<string, unknown> | undefined {
  const known = members.map(({ name, type, defaultValue }) => {
    const node = given.get(name);
    const read = node && readerOf(node, type);
    const isThere = node !== undefined && node.kind !== Kind.VARIABLE;
    return { name, read, isThere, otherwise: defaultValue, isRequired: isNonNullType(type) };
  });
  return (variables) => {
    const values: Record<string, unknown> = {};
    for (const { name, read, isThere, otherwise, isRequired } of known) {
      const found = read?.(variables);
      const value = found === undefined && !isThere ? otherwise : found;
      if (value === undefined ? isThere || isRequired : value === null && isRequired) return undefined;
      if (value !== undefined) values[name] = value;
    }
    return values;
  };
}

function readerOf(node: ValueNode, type: GraphQLInputType): Read {
  if (node.kind === Kind.VARIABLE) {
    const { value: name } = node.name;
    return (variables) => variables[name];
  }
  const nullable = getNullableType(type);
  if (node.kind === Kind.OBJECT && isInputObjectType(nullable) && !nullable.isOneOf) {
    const given = new Map(node.fields.map(({ name, value }) => [name.value, value]));
    return membersOf(Object.values(nullable.getFields()), given);
  }
  const hasParts = node.kind === Kind.LIST || node.kind === Kind.OBJECT;
  const always: unknown = isLeafType(nullable) && !hasParts ? valueFromAST(node, nullable) : undefined;
  // What has parts may have a variable among them, and is made anew, so that it is not shared by requests.
  if (always === undefined || typeof always === "object") return (variables) => valueFromAST(node, type, variables);
  return () => always;
}
