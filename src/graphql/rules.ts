import {
  type ASTVisitor,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  type SelectionSetNode,
  TypeNameMetaFieldDef,
  type ValidationContext,
} from "graphql";

/** A validation rule: an operation is of a kind that the schema has. (GraphQL's own rules leave that to execution.) */
export function knownOperationKind(context: ValidationContext): ASTVisitor {
  return {
    OperationDefinition(operation) {
      if (context.getSchema().getRootType(operation.operation)) return;
      const message = `There are no operations of kind ${operation.operation} in this schema.`;
      context.reportError(new GraphQLError(message, { nodes: operation }));
    },
  };
}

/**
 * A validation rule: a mutation has one root field, so that what failed and what was done are never mixed in one answer. Beside
 * it may be `__typename`, which does nothing: code generators put it into every selection.
 */
export function oneMutationField(context: ValidationContext): ASTVisitor {
  return {
    OperationDefinition(operation) {
      if (operation.operation !== "mutation") return;
      if (countFields(operation.selectionSet, context, new Set()) <= 1) return;
      context.reportError(
        new GraphQLError("A mutation may have one root field; send the others as requests of their own.", {
          nodes: operation,
        }),
      );
    },
  };
}

function countFields(
  { selections }: SelectionSetNode,
  context: ValidationContext,
  seen: Set<FragmentDefinitionNode>,
): number {
  let count = 0;
  for (const selection of selections) {
    if (selection.kind === Kind.FIELD) count += selection.name.value === TypeNameMetaFieldDef.name ? 0 : 1;
    else if (selection.kind === Kind.INLINE_FRAGMENT) count += countFields(selection.selectionSet, context, seen);
    else {
      const fragment = context.getFragment(selection.name.value);
      if (!fragment || seen.has(fragment)) continue;
      seen.add(fragment);
      count += countFields(fragment.selectionSet, context, seen);
    }
  }
  return count;
}
