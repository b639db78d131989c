/** What is published of the schema, by file: all of it for operators' tools, and what is for apps. */
import {
  buildASTSchema,
  type DocumentNode,
  type GraphQLSchema,
  introspectionFromSchema,
  lexicographicSortSchema,
  parse,
  printSchema,
} from "graphql";
import { subgraphSdl } from "../../src/graphql/federation.js";
import { printWithCosts } from "./costs.js";
import { forApps } from "./for-apps.js";

const HEAD = "# Made by `npm run generate` from src/graphql. Do not edit.";

export function schemaFiles(executable: GraphQLSchema): Record<string, string> {
  const whole = parse(printSchema(executable));
  return {
    ...filesOf("schema", HEAD, whole, executable),
    ...filesOf("public", `${HEAD}\n# What an app can use. All there is: schema.graphql.`, forApps(whole), executable),
  };
}

function filesOf(
  name: string,
  head: string,
  document: DocumentNode,
  executable: GraphQLSchema,
): Record<string, string> {
  const schema = lexicographicSortSchema(buildASTSchema(document));
  const sdl = printWithCosts(schema, executable);
  const introspection = introspectionFromSchema(schema, {
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    schemaDescription: true,
    inputValueDeprecation: true,
  });
  return {
    [`schema/${name}.graphql`]: `${head}\n\n${sdl}\n`,
    [`schema/${name}.subgraph.graphql`]: `${head}\n# For composition with other subgraphs: docs/federation.md.\n\n${subgraphSdl(schema)}`,
    [`schema/${name}.introspection.json`]: `${JSON.stringify(introspection, null, 2)}\n`,
  };
}
