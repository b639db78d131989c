/** Text that no database could keep is refused at the door, in literals and in variables, so that no store ever meets it. */
import { type ASTVisitor, GraphQLError, type ValidationContext } from "graphql";
import { isStorable } from "../text.js";

const MESSAGE = "Text must be Unicode without NUL and without lone surrogates.";

/** A validation rule for the literals of a document. */
export function storableLiterals(context: ValidationContext): ASTVisitor {
  return {
    StringValue(node) {
      if (!isStorable(node.value)) context.reportError(new GraphQLError(MESSAGE, { nodes: node }));
    },
  };
}

/** The same for variables. Throws BAD_USER_INPUT that names the variable. */
export function refuseUnstorable(variables: Readonly<Record<string, unknown>>): void {
  for (const [argument, value] of Object.entries(variables)) {
    if (isStorableThroughout(value)) continue;
    throw new GraphQLError(MESSAGE, { extensions: { code: "BAD_USER_INPUT", argument } });
  }
}

/** By a list of what is left to do: a body may nest deeper than calls can. */
function isStorableThroughout(value: unknown): boolean {
  const left = [value];
  while (left.length > 0) {
    const next = left.pop();
    if (typeof next === "string" && !isStorable(next)) return false;
    if (next !== null && typeof next === "object") left.push(...Object.values(next));
  }
  return true;
}
