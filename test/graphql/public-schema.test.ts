import { readFileSync } from "node:fs";
import {
  buildASTSchema,
  buildClientSchema,
  buildSchema,
  type DefinitionNode,
  type GraphQLSchema,
  getIntrospectionQuery,
  graphqlSync,
  type IntrospectionQuery,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  Kind,
  lexicographicSortSchema,
  NoUnusedFragmentsRule,
  parse,
  print,
  printSchema,
  specifiedRules,
  validate,
  validateSchema,
  visit,
} from "graphql";
import { describe, expect, it } from "vitest";
import { forApps } from "../../scripts/schema/for-apps.js";
import { createSchema } from "../../src/graphql/schema.js";

const read = (file: string) => readFileSync(`schema/${file}`, "utf8");
const whole = buildSchema(read("schema.graphql"));
const forAppsSdl = read("public.graphql");
const published = buildSchema(forAppsSdl);
/** Files share fragments, of which each uses some. */
const rules = specifiedRules.filter((rule) => rule !== NoUnusedFragmentsRule);

/** All that can be named, with its type: types, fields, arguments, input fields and enum values. */
function elementsOf(schema: GraphQLSchema): Map<string, string> {
  const elements = new Map<string, string>();
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith("__")) continue;
    elements.set(type.name, type.constructor.name);
    if (isEnumType(type)) for (const { name } of type.getValues()) elements.set(`${type.name}.${name}`, "");
    if (isInputObjectType(type)) {
      for (const field of Object.values(type.getFields()))
        elements.set(`${type.name}.${field.name}`, `${field.type} = ${field.defaultValue}`);
    }
    if (isObjectType(type) || isInterfaceType(type)) {
      for (const field of Object.values(type.getFields())) {
        elements.set(`${type.name}.${field.name}`, String(field.type));
        for (const argument of field.args)
          elements.set(`${type.name}.${field.name}(${argument.name})`, `${argument.type} = ${argument.defaultValue}`);
      }
    }
  }
  return elements;
}

describe("the schema for apps", () => {
  it("is a schema", () => {
    expect(validateSchema(published)).toEqual([]);
  });

  it("is a part of the whole one", () => {
    const all = elementsOf(whole);
    const others = [...elementsOf(published)].filter(([name, type]) => all.get(name) !== type);
    expect(others).toEqual([]);
    for (const type of Object.values(published.getTypeMap())) {
      // What an enum may come up with is not for a variant to leave out.
      if (isEnumType(type) && !type.name.startsWith("__"))
        expect(type.getValues().length).toBe((whole.getType(type.name) as typeof type).getValues().length);
    }
  });

  it("has nothing that is the operators'", () => {
    const known = elementsOf(published);
    const operators = [
      "AuditEvent",
      "CommunicationIdentity.auditEvents",
      "IdentityFilter",
      "IssueAccessTokenInput.identityId",
      "Mutation.suspendIdentity",
      "Query.identities",
      "Query.pendingServiceWork",
      "RevokeAccessTokensInput.identityId",
    ];
    for (const name of operators) expect([known.has(name), elementsOf(whole).has(name)], name).toEqual([false, true]);
    expect(forAppsSdl).not.toMatch(/[Nn]eeds? [A-Z]+_/);
  });

  it("names in its descriptions nothing that it does not have", () => {
    const last = (name: string) => name.match(/\w+/g)?.at(-1) ?? "";
    const known = new Set([...elementsOf(published).keys()].map(last));
    const unknown = new Set([...elementsOf(whole).keys()].map(last).filter((name) => !known.has(name)));
    const told: string[] = [];
    visit(parse(forAppsSdl), {
      StringValue: ({ value }) => {
        const words = value.match(/\b[a-z]+[A-Z]\w*|\b[A-Z]+_[A-Z_]+|`\w+`/g) ?? [];
        told.push(...words.map((word) => word.replaceAll("`", "")).filter((word) => unknown.has(word)));
      },
    });
    expect(told).toEqual([]);
  });

  it("knows every operation of mobile.graphql, and none of the dashboard's own", () => {
    const fragments = parse(read("operations/fragments.graphql")).definitions;
    const operationsIn = (file: string) => parse(read(`operations/${file}`)).definitions;
    const mobile = operationsIn("mobile.graphql");
    expect(mobile.length).toBeGreaterThan(4);
    const faultsOf = (definitions: readonly DefinitionNode[]) =>
      validate(published, { kind: Kind.DOCUMENT, definitions: [...definitions, ...fragments] }, rules);
    expect(faultsOf(mobile)).toEqual([]);
    const own = operationsIn("dashboard.graphql").filter((operation) =>
      /identities\(|auditEvents|suspend/.test(print(operation)),
    );
    expect(own.length).toBeGreaterThan(4);
    for (const operation of own) {
      const document = { ...parse("{ a }"), definitions: [operation, ...fragments] };
      expect(
        validate(published, document)
          .map(({ message }) => message)
          .join(),
      ).toMatch(/Cannot query field|Unknown type/);
    }
  });

  it("takes nothing in by itself: what is new in the schema is the operators' until it is listed", () => {
    const marked = read("schema.graphql")
      .replace("viewer: Viewer!", "newField: Viewer!\n  viewer(newArgument: Int): Viewer!")
      .replace("forceNew: Boolean", "newInput: Int\n  forceNew: Boolean");
    expect(marked.match(/newField|newArgument|newInput/g)).toHaveLength(3);
    expect(print(forApps(parse(`${marked} type NewType { a: Int }`)))).not.toMatch(/new(Field|Argument|Input)|NewType/);
  });

  it("cannot list what the schema does not have", () => {
    expect(() => forApps(parse("type Query { viewer: Int }"))).toThrow(
      /FOR_APPS lists what the schema does not have: .*Query\.node/,
    );
  });
});

describe("the published introspection", () => {
  const fromFile = (file: string) => printSchema(buildClientSchema(JSON.parse(read(file)) as IntrospectionQuery));

  it("is what the gateway answers", async () => {
    const executable = await createSchema();
    const source = getIntrospectionQuery({
      specifiedByUrl: true,
      directiveIsRepeatable: true,
      schemaDescription: true,
    });
    const { data } = graphqlSync({ schema: executable, source });
    const live = lexicographicSortSchema(buildClientSchema(data as unknown as IntrospectionQuery));
    expect(fromFile("schema.introspection.json")).toBe(printSchema(live));
  });

  it.each(["schema", "public"])("says the same as %s.graphql", (name) => {
    const remove = ({ name }: { readonly name: { readonly value: string } }) =>
      ["cost", "listSize"].includes(name.value) ? null : undefined;
    const withoutCosts = visit(parse(read(`${name}.graphql`)), { Directive: remove, DirectiveDefinition: remove });
    expect(fromFile(`${name}.introspection.json`)).toBe(printSchema(buildASTSchema(withoutCosts)));
  });
});
