/** What a compiled operation is given: its variables, and the arguments of its fields. */
import {
  coerceInputValue,
  type FieldNode,
  type GraphQLField,
  type GraphQLSchema,
  getArgumentValues,
  isInputType,
  isNonNullType,
  Kind,
  typeFromAST,
  type VariableDefinitionNode,
} from "graphql";

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
    return { name: variable.name.value, type, hasDefault: defaultValue !== undefined };
  });
  return (given) => {
    // By names of the client's own choice.
    const variables: Record<string, unknown> = Object.create(null);
    try {
      for (const { name, type, hasDefault } of known) {
        const isGiven = Object.hasOwn(given, name);
        if (!isGiven && !hasDefault && !isNonNullType(type)) continue;
        if (!isGiven || (given[name] === null && isNonNullType(type))) return undefined;
        variables[name] = given[name] === null ? null : coerceInputValue(given[name], type, stopAtFault);
      }
    } catch (error) {
      if (error === FAULT) return undefined;
      throw error;
    }
    return variables;
  };
}

const FAULT = Symbol("fault");

/** The first is enough: a long list of what is wrong would otherwise be looked at to its end. */
function stopAtFault(): never {
  throw FAULT;
}

/** The arguments of a field, from the operation's variables. */
export function argumentsOf(
  definition: GraphQLField<unknown, unknown>,
  node: FieldNode,
): (variables: Variables) => Record<string, unknown> {
  const read = (variables: Variables) => getArgumentValues(definition, node, variables);
  // Lists and objects may hold a variable, and are made anew in any case, so that none is shared by requests.
  if (node.arguments?.some(({ value }) => NEVER_THE_SAME.includes(value.kind))) return read;
  let always: Record<string, unknown>;
  try {
    always = read({});
  } catch {
    return read;
  }
  return () => ({ ...always });
}

const NEVER_THE_SAME: readonly Kind[] = [Kind.VARIABLE, Kind.LIST, Kind.OBJECT];
