import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildSchema, type DefinitionNode, isScalarType, isSpecifiedScalarType, parse, print, validate } from "graphql";
import { describe, expect, it } from "vitest";

const KOTLIN = "examples/apollo-kotlin";
const IOS = "examples/apollo-ios";

const schema = buildSchema(readFileSync("schema/public.graphql", "utf8"));
const scalars = Object.values(schema.getTypeMap())
  .filter((type) => isScalarType(type) && !isSpecifiedScalarType(type))
  .map(({ name }) => name);

const read = (file: string) => readFileSync(file, "utf8");
const published = ["mobile", "fragments"].flatMap(
  (name) => parse(read(`schema/operations/${name}.graphql`)).definitions,
);

const nameOf = (node: DefinitionNode) => ("name" in node ? node.name?.value : undefined) ?? "";

describe.each([
  ["Apollo Kotlin", `${KOTLIN}/src/main/graphql/gateway.graphql`],
  ["Apollo iOS", `${IOS}/graphql/gateway.graphql`],
])("the operations for %s", (_, file) => {
  const document = parse(read(file));

  it("fit the schema for apps, with nothing missing or left over", () => {
    expect(validate(schema, document)).toEqual([]);
  });

  it("are those that are published", () => {
    const texts = new Map(published.map((node) => [nameOf(node), print(node)]));
    for (const node of document.definitions) expect(print(node)).toBe(texts.get(nameOf(node)));
    const names = document.definitions.map(nameOf);
    const expected = parse(read("schema/operations/mobile.graphql")).definitions.map(nameOf);
    expect(names).toEqual(expect.arrayContaining(expected));
  });
});

describe("the build file for Apollo Kotlin", () => {
  const text = read(`${KOTLIN}/build.gradle.kts`);

  it("maps each scalar of the schema", () => {
    const mapped = [...text.matchAll(/mapScalar\w*\("(\w+)"/g)].map(([, name]) => name);
    expect(mapped.sort()).toEqual([...scalars].sort());
  });

  it("finds the operations, and the schema where the page says to put it", () => {
    const [, folder = ""] = /srcDir\("([^"]+)"\)/.exec(text) ?? [];
    const [, operations = ""] = /includes\.add\("([^"]+)"\)/.exec(text) ?? [];
    expect(existsSync(join(KOTLIN, folder, operations))).toBe(true);
    expect(text).toContain(`schemaFiles.from("${folder}/public.graphql")`);
  });

  it("writes the manifest that the gateway reads", () => {
    expect(text).toContain('operationManifestFormat.set("persistedQueryManifest")');
  });
});

describe("the configuration for Apollo iOS", () => {
  const config = JSON.parse(read(`${IOS}/apollo-codegen-config.json`)) as Config;

  it("has no key but those that its documentation has: any other stops the generator", () => {
    const known = {
      "": ["schemaNamespace", "input", "output", "options", "operationManifest"],
      input: ["schemaSearchPaths", "operationSearchPaths"],
      output: ["schemaTypes", "operations", "testMocks"],
      options: ["operationDocumentFormat"],
      operationManifest: ["path", "version", "generateManifestOnCodeGeneration"],
    };
    const { input, output, options, operationManifest } = config;
    const keys = { "": config, input, output, options, operationManifest };
    for (const [name, value] of Object.entries(keys)) {
      expect(Object.keys(value)).toEqual(known[name as keyof typeof known]);
    }
    expect(config.output.schemaTypes.moduleType).toEqual({ swiftPackage: {} });
  });

  it("finds the operations, and the schema where the page says to put it", () => {
    const { operationSearchPaths, schemaSearchPaths } = config.input;
    for (const path of operationSearchPaths) expect(existsSync(join(IOS, path)), path).toBe(true);
    expect(schemaSearchPaths).toEqual(["./graphql/public.graphql"]);
  });

  it("writes the manifest that the gateway reads", () => {
    expect(config.operationManifest).toMatchObject({
      version: "persistedQueries",
      generateManifestOnCodeGeneration: true,
    });
    expect(config.options.operationDocumentFormat).toContain("operationId");
  });
});

interface Config {
  readonly input: { readonly schemaSearchPaths: readonly string[]; readonly operationSearchPaths: readonly string[] };
  readonly output: { readonly schemaTypes: { readonly moduleType: object } };
  readonly options: { readonly operationDocumentFormat: readonly string[] };
  readonly operationManifest: object;
}
