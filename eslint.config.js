/** The lint of the schema and of the operations, by all rules of GraphQL-ESLint but those below. TypeScript is Biome's. */
import plugin from "@graphql-eslint/eslint-plugin";

const { configs, parser } = plugin;

/** `documents` tell which fragments there are. */
const against = (schema) => ({
  languageOptions: { parser, parserOptions: { graphQLConfig: { schema, documents: "schema/operations/*.graphql" } } },
  plugins: { "@graphql-eslint": plugin },
});

const schemaRules = {
  ...configs["flat/schema-all"].rules,
  ...configs["flat/schema-relay"].rules,
  "@graphql-eslint/require-description": [
    "error",
    {
      types: true,
      DirectiveDefinition: true,
      FieldDefinition: true,
      InputValueDefinition: true,
      EnumValueDefinition: true,
    },
  ],
  // `npm run generate` sorts, in a way of its own.
  "@graphql-eslint/alphabetize": "off",
  // What is no object of its own has no id. All else that has none is a part of something else.
  "@graphql-eslint/strict-id-in-types": [
    "error",
    {
      exceptions: {
        suffixes: ["Payload", "Connection", "Edge"],
        types: [
          "AccessToken",
          "TeamsAccessToken",
          "ApplicationUser",
          "PageInfo",
          "ServiceWork",
          "TokenActivityPoint",
          "UserError",
          "Viewer",
        ],
      },
    },
  ],
  // Connections have `nodes` beside `edges`, and short lists, such as `userErrors`, are no connections.
  "@graphql-eslint/relay-edge-types": [
    "error",
    { withEdgeSuffix: true, shouldImplementNode: true, listTypeCanWrapOnlyEdgeType: false },
  ],
  // The gateway issues and revokes: there are mutations.
  "@graphql-eslint/no-root-type": "off",
  // A refusal is in the payload's userErrors, so there is a payload always; a failure leaves no data at all, whichever field is null.
  "@graphql-eslint/require-nullable-result-in-root": "off",
  // A mutation has one root field and answers what it changed. With a Query in each payload it could ask for all else, too.
  "@graphql-eslint/require-field-of-type-query-in-mutation-result": "off",
  // The date is in the reason, where every tool shows it; `npm run check:schema` requires it.
  "@graphql-eslint/require-deprecation-date": "off",
};

export default [
  { files: ["schema/schema.graphql"], ...against("schema/schema.graphql"), rules: schemaRules },
  { files: ["schema/public.graphql"], ...against("schema/public.graphql"), rules: schemaRules },
  {
    files: ["schema/operations/*.graphql"],
    ...against("schema/schema.graphql"),
    rules: {
      ...configs["flat/operations-all"].rules,
      // Fields stand in the order in which they are read: what matters first.
      "@graphql-eslint/alphabetize": "off",
      // A file holds what an app, or a dashboard, needs, to be copied as a whole.
      "@graphql-eslint/lone-executable-definition": "off",
      "@graphql-eslint/match-document-filename": "off",
      // Code generators read the folder as a whole, and know no imports.
      "@graphql-eslint/require-import-fragment": "off",
      // A fragment names what belongs together, however often it is used.
      "@graphql-eslint/no-one-place-fragments": "off",
    },
  },
];
