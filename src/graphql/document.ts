/** What a document has to be, whether it comes with a request or from a manifest of trusted ones. */
import {
  GraphQLError,
  type GraphQLSchema,
  Kind,
  NoSchemaIntrospectionCustomRule,
  type ParseOptions,
  parse,
  specifiedRules,
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

/** Why this text would be refused whatever its variables say; undefined if it would not. */
export function whyRefused(text: string, schema: GraphQLSchema, settings: GraphqlSettings): string | undefined {
  try {
    const document = parse(text, parseOptions(settings));
    const introspection = settings.introspection ? [] : [NoSchemaIntrospectionCustomRule];
    const rules = [...specifiedRules, ...introspection, ...documentRules(settings)];
    const [error] = validate(schema, document, rules, { maxErrors: 1 });
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
