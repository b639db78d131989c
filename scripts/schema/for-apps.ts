/**
 * The variant of the schema for apps: what a caller with no permission but TOKEN_ISSUE can use. It is decided here alone,
 * and what is not listed is the operators'.
 */
import {
  type DefinitionNode,
  type DocumentNode,
  type FieldDefinitionNode,
  type InputObjectTypeDefinitionNode,
  type InputValueDefinitionNode,
  type InterfaceTypeDefinitionNode,
  Kind,
  type ObjectTypeDefinitionNode,
  visit,
} from "graphql";

/** Fields, with those of their arguments that are for apps, and input fields. Enums and scalars come with what uses them. */
const FOR_APPS: Readonly<Record<string, readonly string[]>> = {
  Query: ["viewer", "node(id)", "nodes(ids)"],
  Mutation: [
    "issueAccessToken(input)",
    "exchangeTeamsUserToken(input)",
    "revokeAccessTokens(input)",
    "deleteIdentity(input)",
  ],
  IssueAccessTokenInput: ["scopes", "lifetimeMinutes", "forceNew"],
  IssueAccessTokenPayload: ["accessToken", "userErrors"],
  ExchangeTeamsUserTokenInput: ["teamsUserAadToken", "clientId", "userObjectId"],
  ExchangeTeamsUserTokenPayload: ["accessToken", "userErrors"],
  RevokeAccessTokensInput: ["reason"],
  RevokeAccessTokensPayload: ["identity", "effectiveBy", "userErrors"],
  // Naming it keeps a repeat that comes late from deleting what the user has by then.
  DeleteIdentityInput: ["identityId", "reason"],
  DeleteIdentityPayload: ["deletedIdentityId", "userErrors"],
  AccessToken: ["token", "expiresOn", "refreshAfter", "scopes", "identity"],
  TeamsAccessToken: ["token", "expiresOn", "refreshAfter"],
  UserError: ["code", "message", "path", "retryAfterSeconds"],
  Viewer: ["user", "permissions", "allowedScopes", "maxTokenLifetimeMinutes", "identity"],
  ApplicationUser: ["issuer", "subject"],
  Node: ["id"],
  CommunicationIdentity: [
    "id",
    "communicationUserId",
    "user",
    "status",
    "createdAt",
    "lastTokenIssuedAt",
    "tokensValidAfter",
    "revocationPending",
    "tokenRecords(first, after, last, before)",
  ],
  TokenRecord: ["id", "identity", "scopes", "issuedAt", "expiresOn", "fingerprint", "revoked"],
  TokenRecordConnection: ["edges", "nodes", "pageInfo", "totalCount"],
  TokenRecordEdge: ["cursor", "node"],
  PageInfo: ["hasNextPage", "hasPreviousPage", "startCursor", "endCursor"],
};

/** A sentence that says which permission something needs, such as "Needs AUDIT_READ." */
const PERMISSION = /\s*[^.]*\b[Nn]eeds? [A-Z]+_[A-Z_]+\./g;

type WithFields = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode | InputObjectTypeDefinitionNode;

/** Throws for what is listed that the schema does not have. */
export function forApps(schema: DocumentNode): DocumentNode {
  const listed = listedPlaces();
  const types = schema.definitions.filter(hasFields);
  const known = new Set(types.flatMap(placesIn));
  const unknown = [...listed].filter((place) => !known.has(place));
  if (unknown.length > 0) throw new Error(`FOR_APPS lists what the schema does not have: ${unknown.join(", ")}.`);
  const kept = types.map((type) => onlyListed(type, listed)).filter(({ fields = [] }) => fields.length > 0);
  const used = new Set(kept.flatMap(typesUsedBy));
  const isUsed = (definition: DefinitionNode) => "name" in definition && used.has(definition.name?.value ?? "");
  const values = schema.definitions.filter((definition) => !hasFields(definition) && isUsed(definition));
  return withoutPermissions({ kind: Kind.DOCUMENT, definitions: [...kept, ...values] });
}

/** Such as `Query.node`, and `Query.node(id)`. */
function listedPlaces(): ReadonlySet<string> {
  const members = Object.entries(FOR_APPS).flatMap(([type, list]) => list.map((member) => ({ type, member })));
  return new Set(
    members.flatMap(({ type, member }) => {
      const [name = "", ...argumentNames] = member.match(/\w+/g) ?? [];
      return placesOf(type, name, argumentNames);
    }),
  );
}

function placesIn({ name: { value: type }, fields = [] }: WithFields): string[] {
  return fields.flatMap((field) =>
    placesOf(
      type,
      field.name.value,
      argumentsOf(field).map(({ name }) => name.value),
    ),
  );
}

function placesOf(type: string, field: string, argumentNames: readonly string[]): string[] {
  return [`${type}.${field}`, ...argumentNames.map((name) => `${type}.${field}(${name})`)];
}

function onlyListed<Type extends WithFields>(type: Type, listed: ReadonlySet<string>): Type {
  const fields = (type.fields ?? []).filter(({ name }) => listed.has(`${type.name.value}.${name.value}`));
  return {
    ...type,
    fields: fields.map((field) => ({
      ...field,
      arguments: argumentsOf(field).filter(({ name }) =>
        listed.has(`${type.name.value}.${field.name.value}(${name.value})`),
      ),
    })),
  };
}

function argumentsOf(field: FieldDefinitionNode | InputValueDefinitionNode): readonly InputValueDefinitionNode[] {
  return ("arguments" in field && field.arguments) || [];
}

function hasFields(definition: DefinitionNode): definition is WithFields {
  return "fields" in definition;
}

function typesUsedBy(type: WithFields): string[] {
  const names: string[] = [];
  visit(type, { NamedType: ({ name }) => void names.push(name.value) });
  return names;
}

function withoutPermissions(document: DocumentNode): DocumentNode {
  return visit(document, {
    StringValue: (text, key) =>
      key === "description" ? { ...text, value: text.value.replace(PERMISSION, "").trim() } : undefined,
  });
}
