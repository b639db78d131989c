/** What a document has to be, whether it comes with a request or from a manifest of trusted ones. */
import {
  GraphQLError,
  type GraphQLSchema,
  Kind,
  Lexer,
  NoSchemaIntrospectionCustomRule,
  type ParseOptions,
  parse,
  Source,
  specifiedRules,
  type Token,
  TokenKind,
  type ValidationRule,
  validate,
} from "graphql";
import type { Config } from "../config/config.js";
import { leastCostOf, tooCostly } from "./cost.js";
import { operationLimits } from "./limits.js";
import { knownOperationKind, oneMutationField } from "./rules.js";
import { storableLiterals } from "./storable-text.js";

export type GraphqlSettings = Config["graphql"];

/** Each lexical token counts, so that no document is large to parse. */
export function parseOptions({ maxTokens }: GraphqlSettings): ParseOptions {
  return { maxTokens };
}

/** Our own rules, beside those of GraphQL. */
export function documentRules(settings: GraphqlSettings): ValidationRule[] {
  return [knownOperationKind, oneMutationField, storableLiterals, operationLimits(settings)];
}

/** Brackets of any kind. GraphQL's own code calls itself for each. */
const MAX_NESTING = 100;
/** To say where an error is, lines are counted for each place that it names. */
const MAX_LINES = 2000;

const OPENING: ReadonlySet<string> = new Set([TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L]);
const CLOSING: ReadonlySet<string> = new Set([TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R]);

/** Why this text is not even parsed: it could cost more than its tokens say. What is no GraphQL is the parser's to tell. */
function whyNotParsed(text: string, { maxTokens }: GraphqlSettings): string | undefined {
  const lexer = new Lexer(new Source(text));
  let open = 0;
  for (let count = 0; count <= maxTokens; count++) {
    const token = nextToken(lexer);
    if (token === undefined || token.kind === TokenKind.EOF) return undefined;
    if (OPENING.has(token.kind)) open += 1;
    if (CLOSING.has(token.kind)) open -= 1;
    if (open > MAX_NESTING) return `A document may nest its brackets ${MAX_NESTING} deep.`;
    if (token.line > MAX_LINES) return `A document may have ${MAX_LINES} lines.`;
  }
  return undefined;
}

/** Texts whose check is remembered, and the length of those: what is longer is rare, and checked each time. */
const MOST_REMEMBERED = 1000;
const LONGEST_REMEMBERED = 8192;

/** The same, remembering the texts that are well: clients send the same few again and again. */
export function rememberingWhyNotParsed(settings: GraphqlSettings): (text: string) => string | undefined {
  const well = new Set<string>();
  return (text) => {
    if (well.has(text)) return undefined;
    const why = whyNotParsed(text, settings);
    if (why !== undefined || text.length > LONGEST_REMEMBERED) return why;
    // A flood of made-up ones costs the others one more check.
    if (well.size >= MOST_REMEMBERED) well.clear();
    well.add(text);
    return undefined;
  };
}

function nextToken(lexer: Lexer): Token | undefined {
  try {
    return lexer.advance();
  } catch (error) {
    if (error instanceof GraphQLError) return undefined;
    throw error;
  }
}

/** GraphQL's rules and ours. */
export function allRules(settings: GraphqlSettings): ValidationRule[] {
  const introspection = settings.introspection ? [] : [NoSchemaIntrospectionCustomRule];
  return [...specifiedRules, ...introspection, ...documentRules(settings)];
}

/** Why this text would be refused whatever its variables say; undefined if it would not. */
export function whyRefused(text: string, schema: GraphQLSchema, settings: GraphqlSettings): string | undefined {
  const why = whyNotParsed(text, settings);
  if (why !== undefined) return why;
  try {
    const document = parse(text, parseOptions(settings));
    const [error] = validate(schema, document, allRules(settings), { maxErrors: 1 });
    if (error) return error.message;
    for (const operation of document.definitions) {
      if (operation.kind !== Kind.OPERATION_DEFINITION) continue;
      const cost = leastCostOf({ schema, document, operation });
      if (cost > settings.maxCost) return tooCostly(cost, settings.maxCost);
    }
    return undefined;
  } catch (error) {
    if (error instanceof GraphQLError) return error.message;
    throw error;
  }
}
