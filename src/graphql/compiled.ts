/**
 * An operation made ready to run many times. What graphql-js looks up for each field of each request (the field itself, its
 * resolver, what is selected below it, arguments that never change) is looked up once, and what stays are closures. Answers
 * are those of graphql-js, errors included: test/graphql/compiled.test.ts compares the two. No code is made of what clients write.
 *
 * Left to graphql-js: directives, introspection, fields of an interface or union, and several root fields in turn.
 */
import {
  type DocumentNode,
  defaultFieldResolver,
  type ExecutionResult,
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLField,
  type GraphQLLeafType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLResolveInfo,
  type GraphQLSchema,
  getNullableType,
  getVariableValues,
  type InlineFragmentNode,
  isAbstractType,
  isLeafType,
  isListType,
  isNonNullType,
  Kind,
  locatedError,
  type OperationDefinitionNode,
  type SelectionSetNode,
  TypeNameMetaFieldDef,
} from "graphql";
import { argumentsOf, coercionOf, NotCompiled, type Variables } from "./compiled-input.js";

type Path = GraphQLResolveInfo["path"];

/** One run of an operation. */
interface Run {
  readonly context: unknown;
  readonly variables: Variables;
  readonly errors: GraphQLError[];
  /** Where a null stands for an error: what fails below it later is not told. */
  nulled?: Set<Path | undefined>;
}

type Properties = Readonly<Record<string, unknown>>;

/** The value as it is written, or a promise of it. Throws what makes it null. */
type Complete = (value: unknown, run: Run, path: Path) => unknown;
/** The same of a value that is there, whole and well; undefined for any other. */
type Write = (value: unknown) => unknown;
/** A field of a type: what the client selects of it, and where errors have it. */
interface Selected {
  readonly nodes: readonly FieldNode[];
  /** Such as `Query.viewer`. */
  readonly name: string;
}

/** What is selected of an object. */
type Select = (source: unknown, run: Run, path: Path | undefined) => unknown;
type Field = (source: unknown, run: Run, path: Path | undefined) => unknown;

export interface CompiledOperation {
  run(context: unknown, variables: Variables): ExecutionResult | Promise<ExecutionResult>;
}

interface CompileParts {
  readonly schema: GraphQLSchema;
  /** Validated. */
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
  readonly maxCoercionErrors: number;
}

/** Undefined for what is left to graphql-js. */
export function compileOperation(parts: CompileParts): CompiledOperation | undefined {
  const { schema, operation, maxCoercionErrors } = parts;
  const root = schema.getRootType(operation.operation);
  if (!root || operation.operation === "subscription") return undefined;
  const definitions = operation.variableDefinitions ?? [];
  let select: Select;
  let coerce: ReturnType<typeof coercionOf>;
  try {
    coerce = coercionOf(schema, definitions);
    const compiler = new Compiler(parts);
    if (operation.operation === "mutation") compiler.requireOneField(root);
    select = compiler.select(root, [operation.selectionSet]);
  } catch (error) {
    if (error instanceof NotCompiled) return undefined;
    throw error;
  }
  return {
    run: (context, given) => {
      let variables: Variables | undefined = coerce(given);
      if (variables === undefined) {
        // Whatever is wrong is told as graphql-js tells it.
        const { errors, coerced } = getVariableValues(schema, definitions, given, { maxErrors: maxCoercionErrors });
        if (errors) return { errors };
        variables = Object.assign(Object.create(null), coerced) as Variables;
      }
      return runToEnd(select, { context, variables, errors: [] });
    },
  };
}

function runToEnd(select: Select, run: Run): ExecutionResult | Promise<ExecutionResult> {
  const succeed = (data: unknown): ExecutionResult => {
    const result = { data: data as Record<string, unknown> | null };
    return run.errors.length === 0 ? result : { errors: run.errors, ...result };
  };
  const fail = (error: unknown) => {
    tell(run, error as GraphQLError, undefined);
    return succeed(null);
  };
  try {
    const data = select(undefined, run, undefined);
    return isPromise(data) ? data.then(succeed, fail) : succeed(data);
  } catch (error) {
    return fail(error);
  }
}

class Compiler {
  readonly #parts: CompileParts;
  readonly #fragments = new Map<string, FragmentDefinitionNode>();

  constructor(parts: CompileParts) {
    this.#parts = parts;
    for (const definition of parts.document.definitions) {
      if (definition.kind === Kind.FRAGMENT_DEFINITION) this.#fragments.set(definition.name.value, definition);
    }
  }

  /** Beside `__typename`, which can come at any time. */
  requireOneField(root: GraphQLObjectType): void {
    const fields = [...this.#collect(root, [this.#parts.operation.selectionSet]).values()];
    if (fields.filter(([{ name }]) => name.value !== TypeNameMetaFieldDef.name).length > 1) throw new NotCompiled();
  }

  select(type: GraphQLObjectType, sets: readonly SelectionSetNode[]): Select {
    const fields = [...this.#collect(type, sets)].map(([key, nodes]) => [key, this.#field(type, key, nodes)] as const);
    const create = emptyObjects(fields.map(([key]) => key));
    return (source, run, path) => {
      const selected = create();
      let pending: Promise<unknown>[] | undefined;
      try {
        for (const [key, field] of fields) {
          const value = field(source, run, path);
          selected[key] = value;
          if (isPromise(value)) {
            pending ??= [];
            pending.push(value.then((value) => (selected[key] = value)));
          }
        }
      } catch (error) {
        return afterAll(pending ?? [], error);
      }
      return pending === undefined ? selected : Promise.all(pending).then(() => selected);
    };
  }

  #field(parent: GraphQLObjectType, key: string, nodes: readonly [FieldNode, ...FieldNode[]]): Field {
    const definition = definitionOf(parent, nodes[0]);
    const resolved = this.#resolved(parent, key, nodes);
    const isProperty = definition.resolve === undefined && definition.args.length === 0;
    const write = isProperty ? writeOf(definition.type) : undefined;
    if (write === undefined) return resolved;
    // Most fields are a property of what is there already.
    return (source, run, prev) => written(source, definition.name, write) ?? resolved(source, run, prev);
  }

  /** As graphql-js does it, step by step. */
  #resolved(parent: GraphQLObjectType, key: string, nodes: readonly [FieldNode, ...FieldNode[]]): Field {
    const definition = definitionOf(parent, nodes[0]);
    const { resolve = defaultFieldResolver, type } = definition;
    const argumentsFor = argumentsOf(definition, nodes[0]);
    const complete = this.#complete(type, { nodes, name: `${parent.name}.${definition.name}` });
    const isRequired = isNonNullType(type);
    const about = this.#about(parent, definition, nodes);
    return (source, run, prev) => {
      const path = { prev, key, typename: parent.name };
      const fail = (error: unknown) => failed(error, { run, path, nodes, isRequired });
      try {
        const info = { ...about, path, variableValues: run.variables };
        const value: unknown = resolve(source, argumentsFor(run.variables), run.context, info);
        const completed = isPromise(value)
          ? value.then((value) => complete(value, run, path))
          : complete(value, run, path);
        return isPromise(completed) ? completed.then(undefined, fail) : completed;
      } catch (error) {
        return fail(error);
      }
    };
  }

  #about(
    parentType: GraphQLObjectType,
    { name: fieldName, type: returnType }: GraphQLField<unknown, unknown>,
    fieldNodes: readonly FieldNode[],
  ): Omit<GraphQLResolveInfo, "path" | "variableValues"> {
    const { schema, operation } = this.#parts;
    const fragments = Object.fromEntries(this.#fragments);
    return { fieldName, fieldNodes, returnType, parentType, schema, fragments, rootValue: undefined, operation };
  }

  #complete(type: GraphQLOutputType, field: Selected): Complete {
    if (isNonNullType(type)) return requireValue(this.#complete(type.ofType, field), field);
    return refuseError(this.#completeNullable(type, field));
  }

  #completeNullable(type: GraphQLOutputType, field: Selected): Complete {
    if (isListType(type)) {
      return orNull(completeList(this.#complete(type.ofType, field), field, isNonNullType(type.ofType)));
    }
    if (isLeafType(type)) return orNull(completeLeaf(type));
    if (isAbstractType(type)) throw new NotCompiled();
    return orNull(this.#completeObject(type as GraphQLObjectType, field));
  }

  #completeObject(type: GraphQLObjectType, { nodes }: Selected): Complete {
    const select = this.select(
      type,
      nodes.flatMap(({ selectionSet }) => selectionSet ?? []),
    );
    if (type.isTypeOf) throw new NotCompiled();
    return select;
  }

  /** The fields of an object by the names that the answer has for them, in order; equal names are one field. */
  #collect(type: GraphQLObjectType, sets: readonly SelectionSetNode[]): Map<string, [FieldNode, ...FieldNode[]]> {
    const { schema } = this.#parts;
    const fields = new Map<string, [FieldNode, ...FieldNode[]]>();
    const seen = new Set<FragmentDefinitionNode>();
    const applies = ({ typeCondition }: FragmentDefinitionNode | InlineFragmentNode) => {
      const condition = typeCondition && schema.getType(typeCondition.name.value);
      return !condition || condition === type || (isAbstractType(condition) && schema.isSubType(condition, type));
    };
    const add = ({ selections }: SelectionSetNode) => {
      for (const selection of selections) {
        if (selection.directives?.length) throw new NotCompiled();
        if (selection.kind === Kind.FIELD) {
          const key = (selection.alias ?? selection.name).value;
          const nodes = fields.get(key);
          if (nodes) nodes.push(selection);
          else fields.set(key, [selection]);
        } else if (selection.kind === Kind.INLINE_FRAGMENT) {
          if (applies(selection)) add(selection.selectionSet);
        } else {
          const fragment = this.#fragments.get(selection.name.value);
          if (!fragment || seen.has(fragment)) continue;
          seen.add(fragment);
          if (applies(fragment)) add(fragment.selectionSet);
        }
      }
    };
    for (const set of sets) add(set);
    return fields;
  }
}

/** An object of the client's own names is no place for `__proto__`, unless it has no prototype; one without is slower. */
function emptyObjects(keys: readonly string[]): () => Record<string, unknown> {
  return keys.includes("__proto__") ? () => Object.create(null) : () => ({});
}

function definitionOf(parent: GraphQLObjectType, { name: { value: name } }: FieldNode): GraphQLField<unknown, unknown> {
  const definition = name === TypeNameMetaFieldDef.name ? TypeNameMetaFieldDef : parent.getFields()[name];
  if (definition === undefined) throw new NotCompiled();
  return definition;
}

function refuseError(complete: Complete): Complete {
  return (value, run, path) => {
    if (value instanceof Error) throw value;
    return complete(value, run, path);
  };
}

function requireValue(complete: Complete, { name }: Selected): Complete {
  return (value, run, path) => {
    const completed = complete(value, run, path);
    if (completed !== null) return completed;
    throw new Error(`Cannot return null for non-nullable field ${name}.`);
  };
}

function orNull(complete: Complete): Complete {
  return (value, run, path) => (value === null || value === undefined ? null : complete(value, run, path));
}

function completeLeaf(type: GraphQLLeafType): Complete {
  return (value) => {
    const written: unknown = type.serialize(value);
    if (written !== null && written !== undefined) return written;
    throw new Error(`${type.name} cannot be written: its serialize answered ${written}.`);
  };
}

function completeList(complete: Complete, { nodes, name }: Selected, isRequired: boolean): Complete {
  return (value, run, prev) => {
    if (!isIterable(value)) {
      throw new GraphQLError(`Expected Iterable, but did not find one for field "${name}".`);
    }
    const pending: Promise<unknown>[] = [];
    const completeItem = (item: unknown, key: number) => {
      const path = { prev, key, typename: undefined };
      const fail = (error: unknown) => failed(error, { run, path, nodes, isRequired });
      try {
        const completed = isPromise(item) ? item.then((item) => complete(item, run, path)) : complete(item, run, path);
        if (!isPromise(completed)) return completed;
        const handled = completed.then(undefined, fail);
        pending.push(handled);
        return handled;
      } catch (error) {
        return fail(error);
      }
    };
    try {
      const items = Array.from(value, completeItem);
      return pending.length > 0 ? Promise.all(items) : items;
    } catch (error) {
      return afterAll(pending, error);
    }
  };
}

/** Undefined for what is not there, whole and well, or that nobody can say of: nothing has been told of it then. */
function written(source: unknown, name: string, write: Write): unknown {
  if (typeof source !== "object" || source === null) return undefined;
  try {
    return write((source as Properties)[name]);
  } catch {
    return undefined;
  }
}

/** Undefined for a type whose values are more than leaves. */
function writeOf(type: GraphQLOutputType): Write | undefined {
  const nullable = getNullableType(type);
  if (isLeafType(nullable)) return (value) => writeLeaf(nullable, value);
  const item = isListType(nullable) ? writeOf(nullable.ofType) : undefined;
  return item && ((value) => writeList(item, value));
}

function writeLeaf(type: GraphQLLeafType, value: unknown): unknown {
  const isPlain = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
  const leaf: unknown = isPlain ? type.serialize(value) : undefined;
  return typeof leaf === "object" ? undefined : leaf;
}

function writeList(write: Write, value: unknown): unknown[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items = Array.from(value, write);
  return items.includes(undefined) ? undefined : items;
}

/** Throws, once those that are under way have ended: they may fail, too, and somebody has to hear it. */
function afterAll(pending: readonly Promise<unknown>[], error: unknown): Promise<never> {
  if (pending.length === 0) throw error;
  return Promise.allSettled(pending).then(() => {
    throw error;
  });
}

/** The null that stands for an error, or the error, where there can be no null. */
function failed(
  cause: unknown,
  about: { readonly run: Run; readonly path: Path; readonly nodes: readonly FieldNode[]; readonly isRequired: boolean },
): null {
  const { run, path, nodes, isRequired } = about;
  const error = locatedError(cause, nodes, keysOf(path));
  if (isRequired) throw error;
  tell(run, error, path);
  return null;
}

function tell(run: Run, error: GraphQLError, path: Path | undefined): void {
  run.nulled ??= new Set();
  const { errors, nulled } = run;
  for (let place = path; place !== undefined; place = place.prev) if (nulled.has(place)) return;
  if (nulled.has(undefined)) return;
  nulled.add(path);
  errors.push(error);
}

function keysOf(path: Path): (string | number)[] {
  const keys: (string | number)[] = [];
  for (let place: Path | undefined = path; place !== undefined; place = place.prev) keys.push(place.key);
  return keys.reverse();
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

/** Texts are no lists. */
function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === "object" && value !== null && (Array.isArray(value) || Symbol.iterator in value);
}
