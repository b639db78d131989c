/**
 * How large an operation may be, said before it is run: depth, aliases and directives. Counted as it would execute, each
 * spread of a fragment anew, yet each fragment is looked at once, so that a document which multiplies fragments costs no
 * more than another.
 */
import {
  type ASTNode,
  type ASTVisitor,
  type FragmentSpreadNode,
  GraphQLError,
  Kind,
  type SelectionNode,
  type SelectionSetNode,
  type ValidationContext,
  type ValidationRule,
} from "graphql";
import type { Config } from "../config/config.js";

type LimitSettings = Pick<Config["graphql"], "maxDepth" | "maxAliases" | "maxDirectives">;

interface Size {
  readonly depth: number;
  readonly aliases: number;
  readonly directives: number;
}

const NOTHING: Size = { depth: 0, aliases: 0, directives: 0 };

/** A validation rule: no operation of the document is over a limit. */
export function operationLimits({ maxDepth, maxAliases, maxDirectives }: LimitSettings): ValidationRule {
  return (context): ASTVisitor => {
    const measure = new Measure(context);
    return {
      OperationDefinition(operation) {
        const refuse = (message: string) => context.reportError(new GraphQLError(message, { nodes: operation }));
        const { depth, aliases, directives } = measure.operation(operation);
        if (depth > maxDepth) refuse(`An operation may nest its fields ${maxDepth} deep.`);
        if (aliases > maxAliases) refuse(`An operation may have ${maxAliases} aliases.`);
        if (directives > maxDirectives) refuse(`An operation may have ${maxDirectives} directives.`);
      },
    };
  };
}

type Definition = ASTNode & { readonly selectionSet: SelectionSetNode };

class Measure {
  /** By name. One that is being measured counts nothing, so a cycle ends; that there is one is another rule's to say. */
  readonly #fragments = new Map<string, Size>();

  constructor(private readonly context: ValidationContext) {}

  operation(operation: Definition): Size {
    const { depth, aliases, directives } = this.#selectionSet(operation.selectionSet);
    return { depth, aliases, directives: directives + ownDirectives(operation) };
  }

  #selectionSet(selectionSet: SelectionSetNode | undefined): Size {
    let { depth, aliases, directives } = NOTHING;
    for (const selection of selectionSet?.selections ?? []) {
      const size = this.#selection(selection);
      depth = Math.max(depth, size.depth);
      aliases += size.aliases;
      directives += size.directives + ownDirectives(selection);
    }
    return { depth, aliases, directives };
  }

  #selection(selection: SelectionNode): Size {
    if (selection.kind === Kind.FRAGMENT_SPREAD) return this.#spread(selection);
    const within = this.#selectionSet(selection.selectionSet);
    if (selection.kind === Kind.INLINE_FRAGMENT) return within;
    const aliases = within.aliases + (selection.alias ? 1 : 0);
    // Introspection, where it is on, has a limit on depth of its own in GraphQL's rules.
    const depth = isIntrospection(selection.name.value) ? 1 : within.depth + 1;
    return { depth, aliases, directives: within.directives };
  }

  #spread({ name: { value: name } }: FragmentSpreadNode): Size {
    const known = this.#fragments.get(name);
    if (known !== undefined) return known;
    this.#fragments.set(name, NOTHING);
    const fragment = this.context.getFragment(name);
    if (!fragment) return NOTHING;
    const size = this.operation(fragment);
    this.#fragments.set(name, size);
    return size;
  }
}

function isIntrospection(field: string): boolean {
  return field === "__schema" || field === "__type";
}

/** Those on the node and on the variables that it declares. */
function ownDirectives(node: ASTNode): number {
  const own = "directives" in node ? (node.directives?.length ?? 0) : 0;
  const variables = "variableDefinitions" in node ? (node.variableDefinitions ?? []) : [];
  return variables.reduce((sum, { directives }) => sum + (directives?.length ?? 0), own);
}
