import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import {
  buildSchema,
  type ExecutionResult,
  execute,
  GraphQLError,
  GraphQLList,
  GraphQLObjectType,
  GraphQLScalarType,
  GraphQLSchema,
  GraphQLString,
  getOperationAST,
  parse,
  validate,
} from "graphql";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CompiledOperation, compileOperation } from "../../src/graphql/compiled.js";

const MAX_COERCION_ERRORS = 3;

const schema = buildSchema(`
  enum Colour { RED GREEN }
  interface Named { name: String }
  input Size { width: Int! = 2, tags: [String!] }
  type Thing implements Named {
    name: String
    must: String!
    colour: Colour
    colours: [Colour!]
    count: Int!
    one: Thing
    sure: Thing!
    many: [Thing]
    all: [Thing!]!
    sized(size: Size, by: Int = 3, colour: Colour): String
    named: Named
  }
  type Query { thing: Thing, sure: Thing!, things: [Thing!], text: String, echo(texts: [String!]): [String!]! }
  type Mutation { make(size: Size!): Thing, other: String }
`);

type Value = () => unknown;

type Timing = "at once" | "also later";

const leaf: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("RED", "text", 1, 1.5, true) },
  fc.constantFrom(null, undefined, Number.NaN, {}, new Error("answered")),
);

/** What a field answers: good, null, wrong, or an error in any of the ways. */
const values = (depth: number, timing: Timing): fc.Arbitrary<Value> => {
  const later = (value: fc.Arbitrary<unknown>) => (timing === "at once" ? [] : [laterOf(value)]);
  const value: fc.Arbitrary<unknown> =
    depth === 0
      ? leaf
      : fc.oneof(
          leaf,
          { weight: 6, arbitrary: things(depth - 1, timing) },
          fc.array(fc.oneof(leaf, things(depth - 1, timing), ...later(things(depth - 1, timing))), { maxLength: 3 }),
        );
  const atOnce = fc.oneof(
    { weight: 8, arbitrary: value.map((value) => () => value) },
    fc.constant<Value>(() => {
      throw new Error("thrown");
    }),
  );
  if (timing === "at once") return atOnce;
  return fc.oneof(
    { weight: 4, arbitrary: atOnce },
    { weight: 2, arbitrary: value.map((value) => async () => value) },
    fc.constant<Value>(async () => {
      throw new GraphQLError("rejected", { extensions: { code: "X" } });
    }),
  );
};

/** A promise that fails and that nobody asks for would end the process; as a function it begins when it is asked. */
function laterOf(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return value.map((value) => ({
    // biome-ignore lint/suspicious/noThenProperty: a promise of another kind, as some libraries have
    then: (resolve: (value: unknown) => unknown) => Promise.resolve(value).then(resolve),
  }));
}

function things(depth: number, timing: Timing): fc.Arbitrary<unknown> {
  const names = ["name", "must", "colour", "colours", "count", "one", "sure", "many", "all", "sized"];
  // To be called, or there already.
  const value = fc.oneof(values(depth, timing), leaf, fc.array(leaf, { maxLength: 3 }));
  const thing = fc.record(Object.fromEntries(names.map((name) => [name, value])));
  // Or not to be had.
  const read = () => {
    throw new Error("read");
  };
  const failing = thing.map((thing) => Object.defineProperty({ ...thing }, "colour", { get: read }));
  return fc.oneof({ weight: 4, arbitrary: thing }, failing);
}

const leafFields = fc.constantFrom(
  "name",
  "must",
  "colour",
  "colours",
  "count",
  "__typename",
  "alias: must",
  "__proto__: must",
  "constructor: name",
);
const sizedFields = fc.constantFrom(
  "sized",
  "byFive: sized(by: 5)",
  "inParts: sized(size: { width: $width, tags: $tags })",
  "whole: sized(size: $size, colour: RED)",
);

function selections(depth: number): fc.Arbitrary<string> {
  const field: fc.Arbitrary<string> =
    depth === 0
      ? fc.oneof(leafFields, sizedFields)
      : fc.oneof(
          leafFields,
          sizedFields,
          fc
            .tuple(fc.constantFrom("one", "sure", "many", "all", "again: one"), selections(depth - 1))
            .map(([name, below]) => `${name} { ${below} }`),
          fc
            .tuple(fc.constantFrom("... on Thing", "... on Named", "..."), selections(depth - 1))
            .map(([type, below]) => (type === "... on Named" ? `${type} { name }` : `${type} { ${below} }`)),
          fc.constant("...Part"),
        );
  return fc.array(field, { minLength: 1, maxLength: 5 }).map((fields) => fields.join(" "));
}

const VARIABLES = "($width: Int!, $tags: [String!], $size: Size, $by: Int = 4, $toString: [String!])";
/** Variables and fragments that nothing uses are refused. */
const USES = `
  inParts: sized(size: { width: $width, tags: $tags }) whole: sized(size: $size, colour: RED)
  other: sized(size: { tags: $toString }, by: $by)`;
const documents = fc
  .tuple(fc.constantFrom("thing", "sure", "things"), selections(2), selections(1), fc.boolean())
  .map(([root, selected, part, isMutation]) => {
    const below = `{ ${selected} ...Part }`;
    const field = isMutation ? `__typename make(size: { width: $width }) ${below}` : `${root} ${below} text`;
    return `${isMutation ? "mutation" : "query"} Run${VARIABLES} { ${field} } fragment Part on Thing { ${part.replaceAll("...Part", "name")} ${USES} }`;
  });

const variables = fc.constantFrom<Record<string, unknown>>(
  { width: 1 },
  { width: 2, tags: ["a"], size: { width: 3 } },
  { width: 4, size: null, by: 5 },
  { width: 5, by: null, toString: "a" },
  { width: "wrong", tags: 5 },
  {},
);

const call = (source: unknown, name: string): unknown => {
  const value = (source as Record<string, unknown>)[name];
  return typeof value === "function" ? value() : value;
};

/** A schema whose root fields answer this; what is below has no resolvers of its own. */
function answering(value: Value): GraphQLSchema {
  for (const type of ["Query", "Mutation"]) {
    for (const field of Object.values((schema.getType(type) as GraphQLObjectType).getFields())) {
      field.resolve = (_, args) => (field.name === "echo" ? args.texts : field.name === "text" ? "text" : value());
    }
  }
  const { sized, name } = (schema.getType("Thing") as GraphQLObjectType).getFields();
  if (sized)
    sized.resolve = (source, args, _context, { path, variableValues, fieldName }) =>
      JSON.stringify([args, keys(path), variableValues, fieldName, typeof source]);
  if (name) name.resolve = (source) => call(source, "name");
  return schema;
}

function keys(path: { readonly prev: unknown; readonly key: string | number } | undefined): unknown[] {
  return path === undefined ? [] : [...keys(path.prev as typeof path), path.key];
}

const plain = ({ errors, data }: ExecutionResult) => ({
  data,
  text: JSON.stringify(data),
  errors: (errors ?? []).map(({ message, path, locations, extensions }) => ({
    message: shorten(message),
    path: path ?? [],
    locations,
    extensions,
  })),
});

type Plain = ReturnType<typeof plain>;

/** Of what fails at the same time below one null, either may be told: what counts is where the nulls are. */
function nulls({ data, text, errors }: Plain) {
  const places = errors.map(({ path }) => {
    let value: unknown = data;
    const above = path.findIndex((key) => {
      if (value === null) return true;
      value = (value as Record<string | number, unknown>)[key];
      return false;
    });
    return JSON.stringify(above < 0 ? path : path.slice(0, above));
  });
  return { text, places: [...new Set(places)].sort() };
}

/** The one message whose words are ours. */
function shorten(message: string): string {
  return message.startsWith("Expected `") || message.includes(" cannot be written: ") ? "not writable" : message;
}

function tryToCompile(schema: GraphQLSchema, text: string): CompiledOperation | undefined {
  const document = parse(text);
  const operation = getOperationAST(document);
  if (!operation) throw new Error("no operation");
  return compileOperation({ schema, document, operation, maxCoercionErrors: MAX_COERCION_ERRORS });
}

function compile(schema: GraphQLSchema, text: string): CompiledOperation {
  const compiled = tryToCompile(schema, text);
  if (!compiled) throw new Error("not compiled");
  return compiled;
}

async function both(text: string, value: Value, given: Record<string, unknown>) {
  const schema = answering(value);
  const document = parse(text);
  const compiled = tryToCompile(schema, text);
  const options = { maxCoercionErrors: MAX_COERCION_ERRORS };
  const asIs = await execute({ schema, document, contextValue: {}, variableValues: given, options });
  return { asIs: plain(asIs), compiled: compiled && plain(await compiled.run({}, given)) };
}

/** Rejections that nobody hears end a process. Those of graphql-js, which leaves some in lists, are not judged here. */
const unheard: unknown[] = [];
const listeners = process.listeners("unhandledRejection");
beforeAll(() => {
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", (error) => unheard.push(error));
});
afterAll(() => {
  process.removeAllListeners("unhandledRejection");
  for (const listener of listeners) process.on("unhandledRejection", listener);
});

describe("a compiled operation", () => {
  it.each<[Timing, (result: Plain) => unknown]>([
    ["at once", (result) => result],
    ["also later", nulls],
  ])(
    "answers what graphql-js answers, whatever resolvers do, %s",
    async (timing, told) => {
      let failures = 0;
      await fc.assert(
        fc.asyncProperty(documents, values(2, timing), variables, async (text, value, given) => {
          // Fields with other arguments under one name are refused before they come here.
          fc.pre(validate(schema, parse(text)).length === 0);
          const { asIs, compiled } = await both(text, value, given);
          expect(compiled && told(compiled)).toEqual(told(asIs));
          if (asIs.errors.length > 0) failures += 1;
        }),
        { numRuns: 500 },
      );
      expect(failures).toBeGreaterThan(50);
    },
    60_000,
  );

  it("leaves no rejection that nobody hears", async () => {
    await nextTurn();
    unheard.length = 0;
    let failures = 0;
    await fc.assert(
      fc.asyncProperty(documents, values(2, "also later"), async (text, value) => {
        const { errors } = await compile(answering(value), text).run({}, { width: 1 });
        if (errors) failures += 1;
      }),
      { numRuns: 500 },
    );
    await nextTurn();
    expect({ unheard, failed: failures > 50 }).toEqual({ unheard: [], failed: true });
  }, 60_000);

  it.each([
    ["a directive", "{ text @include(if: true) }"],
    ["a directive on a fragment", "{ ... @skip(if: false) { text } }"],
    ["introspection", "{ __schema { description } }"],
    ["a field of an interface", "{ thing { named { name } } }"],
    ["several fields of a mutation, which run in turn", "mutation { make(size: {}) { name } other }"],
  ])("is not made of %s", async (_, text) => {
    expect((await both(text, () => null, {})).compiled).toBeUndefined();
  });

  it("takes a variable of any name for what it is", async () => {
    const text = "query($__proto__: [String!]) { echo(texts: $__proto__) }";
    const beside =
      "query($__proto__: [String!], $texts: [String!] = []) { a: echo(texts: $__proto__) b: echo(texts: $texts) }";
    for (const document of [text, beside]) {
      for (const given of [JSON.parse('{"__proto__":["a"]}'), {}]) {
        const { asIs, compiled } = await both(document, () => null, given);
        expect(compiled).toEqual(asIs);
      }
    }
  });

  it("looks at no more of what is wrong than graphql-js does", async () => {
    let looks = 0;
    const refusing = new GraphQLScalarType({
      name: "Never",
      parseValue: () => {
        looks += 1;
        throw new GraphQLError("never");
      },
    });
    const args = { list: { type: new GraphQLList(refusing) } };
    const type = new GraphQLObjectType({ name: "Query", fields: { x: { type: GraphQLString, args } } });
    const own = new GraphQLSchema({ query: type });
    const compiled = compile(own, "query($list: [Never]) { x(list: $list) }");
    const { errors } = await compiled.run({}, { list: Array.from({ length: 10_000 }, () => 1) });
    expect(errors).toHaveLength(MAX_COERCION_ERRORS + 1);
    expect(looks).toBeLessThanOrEqual(MAX_COERCION_ERRORS + 3);
  });

  it("gives each run arguments of its own, also those that are the same each time", async () => {
    const seen: unknown[] = [];
    const own = buildSchema("type Query { echo(texts: [String!]): String }");
    const field = own.getQueryType()?.getFields().echo;
    if (field)
      field.resolve = (_, args) => {
        seen.push(args);
        return "x";
      };
    const compiled = compile(own, `{ echo(texts: ["a"]) }`);
    await compiled.run({}, {});
    await compiled.run({}, {});
    expect(seen).toEqual([{ texts: ["a"] }, { texts: ["a"] }]);
    expect(seen[0]).not.toBe(seen[1]);
  });
});
