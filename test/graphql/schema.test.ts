import { readdirSync, readFileSync } from "node:fs";
import {
  buildSchema,
  GraphQLNonNull,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  parse,
  validate,
} from "graphql";
import { describe, expect, it } from "vitest";

const sdl = readFileSync("schema/schema.graphql", "utf8");
const schema = buildSchema(sdl);
/** What has been promised to clients; the emitted schema may add to it. */
const contract = buildSchema(readFileSync("test/fixtures/contract.graphql", "utf8"));

const own = (name: string) => !name.startsWith("__") && !["String", "Int", "Float", "Boolean", "ID"].includes(name);
const typesOf = (of: typeof schema) => Object.values(of.getTypeMap()).filter(({ name }) => own(name));

describe("the emitted schema", () => {
  it("describes every type, field, argument, input field and enum value", () => {
    const bare: string[] = [];
    for (const type of typesOf(schema)) {
      if (!type.description) bare.push(type.name);
      if (isEnumType(type))
        for (const value of type.getValues()) if (!value.description) bare.push(`${type.name}.${value.name}`);
      if (isInputObjectType(type)) {
        for (const field of Object.values(type.getFields()))
          if (!field.description) bare.push(`${type.name}.${field.name}`);
      }
      if (isObjectType(type) || isInterfaceType(type)) {
        for (const field of Object.values(type.getFields())) {
          if (!field.description) bare.push(`${type.name}.${field.name}`);
          for (const argument of field.args)
            if (!argument.description) bare.push(`${type.name}.${field.name}(${argument.name}:)`);
        }
      }
    }
    expect(bare).toEqual([]);
  });

  it("has everything of the contract under the same name, type, nullability and default", () => {
    const missing: string[] = [];
    const expectSame = (place: string, actual: unknown, promised: unknown) => {
      if (String(actual) !== String(promised)) missing.push(`${place} is ${String(actual)}, not ${String(promised)}`);
    };
    for (const promised of typesOf(contract)) {
      const actual = schema.getType(promised.name);
      if (isEnumType(promised) && isEnumType(actual)) {
        expectSame(
          promised.name,
          actual
            .getValues()
            .map(({ name }) => name)
            .sort(),
          promised
            .getValues()
            .map(({ name }) => name)
            .sort(),
        );
      } else if (isInputObjectType(promised) && isInputObjectType(actual)) {
        for (const field of Object.values(promised.getFields())) {
          const found = actual.getFields()[field.name];
          expectSame(`${promised.name}.${field.name}`, found?.type, field.type);
          expectSame(`${promised.name}.${field.name} by default`, found?.defaultValue, field.defaultValue);
        }
        for (const field of Object.values(actual.getFields())) {
          const isNew = promised.getFields()[field.name] === undefined;
          if (isNew && field.type instanceof GraphQLNonNull)
            missing.push(`${promised.name}.${field.name} is new and required`);
        }
      } else if (
        (isObjectType(promised) && isObjectType(actual)) ||
        (isInterfaceType(promised) && isInterfaceType(actual))
      ) {
        expectSame(`interfaces of ${promised.name}`, actual.getInterfaces(), promised.getInterfaces());
        for (const field of Object.values(promised.getFields())) {
          const found = actual.getFields()[field.name];
          expectSame(`${promised.name}.${field.name}`, found?.type, field.type);
          for (const argument of field.args) {
            const same = found?.args.find(({ name }) => name === argument.name);
            expectSame(`${promised.name}.${field.name}(${argument.name}:)`, same?.type, argument.type);
            expectSame(
              `${promised.name}.${field.name}(${argument.name}:) by default`,
              same?.defaultValue,
              argument.defaultValue,
            );
          }
        }
      } else {
        expectSame(promised.name, actual?.constructor.name, promised.constructor.name);
      }
    }
    expect(missing).toEqual([]);
  });

  it("gives the range of every number", () => {
    const numbers = typesOf(schema).flatMap((type) => {
      if (!isObjectType(type) && !isInputObjectType(type)) return [];
      return Object.values(type.getFields()).flatMap((field) => {
        const inputs = "args" in field ? field.args : [];
        return [{ ...field, name: `${type.name}.${field.name}` }, ...inputs].filter(({ type }) =>
          /^Int!?$/.test(String(type)),
        );
      });
    });
    expect(numbers.length).toBeGreaterThan(20);
    const bare = numbers.filter(({ description }) => !/\d (to \d|or more)/.test(description ?? ""));
    expect(bare.map(({ name }) => name)).toEqual([]);
  });

  it("says of every mutation whether, and why, it may be repeated; test/e2e/repeats.test.ts holds it to that", () => {
    const mutations = Object.values(schema.getMutationType()?.getFields() ?? {});
    expect(mutations.length).toBeGreaterThan(5);
    const silent = mutations.filter(({ description }) => !/Safe to repeat: [^.]{20,}\./.test(description ?? ""));
    expect(silent.map(({ name }) => name)).toEqual([]);
    const repeated = readFileSync("test/e2e/repeats.test.ts", "utf8");
    expect(mutations.filter(({ name }) => !repeated.includes(`it("${name} `)).map(({ name }) => name)).toEqual([]);
  });

  it("is sorted, so that its changes are easy to read", () => {
    const names = [...sdl.matchAll(/^(?:type|enum|input|interface|scalar) (\w+)/gm)].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(20);
    expect(names).toEqual([...names].sort((one, other) => String(one).localeCompare(String(other))));
  });
});

describe("the client operations", () => {
  it("are valid, named and use every query and mutation", () => {
    const folder = "schema/operations";
    const documents = readdirSync(folder).map((file) => readFileSync(`${folder}/${file}`, "utf8"));
    const document = parse(documents.join("\n"));
    expect(validate(schema, document)).toEqual([]);
    const text = documents.join("\n");
    const roots = [schema.getQueryType(), schema.getMutationType()].flatMap((type) =>
      Object.keys(type?.getFields() ?? {}),
    );
    expect(roots.filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([]);
  });
});
