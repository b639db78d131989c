/**
 * Writes what is made from the code: the published schema, the manifest of the operations, the client's document, the
 * configuration's JSON Schema and the table of costs in the docs. With `--check` it writes nothing and fails when a file is not
 * what it would write.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createSchema } from "../src/graphql/schema.js";
import { describeConfigSchema } from "./config-schema.js";
import { clientDocumentModule, persistedDocuments } from "./persisted-documents.js";
import { costTable } from "./schema/costs.js";
import { schemaFiles } from "./schema/files.js";

const schema = await createSchema();
const configSchema = describeConfigSchema(readFileSync("gateway.yaml", "utf8"));

const files: Readonly<Record<string, string>> = {
  ...schemaFiles(schema),
  "schema/persisted-documents.json": await persistedDocuments(schema),
  "src/client/document.ts": clientDocumentModule(schema),
  "schema/config.schema.json": `${JSON.stringify(configSchema, null, 2)}\n`,
  "docs/schema.md": withTable(readFileSync("docs/schema.md", "utf8"), costTable(schema)),
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

/** The docs with the table between its two marks. */
function withTable(docs: string, table: string): string {
  const marks = /(<!-- costs: .* -->\n)[\s\S]*(\n<!-- end of costs -->)/;
  if (!marks.test(docs)) throw new Error("docs/schema.md has no place for the table of costs.");
  return docs.replace(marks, `$1\n${table}\n$2`);
}

function readOrNothing(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
