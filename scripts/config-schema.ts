import { isMap, isScalar, isSeq, type Node, parseDocument, type YAMLMap } from "yaml";
import { z } from "zod";
import { configShape } from "../src/config/shape.js";

/**
 * JSON Schema (draft 2020-12) of the file as one writes it: defaults may be left out, and a `${NAME}` reference may stand
 * for any number, flag or choice.
 */
function configJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(configShape, {
    io: "input",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      const { def } = zodSchema._zod;
      const inner = def.type === "pipe" ? z.toJSONSchema((def as z.core.$ZodPipeDef).out) : jsonSchema;
      if (def.type !== "pipe" && def.type !== "enum") return;
      const { $schema: _, ...value } = inner;
      const { description } = jsonSchema;
      for (const key of Object.keys(jsonSchema)) delete (jsonSchema as Record<string, unknown>)[key];
      const anyOf = [value, { type: "string", pattern: "\\$\\{[A-Z]" }];
      Object.assign(jsonSchema, { anyOf, ...(description !== undefined && { description }) });
    },
  });
}

interface JsonSchema {
  description?: string;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
}

/** The JSON Schema of the configuration, each setting described by its comment in the shipped file. */
export function describeConfigSchema(shipped: string): object {
  const schema = { title: "ACS Token Gateway configuration", ...configJsonSchema() };
  describe(parseDocument(shipped).contents, schema as JsonSchema);
  return schema;
}

function describe(node: unknown, schema: JsonSchema): void {
  if (isSeq(node) && schema.items) for (const item of node.items) describe(item, schema.items);
  if (isMap(node)) describeMap(node, schema.properties ?? {});
}

function describeMap(map: YAMLMap, properties: Record<string, JsonSchema>): void {
  for (const { key, value } of map.items) {
    const property = isScalar(key) ? properties[String(key.value)] : undefined;
    if (property === undefined) continue;
    const comment = commentOf(value as Node | null);
    if (comment !== undefined && property.description === undefined) property.description = comment;
    describe(value, property);
  }
}

/** Behind a scalar, or behind the colon of a section. */
function commentOf(value: Node | null): string | undefined {
  const comment = value?.comment ?? value?.commentBefore;
  return comment?.trim();
}
