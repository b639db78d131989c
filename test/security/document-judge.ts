/** What an operation may be, written anew and simply, for tests to hold the gateway's own judgement against. */
import { readFileSync } from "node:fs";
import {
  buildSchema,
  type DocumentNode,
  type FragmentDefinitionNode,
  Kind,
  Lexer,
  parse,
  type SelectionSetNode,
  Source,
  specifiedRules,
  TokenKind,
  validate,
} from "graphql";

const schema = buildSchema(readFileSync("schema/schema.graphql", "utf8"));
const INTROSPECTION = ["__schema", "__type"];

interface Counts {
  depth: number;
  aliases: number;
  directives: number;
  rootFields: number;
  introspection: boolean;
}

/** Why this text may not be run as it is; undefined when it may. */
export function whyNotRun(text: string, operationName: string | null): string | undefined {
  if (countTokens(text) > 500) return "over 500 tokens";
  const document = parse(text);
  const [error] = validate(schema, document, specifiedRules);
  if (error) return error.message;
  for (const operation of document.definitions) {
    if (operation.kind !== Kind.OPERATION_DEFINITION) continue;
    const counts = count(document, operation.selectionSet);
    if (counts === undefined) return undefined;
    const own = operation.directives?.length ?? 0;
    if (counts.depth > 8) return `depth ${counts.depth}`;
    if (counts.aliases > 10) return `${counts.aliases} aliases`;
    if (counts.directives + own > 10) return `${counts.directives + own} directives`;
    if (operation.operation === "mutation" && counts.rootFields > 1) return "two root fields";
    if (counts.introspection) return "introspection";
  }
  const operations = document.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  return operations.length > 1 && operationName === null ? "no operation is named" : undefined;
}

function countTokens(text: string): number {
  const lexer = new Lexer(new Source(text));
  let tokens = 0;
  while (lexer.advance().kind !== TokenKind.EOF) tokens += 1;
  return tokens;
}

/** Fragments written out wherever they are spread; undefined for a document that is too large written out. */
function count(document: DocumentNode, root: SelectionSetNode): Counts | undefined {
  const counts: Counts = { depth: 0, aliases: 0, directives: 0, rootFields: 0, introspection: false };
  let left = 20_000;
  const visit = ({ selections }: SelectionSetNode, depth: number): void => {
    for (const selection of selections) {
      left -= 1;
      if (left < 0) return;
      counts.directives += selection.directives?.length ?? 0;
      if (selection.kind === Kind.INLINE_FRAGMENT) visit(selection.selectionSet, depth);
      else if (selection.kind === Kind.FRAGMENT_SPREAD) {
        const fragment = document.definitions.find(
          (definition): definition is FragmentDefinitionNode =>
            definition.kind === Kind.FRAGMENT_DEFINITION && definition.name.value === selection.name.value,
        );
        if (fragment === undefined) continue;
        counts.directives += fragment.directives?.length ?? 0;
        visit(fragment.selectionSet, depth);
      } else {
        counts.depth = Math.max(counts.depth, depth + 1);
        if (selection.alias) counts.aliases += 1;
        if (depth === 0 && selection.name.value !== "__typename") counts.rootFields += 1;
        if (INTROSPECTION.includes(selection.name.value)) counts.introspection = true;
        if (selection.selectionSet) visit(selection.selectionSet, depth + 1);
      }
    }
  };
  visit(root, 0);
  return left < 0 ? undefined : counts;
}

/** Objects in an answer, at any depth. */
export function countObjects(value: unknown): number {
  if (value === null || typeof value !== "object") return 0;
  const within = Object.values(value).reduce<number>((sum, item) => sum + countObjects(item), 0);
  return within + (Array.isArray(value) ? 0 : 1);
}
