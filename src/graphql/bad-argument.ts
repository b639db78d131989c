import { GraphQLError } from "graphql";

/** BAD_USER_INPUT that names the argument. */
export function badArgument(argument: string, message: string): GraphQLError {
  return new GraphQLError(`Argument "${argument}" ${message}.`, { extensions: { code: "BAD_USER_INPUT", argument } });
}
