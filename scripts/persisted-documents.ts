/**
 * The documents of `schema/operations` and the client's own, each under the SHA-256 of its text, made as the client preset of
 * GraphQL Code Generator makes them: whoever generates code from the same files has the same ids.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { printExecutableGraphQLDocument } from "@graphql-tools/documents";
import { concatAST, type DocumentNode, type GraphQLSchema, Kind, parse, separateOperations, validate } from "graphql";
import { transform } from "./add-typename.js";

const OPERATIONS = "schema/operations";
const CLIENT_DOCUMENT = "src/client/refresh.graphql";

interface PersistedDocument {
  /** SHA-256 in hexadecimal. */
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly body: string;
}

/** Apollo's operation manifest, version 1. Throws for a document that the schema does not allow. */
export async function persistedDocuments(schema: GraphQLSchema): Promise<string> {
  const operations = await Promise.all(Object.values(separateOperations(readOperations())).map(withTypenames));
  const documents = [...operations, readClientDocument()].map((document) => persist(document, schema));
  documents.sort((one, other) => (one.name < other.name ? -1 : 1));
  return `${JSON.stringify({ format: "apollo-persisted-query-manifest", version: 1, operations: documents }, null, 2)}\n`;
}

/** The module by which the client knows its document. */
export function clientDocumentModule(schema: GraphQLSchema): string {
  const { id, body } = persist(readClientDocument(), schema);
  return `/** Made by \`npm run generate\` from ${CLIENT_DOCUMENT}. Do not edit. */
export const DOCUMENT =
  ${JSON.stringify(body)};

/** By GraphQL over HTTP, Appendix A. */
export const DOCUMENT_ID = "sha256:${id}";
`;
}

function readOperations(): DocumentNode {
  const files = readdirSync(OPERATIONS).filter((file) => file.endsWith(".graphql"));
  return concatAST(files.map((file) => parse(readFileSync(join(OPERATIONS, file), "utf8"))));
}

/** Without `__typename`: who sends it keeps no cache. */
function readClientDocument(): DocumentNode {
  return parse(readFileSync(CLIENT_DOCUMENT, "utf8"));
}

/** A client with a cache asks for it, and gets what the text says that the gateway has under the id. */
async function withTypenames(document: DocumentNode): Promise<DocumentNode> {
  const [file] = await transform({ documents: [{ document }], schema: document, config: {} });
  if (file?.document === undefined) throw new Error("The transform has lost a document.");
  return file.document;
}

function persist(document: DocumentNode, schema: GraphQLSchema): PersistedDocument {
  const [fault] = validate(schema, document);
  if (fault) throw fault;
  const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  if (operation?.name === undefined) throw new Error("Every operation needs a name.");
  const body = printExecutableGraphQLDocument(document);
  const id = createHash("sha256").update(body).digest("hex");
  return { id, name: operation.name.value, type: operation.operation, body };
}
