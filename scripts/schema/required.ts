import {
  type GraphQLArgument,
  type GraphQLInputField,
  type GraphQLSchema,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isRequiredInputField,
} from "graphql";

/** Whether nobody may leave out what is at this place: `Type.field.argument`, `Input.field` or `@directive.argument`. */
export function isRequiredAt(schema: GraphQLSchema, place: string): boolean {
  const [owner = "", member = "", argument = ""] = place.split(".");
  if (owner.startsWith("@")) return isRequired(schema.getDirective(owner.slice(1))?.args, member);
  const type = schema.getType(owner);
  if (isInputObjectType(type)) return isRequired(Object.values(type.getFields()), member);
  if (isObjectType(type) || isInterfaceType(type)) return isRequired(type.getFields()[member]?.args, argument);
  return false;
}

function isRequired(inputs: readonly (GraphQLArgument | GraphQLInputField)[] = [], name: string): boolean {
  const input = inputs.find((each) => each.name === name);
  // It is the same of an argument and of an input field: not null, and no default.
  return input !== undefined && isRequiredInputField(input);
}
