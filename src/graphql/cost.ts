/**
 * What an operation can bring up, counted in objects before it is run: one for each field that answers an object, times
 * the size of the page or list that it is in. Read off the schema, so that a new field is counted without a word here:
 *
 * - an object that asks the database by itself, such as a connection, counts as more, which its type says (`@Extensions({ cost })`);
 * - a list's size is in its own `first` or `last` (`pendingServiceWork(first: 10)`), or is the length of its own list
 *   argument (`nodes(ids: …)`);
 * - the lists of a connection (`edges`, `nodes`) have the size that the connection was asked for with `first` or `last`;
 * - a size that is left out, or that no resolver takes, counts as the largest page;
 * - a list that cannot be asked for at a size, such as `userErrors`, counts once.
 *
 * The published SDL says the same in directives, and docs/schema.md in a table, both made from this (scripts/schema/costs.ts).
 */
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLArgument,
  GraphQLError,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isInterfaceType,
  isListType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  SchemaMetaFieldDef,
  type SelectionNode,
  type SelectionSetNode,
  TypeMetaFieldDef,
  valueFromASTUntyped,
} from "graphql";
import { MAX_PAGE, PAGE_COST } from "./connection.js";

type Variables = Readonly<Record<string, unknown>>;

/** Objects, in two parts: as for every field, and as for each item of the page that the selection is directly below. */
interface Cost {
  readonly once: number;
  readonly perItem: number;
}

const FREE: Cost = { once: 0, perItem: 0 };

/** Throws GRAPHQL_VALIDATION_FAILED for an operation over the limit. */
export function costCheck(maxCost: number): (about: Operation) => void {
  /** Of those for which no variable is a size. */
  const known = new WeakMap<OperationDefinitionNode, number>();
  return (about) => {
    const { operation } = about;
    const { cost, isConstant } = known.has(operation)
      ? { cost: known.get(operation) ?? 0, isConstant: true }
      : costOf(about);
    if (isConstant) known.set(operation, cost);
    if (cost <= maxCost) return;
    throw new GraphQLError(tooCostly(cost, maxCost), { extensions: { code: "GRAPHQL_VALIDATION_FAILED" } });
  };
}

export function tooCostly(cost: number, maxCost: number): string {
  const count = Math.min(cost, Number.MAX_SAFE_INTEGER);
  return `This operation can bring up ${count} objects, a page counted as ${PAGE_COST}; the limit is ${maxCost}. Ask for smaller or fewer pages.`;
}

export interface Operation {
  readonly schema: GraphQLSchema;
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
  /** As the client gave them. */
  readonly variables: Variables;
}

/** For a document that passed validation: no fragment spreads itself. */
export function costOf({ schema, document, operation, variables }: Operation): { cost: number; isConstant: boolean } {
  const root = schema.getRootType(operation.operation);
  if (!root) return { cost: 0, isConstant: true };
  const costs = new Costs(schema, document, withDefaults(operation, variables));
  return { cost: onPage(1, costs.of(root, operation.selectionSet)), isConstant: costs.isConstant };
}

/** What every call of an operation can bring up, whatever its variables say. */
export function leastCostOf(about: Omit<Operation, "variables">): number {
  const { variableDefinitions = [] } = about.operation;
  const variables = Object.fromEntries(variableDefinitions.map((node) => [node.variable.name.value, 1]));
  return costOf({ ...about, variables }).cost;
}

function onPage(size: number, { once, perItem }: Cost): number {
  return once + size * perItem;
}

function withDefaults({ variableDefinitions = [] }: OperationDefinitionNode, variables: Variables): Variables {
  const defaults = variableDefinitions.map(({ variable, defaultValue }) => [
    variable.name.value,
    defaultValue && valueFromASTUntyped(defaultValue),
  ]);
  return { ...Object.fromEntries(defaults), ...variables };
}

class Costs {
  /** Whether no variable has been asked for a size. */
  isConstant = true;
  readonly #fragments = new Map<string, FragmentDefinitionNode>();
  /** By fragment, each looked at once. */
  readonly #known = new Map<FragmentDefinitionNode, Cost>();

  constructor(
    private readonly schema: GraphQLSchema,
    { definitions }: DocumentNode,
    private readonly variables: Variables,
  ) {
    for (const definition of definitions)
      if (definition.kind === Kind.FRAGMENT_DEFINITION) this.#fragments.set(definition.name.value, definition);
  }

  of(parent: GraphQLNamedType, { selections }: SelectionSetNode): Cost {
    let { once, perItem } = FREE;
    for (const selection of selections) {
      const cost = this.#selection(parent, selection);
      once += cost.once;
      perItem += cost.perItem;
    }
    return { once, perItem };
  }

  #selection(parent: GraphQLNamedType, selection: SelectionNode): Cost {
    if (selection.kind === Kind.FIELD) return this.#field(parent, selection);
    if (selection.kind === Kind.INLINE_FRAGMENT) {
      const type = selection.typeCondition && this.schema.getType(selection.typeCondition.name.value);
      return this.of(type ?? parent, selection.selectionSet);
    }
    const fragment = this.#fragments.get(selection.name.value);
    return fragment ? this.#fragment(fragment) : FREE;
  }

  #fragment(fragment: FragmentDefinitionNode): Cost {
    const type = this.schema.getType(fragment.typeCondition.name.value);
    const cost = this.#known.get(fragment) ?? (type ? this.of(type, fragment.selectionSet) : FREE);
    this.#known.set(fragment, cost);
    return cost;
  }

  #field(parent: GraphQLNamedType, node: FieldNode): Cost {
    const field = this.#definition(parent, node.name.value);
    if (!field || !node.selectionSet) return FREE;
    const within = this.of(getNamedType(field.type), node.selectionSet);
    const size = sizeAskedFor(field, (name) => this.#given(node, name));
    const weight = weightOf(getNamedType(field.type));
    if (!isListType(getNullableType(field.type))) return { once: weight + onPage(size ?? 1, within), perItem: 0 };
    const each = weight + onPage(1, within);
    return size === undefined ? { once: 0, perItem: each } : { once: size * each, perItem: 0 };
  }

  /** What an argument says, if it is there. */
  #given(node: FieldNode, name: string): unknown {
    const given = node.arguments?.find((argument) => argument.name.value === name)?.value;
    if (given === undefined) return undefined;
    // A variable can be the whole, or an item of a list.
    if (given.kind === Kind.VARIABLE || given.kind === Kind.LIST) this.isConstant = false;
    return valueFromASTUntyped(given, this.variables);
  }

  #definition(parent: GraphQLNamedType, name: string): GraphQLField<unknown, unknown> | undefined {
    if (parent === this.schema.getQueryType()) {
      if (name === SchemaMetaFieldDef.name) return SchemaMetaFieldDef;
      if (name === TypeMetaFieldDef.name) return TypeMetaFieldDef;
    }
    return isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[name] : undefined;
  }
}

/** As how many objects one of this type counts. */
export function weightOf({ extensions }: GraphQLNamedType): number {
  return typeof extensions.cost === "number" ? extensions.cost : 1;
}

/**
 * What says the size of the list that a field answers, or of the lists right below the object that it answers: the largest
 * counts, and of a list its length. Empty for a field that cannot be asked for at a size.
 */
export function sizingArguments({ args }: GraphQLField<unknown, unknown>): readonly GraphQLArgument[] {
  const pageSizes = args.filter(({ name }) => name === "first" || name === "last");
  return pageSizes.length > 0 ? pageSizes : args.filter(({ type }) => isListType(getNullableType(type)));
}

/** Undefined for a field that has no argument to say a size with. */
function sizeAskedFor(field: GraphQLField<unknown, unknown>, given: (argument: string) => unknown): number | undefined {
  const sizing = sizingArguments(field);
  if (sizing.length === 0) return undefined;
  const sizes = sizing.flatMap(({ name, defaultValue }) => {
    const value = given(name);
    return sizeIn(value === undefined ? defaultValue : value) ?? [];
  });
  return sizes.length === 0 ? MAX_PAGE : Math.max(...sizes);
}

function sizeIn(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) return value.length;
  return typeof value === "number" && value >= 1 && value <= MAX_PAGE ? value : MAX_PAGE;
}
