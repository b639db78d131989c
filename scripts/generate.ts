/**
 * Writes what is made from the code: the SDL, the manifest of the operations, the client's document and the configuration's JSON
 * Schema. With `--check` it writes nothing and fails when a file is not what it would write.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { lexicographicSortSchema, printSchema } from "graphql";
import { createSchema } from "../src/graphql/schema.js";
import { describeConfigSchema } from "./config-schema.js";
import { clientDocumentModule, persistedDocuments } from "./persisted-documents.js";

const schema = await createSchema();
const sdl = printSchema(lexicographicSortSchema(schema));
const configSchema = describeConfigSchema(readFileSync("gateway.yaml", "utf8"));

const files: Readonly<Record<string, string>> = {
  "schema/schema.graphql": `# Made by \`npm run generate\` from src/graphql. Do not edit.\n\n${sdl}\n`,
  "schema/persisted-documents.json": await persistedDocuments(schema),
  "src/client/document.ts": clientDocumentModule(schema),
  "schema/config.schema.json": `${JSON.stringify(configSchema, null, 2)}\n`,
};

const stale = Object.entries(files).filter(([file, content]) => readOrNothing(file) !== content);
if (process.argv.includes("--check")) {
  for (const [file] of stale) process.stderr.write(`${file} is stale: run \`npm run generate\` and commit it.\n`);
  process.exit(stale.length === 0 ? 0 : 1);
}
for (const [file, content] of stale) {
  writeFileSync(file, content);
  process.stdout.write(`wrote ${file}\n`);
}

function readOrNothing(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
