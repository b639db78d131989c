/* eslint-disable */
import * as types from './graphql.js';



/**
 * Map of all GraphQL operations in the project.
 *
 * This map has several performance disadvantages:
 * 1. It is not tree-shakeable, so it will include all operations in the project.
 * 2. It is not minifiable, so the string of a GraphQL query will be multiple times inside the bundle.
 * 3. It does not support dead code elimination, so it will add unused operations.
 *
 * Therefore it is highly recommended to use the babel or swc plugin for production.
 * Learn more about it here: https://the-guild.dev/graphql/codegen/plugins/presets/preset-client#reducing-bundle-size
 */
type Documents = {
    "fragment IdentityFields on CommunicationIdentity {\n  id\n  communicationUserId\n  user {\n    issuer\n    subject\n  }\n  status\n  createdAt\n  lastTokenIssuedAt\n  tokensValidAfter\n  revocationPending\n}\n\nfragment UserErrorFields on UserError {\n  code\n  message\n  path\n  retryAfterSeconds\n}\n\nfragment TokenRecordFields on TokenRecord {\n  id\n  identity {\n    id\n  }\n  scopes\n  issuedAt\n  expiresOn\n  fingerprint\n  revoked\n}\n\nfragment PageFields on PageInfo {\n  hasNextPage\n  hasPreviousPage\n  startCursor\n  endCursor\n}": typeof types.IdentityFieldsFragmentDoc,
    "mutation IssueAccessToken($scopes: [TokenScope!]!, $lifetimeMinutes: Int, $forceNew: Boolean) {\n  issueAccessToken(\n    input: {scopes: $scopes, lifetimeMinutes: $lifetimeMinutes, forceNew: $forceNew}\n  ) {\n    accessToken {\n      token\n      expiresOn\n      refreshAfter\n      scopes\n      identity {\n        id\n        communicationUserId\n      }\n    }\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nmutation ExchangeTeamsUserToken($teamsUserAadToken: String!, $clientId: String!, $userObjectId: String!) {\n  exchangeTeamsUserToken(\n    input: {teamsUserAadToken: $teamsUserAadToken, clientId: $clientId, userObjectId: $userObjectId}\n  ) {\n    accessToken {\n      token\n      expiresOn\n      refreshAfter\n    }\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nmutation RevokeMyAccessTokens($reason: String) {\n  revokeAccessTokens(input: {reason: $reason}) {\n    effectiveBy\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nmutation DeleteMyIdentity($identityId: ID, $reason: String) {\n  deleteIdentity(input: {identityId: $identityId, reason: $reason}) {\n    deletedIdentityId\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nquery Viewer {\n  viewer {\n    user {\n      issuer\n      subject\n    }\n    permissions\n    allowedScopes\n    maxTokenLifetimeMinutes\n    identity {\n      ...IdentityFields\n    }\n  }\n}": typeof types.IssueAccessTokenDocument,
};
const documents: Documents = {
    "fragment IdentityFields on CommunicationIdentity {\n  id\n  communicationUserId\n  user {\n    issuer\n    subject\n  }\n  status\n  createdAt\n  lastTokenIssuedAt\n  tokensValidAfter\n  revocationPending\n}\n\nfragment UserErrorFields on UserError {\n  code\n  message\n  path\n  retryAfterSeconds\n}\n\nfragment TokenRecordFields on TokenRecord {\n  id\n  identity {\n    id\n  }\n  scopes\n  issuedAt\n  expiresOn\n  fingerprint\n  revoked\n}\n\nfragment PageFields on PageInfo {\n  hasNextPage\n  hasPreviousPage\n  startCursor\n  endCursor\n}": types.IdentityFieldsFragmentDoc,
    "mutation IssueAccessToken($scopes: [TokenScope!]!, $lifetimeMinutes: Int, $forceNew: Boolean) {\n  issueAccessToken(\n    input: {scopes: $scopes, lifetimeMinutes: $lifetimeMinutes, forceNew: $forceNew}\n  ) {\n    accessToken {\n      token\n      expiresOn\n      refreshAfter\n      scopes\n      identity {\n        id\n        communicationUserId\n      }\n    }\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nmutation ExchangeTeamsUserToken($teamsUserAadToken: String!, $clientId: String!, $userObjectId: String!) {\n  exchangeTeamsUserToken(\n    input: {teamsUserAadToken: $teamsUserAadToken, clientId: $clientId, userObjectId: $userObjectId}\n  ) {\n    accessToken {\n      token\n      expiresOn\n      refreshAfter\n    }\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nmutation RevokeMyAccessTokens($reason: String) {\n  revokeAccessTokens(input: {reason: $reason}) {\n    effectiveBy\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nmutation DeleteMyIdentity($identityId: ID, $reason: String) {\n  deleteIdentity(input: {identityId: $identityId, reason: $reason}) {\n    deletedIdentityId\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nquery Viewer {\n  viewer {\n    user {\n      issuer\n      subject\n    }\n    permissions\n    allowedScopes\n    maxTokenLifetimeMinutes\n    identity {\n      ...IdentityFields\n    }\n  }\n}": types.IssueAccessTokenDocument,
};

/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "fragment IdentityFields on CommunicationIdentity {\n  id\n  communicationUserId\n  user {\n    issuer\n    subject\n  }\n  status\n  createdAt\n  lastTokenIssuedAt\n  tokensValidAfter\n  revocationPending\n}\n\nfragment UserErrorFields on UserError {\n  code\n  message\n  path\n  retryAfterSeconds\n}\n\nfragment TokenRecordFields on TokenRecord {\n  id\n  identity {\n    id\n  }\n  scopes\n  issuedAt\n  expiresOn\n  fingerprint\n  revoked\n}\n\nfragment PageFields on PageInfo {\n  hasNextPage\n  hasPreviousPage\n  startCursor\n  endCursor\n}"): typeof import('./graphql.js').IdentityFieldsFragmentDoc;
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "mutation IssueAccessToken($scopes: [TokenScope!]!, $lifetimeMinutes: Int, $forceNew: Boolean) {\n  issueAccessToken(\n    input: {scopes: $scopes, lifetimeMinutes: $lifetimeMinutes, forceNew: $forceNew}\n  ) {\n    accessToken {\n      token\n      expiresOn\n      refreshAfter\n      scopes\n      identity {\n        id\n        communicationUserId\n      }\n    }\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nmutation ExchangeTeamsUserToken($teamsUserAadToken: String!, $clientId: String!, $userObjectId: String!) {\n  exchangeTeamsUserToken(\n    input: {teamsUserAadToken: $teamsUserAadToken, clientId: $clientId, userObjectId: $userObjectId}\n  ) {\n    accessToken {\n      token\n      expiresOn\n      refreshAfter\n    }\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nmutation RevokeMyAccessTokens($reason: String) {\n  revokeAccessTokens(input: {reason: $reason}) {\n    effectiveBy\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nmutation DeleteMyIdentity($identityId: ID, $reason: String) {\n  deleteIdentity(input: {identityId: $identityId, reason: $reason}) {\n    deletedIdentityId\n    userErrors {\n      ...UserErrorFields\n    }\n  }\n}\n\nquery Viewer {\n  viewer {\n    user {\n      issuer\n      subject\n    }\n    permissions\n    allowedScopes\n    maxTokenLifetimeMinutes\n    identity {\n      ...IdentityFields\n    }\n  }\n}"): typeof import('./graphql.js').IssueAccessTokenDocument;


export function graphql(source: string) {
  return (documents as any)[source] ?? {};
}
