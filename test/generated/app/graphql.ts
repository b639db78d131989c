/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** Where an identity stands in its life. */
export type IdentityStatus =
  /** Gets tokens. */
  | 'ACTIVE'
  /** Erased. What remains has neither user nor communication user id. */
  | 'DELETED'
  /** Being erased at the service; gets no tokens. */
  | 'DELETING'
  /** Asked for; the service has not made it yet. Asking for a token finishes it. */
  | 'PROVISIONING'
  /** Gets no tokens until it is reinstated; those it had are revoked. */
  | 'SUSPENDED';

/** What the gateway's policy lets a caller do. */
export type Permission =
  /** Read the audit trail. */
  | 'AUDIT_READ'
  /** Provision, suspend, reinstate, revoke and delete any identity. */
  | 'IDENTITY_MANAGE'
  /** Read identities and their token records, and what the service has yet to do about them. */
  | 'IDENTITY_READ'
  /** Issue, refresh and revoke one's own tokens; delete one's own identity. */
  | 'TOKEN_ISSUE'
  /** Issue tokens for any identity, on behalf of its user. */
  | 'TOKEN_ISSUE_ANY';

/** What an access token lets its bearer do. Maps to the service's chat, chat.join, chat.join.limited, voip, voip.join. */
export type TokenScope =
  /** Full chat: create threads, add and remove participants, send and receive. */
  | 'CHAT'
  /** Take part in chat threads to which the identity was added; no threads of its own. */
  | 'CHAT_JOIN'
  /** As CHAT_JOIN, without adding or removing participants. */
  | 'CHAT_JOIN_LIMITED'
  /** Full calling: start and join calls. */
  | 'VOIP'
  /** Join calls that exist; start none. */
  | 'VOIP_JOIN';

/** Why a mutation was refused. */
export type UserErrorCode =
  /** The identity is being deleted; try again when that is done. */
  | 'IDENTITY_DELETING'
  /** There is no such identity. */
  | 'IDENTITY_NOT_FOUND'
  /** The identity is suspended; an administrator can reinstate it. */
  | 'IDENTITY_SUSPENDED'
  /** A value is not one that could ever be accepted; the message says what is. */
  | 'INVALID_INPUT'
  /** The lifetime is under 60 minutes, or over what the policy allows. */
  | 'LIFETIME_NOT_ALLOWED'
  /** A revocation is under way and would take a new token with it; try again after `retryAfterSeconds`. */
  | 'REVOCATION_PENDING'
  /** The policy does not allow a scope that was asked for. `viewer.allowedScopes` lists what it does. */
  | 'SCOPE_NOT_ALLOWED'
  /** The service did not accept the Teams user's token for this client and user. */
  | 'TEAMS_TOKEN_REJECTED';

export type IdentityFieldsFragment = { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null };

export type UserErrorFieldsFragment = { code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null };

export type TokenRecordFieldsFragment = { id: string, scopes: Array<TokenScope>, issuedAt: string, expiresOn: string, fingerprint: string, revoked: boolean, identity: { id: string } };

export type PageFieldsFragment = { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null };

export type IssueAccessTokenMutationVariables = Exact<{
  scopes: Array<TokenScope> | TokenScope;
  lifetimeMinutes?: number | null | undefined;
  forceNew?: boolean | null | undefined;
}>;


export type IssueAccessTokenMutation = { issueAccessToken: { accessToken: { token: string, expiresOn: string, refreshAfter: string, scopes: Array<TokenScope>, identity: { id: string, communicationUserId: string | null } } | null, userErrors: Array<{ code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null }> } };

export type ExchangeTeamsUserTokenMutationVariables = Exact<{
  teamsUserAadToken: string;
  clientId: string;
  userObjectId: string;
}>;


export type ExchangeTeamsUserTokenMutation = { exchangeTeamsUserToken: { accessToken: { token: string, expiresOn: string, refreshAfter: string } | null, userErrors: Array<{ code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null }> } };

export type RevokeMyAccessTokensMutationVariables = Exact<{
  reason?: string | null | undefined;
}>;


export type RevokeMyAccessTokensMutation = { revokeAccessTokens: { effectiveBy: string | null, userErrors: Array<{ code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null }> } };

export type DeleteMyIdentityMutationVariables = Exact<{
  identityId?: string | number | null | undefined;
  reason?: string | null | undefined;
}>;


export type DeleteMyIdentityMutation = { deleteIdentity: { deletedIdentityId: string | null, userErrors: Array<{ code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null }> } };

export type ViewerQueryVariables = Exact<{ [key: string]: never; }>;


export type ViewerQuery = { viewer: { permissions: Array<Permission>, allowedScopes: Array<TokenScope>, maxTokenLifetimeMinutes: number, user: { issuer: string, subject: string }, identity: { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null } | null } };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}
export const IdentityFieldsFragmentDoc = new TypedDocumentString(`
    fragment IdentityFields on CommunicationIdentity {
  id
  communicationUserId
  user {
    issuer
    subject
  }
  status
  createdAt
  lastTokenIssuedAt
  tokensValidAfter
  revocationPending
}
    `, {"fragmentName":"IdentityFields"}) as unknown as TypedDocumentString<IdentityFieldsFragment, unknown>;
export const UserErrorFieldsFragmentDoc = new TypedDocumentString(`
    fragment UserErrorFields on UserError {
  code
  message
  path
  retryAfterSeconds
}
    `, {"fragmentName":"UserErrorFields"}) as unknown as TypedDocumentString<UserErrorFieldsFragment, unknown>;
export const TokenRecordFieldsFragmentDoc = new TypedDocumentString(`
    fragment TokenRecordFields on TokenRecord {
  id
  identity {
    id
  }
  scopes
  issuedAt
  expiresOn
  fingerprint
  revoked
}
    `, {"fragmentName":"TokenRecordFields"}) as unknown as TypedDocumentString<TokenRecordFieldsFragment, unknown>;
export const PageFieldsFragmentDoc = new TypedDocumentString(`
    fragment PageFields on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}
    `, {"fragmentName":"PageFields"}) as unknown as TypedDocumentString<PageFieldsFragment, unknown>;
export const IssueAccessTokenDocument = new TypedDocumentString(`
    mutation IssueAccessToken($scopes: [TokenScope!]!, $lifetimeMinutes: Int, $forceNew: Boolean) {
  issueAccessToken(
    input: {scopes: $scopes, lifetimeMinutes: $lifetimeMinutes, forceNew: $forceNew}
  ) {
    accessToken {
      token
      expiresOn
      refreshAfter
      scopes
      identity {
        id
        communicationUserId
      }
    }
    userErrors {
      ...UserErrorFields
    }
  }
}
    fragment UserErrorFields on UserError {
  code
  message
  path
  retryAfterSeconds
}`, {"hash":"sha256:4ac9f9dec6e37402a4c56c5a1664604162d941ffce961ea6c357c838721825ae"}) as unknown as TypedDocumentString<IssueAccessTokenMutation, IssueAccessTokenMutationVariables>;
export const ExchangeTeamsUserTokenDocument = new TypedDocumentString(`
    mutation ExchangeTeamsUserToken($teamsUserAadToken: String!, $clientId: String!, $userObjectId: String!) {
  exchangeTeamsUserToken(
    input: {teamsUserAadToken: $teamsUserAadToken, clientId: $clientId, userObjectId: $userObjectId}
  ) {
    accessToken {
      token
      expiresOn
      refreshAfter
    }
    userErrors {
      ...UserErrorFields
    }
  }
}
    fragment UserErrorFields on UserError {
  code
  message
  path
  retryAfterSeconds
}`, {"hash":"sha256:dae1d26bd5fb171d3f74748a2771e1c6fc88c954055f42b2a1f8ef7c7c0b3d86"}) as unknown as TypedDocumentString<ExchangeTeamsUserTokenMutation, ExchangeTeamsUserTokenMutationVariables>;
export const RevokeMyAccessTokensDocument = new TypedDocumentString(`
    mutation RevokeMyAccessTokens($reason: String) {
  revokeAccessTokens(input: {reason: $reason}) {
    effectiveBy
    userErrors {
      ...UserErrorFields
    }
  }
}
    fragment UserErrorFields on UserError {
  code
  message
  path
  retryAfterSeconds
}`, {"hash":"sha256:b0ea3df36d27b8d1ad00f27f6c69f5dacfe76e3b726f4d9dca4823b9d373421c"}) as unknown as TypedDocumentString<RevokeMyAccessTokensMutation, RevokeMyAccessTokensMutationVariables>;
export const DeleteMyIdentityDocument = new TypedDocumentString(`
    mutation DeleteMyIdentity($identityId: ID, $reason: String) {
  deleteIdentity(input: {identityId: $identityId, reason: $reason}) {
    deletedIdentityId
    userErrors {
      ...UserErrorFields
    }
  }
}
    fragment UserErrorFields on UserError {
  code
  message
  path
  retryAfterSeconds
}`, {"hash":"sha256:cf78c90493e683fa7088d73edc0759d7ccffd1a0cd287c63c61c25d878165d30"}) as unknown as TypedDocumentString<DeleteMyIdentityMutation, DeleteMyIdentityMutationVariables>;
export const ViewerDocument = new TypedDocumentString(`
    query Viewer {
  viewer {
    user {
      issuer
      subject
    }
    permissions
    allowedScopes
    maxTokenLifetimeMinutes
    identity {
      ...IdentityFields
    }
  }
}
    fragment IdentityFields on CommunicationIdentity {
  id
  communicationUserId
  user {
    issuer
    subject
  }
  status
  createdAt
  lastTokenIssuedAt
  tokensValidAfter
  revocationPending
}`, {"hash":"sha256:1cd82edb60cee93f63694763d6cb2491d638fc681316ce33ea5b44fd2c8e4c0a"}) as unknown as TypedDocumentString<ViewerQuery, ViewerQueryVariables>;