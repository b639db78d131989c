import "reflect-metadata";
import { readdirSync, readFileSync } from "node:fs";
import {
  buildSchema,
  type DocumentNode,
  type FieldNode,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLObjectType,
  getDirectiveValues,
  getNamedType,
  getNullableType,
  isListType,
  Kind,
  type OperationDefinitionNode,
  parse,
  type SelectionSetNode,
  valueFromASTUntyped,
} from "graphql";
import { describe, expect, it } from "vitest";
import { costOf } from "../../src/graphql/cost.js";
import { createSchema } from "../../src/graphql/schema.js";

const published = buildSchema(readFileSync("schema/schema.graphql", "utf8"));
const executable = await createSchema();

/** What the directives of IBM's cost specification say: the type cost, of all that an operation can bring up. */
class Calculator {
  constructor(
    private readonly document: DocumentNode,
    private readonly variables: Record<string, unknown>,
  ) {}

  of({ operation, selectionSet }: OperationDefinitionNode): number {
    const root = published.getRootType(operation);
    if (!root) throw new Error("no such operation");
    return this.#weight(root) + this.#selected(root, selectionSet, undefined);
  }

  #selected(type: GraphQLNamedType, { selections }: SelectionSetNode, sized: ListSize | undefined): number {
    return selections.reduce((sum, selection) => {
      if (selection.kind === Kind.INLINE_FRAGMENT) {
        const on = published.getType(selection.typeCondition?.name.value ?? type.name);
        return sum + this.#selected(on as GraphQLNamedType, selection.selectionSet, sized);
      }
      if (selection.kind === Kind.FRAGMENT_SPREAD) {
        const fragment = this.document.definitions.find(
          (found) => found.kind === Kind.FRAGMENT_DEFINITION && found.name.value === selection.name.value,
        );
        if (fragment?.kind !== Kind.FRAGMENT_DEFINITION) throw new Error("no such fragment");
        const on = published.getType(fragment.typeCondition.name.value);
        return sum + this.#selected(on as GraphQLNamedType, fragment.selectionSet, sized);
      }
      const field = (type as GraphQLObjectType).getFields()[selection.name.value];
      if (!field || !selection.selectionSet) return sum;
      const size = this.#listSize(field, selection);
      const answered = getNamedType(field.type);
      const each = this.#weight(answered) + this.#selected(answered, selection.selectionSet, size?.sizedFields && size);
      const isSized = sized?.sizedFields?.includes(field.name);
      const isList = isListType(getNullableType(field.type));
      const times = !isList ? 1 : isSized ? sized?.size : size?.size;
      return sum + (times ?? 1) * each;
    }, 0);
  }

  #weight({ astNode }: GraphQLNamedType): number {
    const directive = published.getDirective("cost");
    const values = directive && astNode && getDirectiveValues(directive, astNode);
    return Number(values?.weight ?? 1);
  }

  #listSize({ astNode, args }: GraphQLField<unknown, unknown>, node: FieldNode): ListSize | undefined {
    const directive = published.getDirective("listSize");
    const values = directive && astNode ? getDirectiveValues(directive, astNode) : undefined;
    if (values === undefined) return undefined;
    const { assumedSize, slicingArguments = [], sizedFields } = values as unknown as Directive;
    const sizes = slicingArguments.flatMap((name) => {
      const given = node.arguments?.find((argument) => argument.name.value === name)?.value;
      const value =
        (given && valueFromASTUntyped(given, this.variables)) ?? args.find((arg) => arg.name === name)?.defaultValue;
      return Array.isArray(value) ? value.length : typeof value === "number" ? value : [];
    });
    return { size: sizes.length > 0 ? Math.max(...sizes) : assumedSize, sizedFields };
  }
}

interface Directive {
  readonly assumedSize: number;
  readonly slicingArguments?: readonly string[];
  readonly sizedFields?: readonly string[];
}

interface ListSize {
  readonly size: number;
  readonly sizedFields: readonly string[] | undefined;
}

const operations = readdirSync("schema/operations").map((file) => readFileSync(`schema/operations/${file}`, "utf8"));
const OWN = [
  "{ viewer { user { subject } } }",
  "query ($n: Int) { identities(first: $n) { nodes { id user { issuer } tokenRecords(last: 7) { edges { node { identity { id } } } } } } }",
  "query ($n: Int) { identities(first: 3, last: $n) { edges { node { user { issuer } } } pageInfo { endCursor } totalCount } }",
  "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on CommunicationIdentity { auditEvents(first: 2) { ...Events } } } } fragment Events on AuditEventConnection { nodes { actor { subject } } edges { node { identity { user { issuer } } } } }",
  '{ a: nodes(ids: ["x", "y"]) { id } b: pendingServiceWork { identity { id } } c: provisioningAttemptsInDoubt(first: 4) { identity { id } } }',
  "mutation { revokeAccessTokens(input: {}) { identity { id } userErrors { code } } }",
  '{ tokenActivity(since: "2026-01-01T00:00:00Z") { start issued } }',
];

describe("the cost of an operation", () => {
  it("is what docs/schema.md says of its example", () => {
    const [, told, text = ""] =
      /= (\d+) for\n\n```graphql\n(.*)\n```/.exec(readFileSync("docs/schema.md", "utf8")) ?? [];
    const document = parse(text);
    const [operation] = document.definitions;
    if (operation?.kind !== Kind.OPERATION_DEFINITION) throw new Error("no operation");
    expect(costOf({ schema: executable, document, operation, variables: {} }).cost).toBe(Number(told));
  });
});

describe("the directives of the published schema", () => {
  const document = parse(operations.join("\n"));
  const samples = [
    ...document.definitions.flatMap((operation) =>
      operation.kind === Kind.OPERATION_DEFINITION ? [{ document, operation }] : [],
    ),
    ...OWN.map((text) => {
      const document = parse(text);
      const [operation] = document.definitions;
      if (operation?.kind !== Kind.OPERATION_DEFINITION) throw new Error("no operation");
      return { document, operation };
    }),
  ];
  const variables: Record<string, unknown>[] = [
    {},
    { n: 5, first: 20, ids: ["a", "b", "c"] },
    { n: 100, last: 1, ids: [] },
  ];

  it.each(variables)("say what the gateway counts, with %o", (given) => {
    const counts = samples.map(({ document, operation }) => {
      const name = operation.name?.value ?? "own";
      const byDirectives = new Calculator(document, given).of(operation);
      const { cost } = costOf({ schema: executable, document, operation, variables: given });
      return { name, byDirectives, cost };
    });
    expect(counts.length).toBeGreaterThan(25);
    expect(counts.filter(({ cost, byDirectives }) => cost !== byDirectives)).toEqual([]);
    expect(counts.some(({ cost }) => cost > 1000)).toBe(Object.keys(given).length === 0 || "last" in given);
  });
});
