/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** A user as the identity provider knows them: issuer and subject, both compared exactly. */
export type ApplicationUserInput = {
  /** The `iss` of the user's tokens. */
  issuer: string;
  /** The value of the configured subject claim, 1 to 255 characters. */
  subject: string;
};

/** What an audit event is about. */
export type AuditAction =
  /** An identity was deleted, and its tokens with it: it is of no use any more, and the service is told. */
  | 'IDENTITY_DELETED'
  /** An identity was made. */
  | 'IDENTITY_PROVISIONED'
  /** A suspended identity gets tokens again. */
  | 'IDENTITY_REINSTATED'
  /** An identity was suspended, and its tokens are revoked, as by TOKENS_REVOKED. */
  | 'IDENTITY_SUSPENDED'
  /** A token in the name of a Teams user was handed out. */
  | 'TEAMS_TOKEN_EXCHANGED'
  /** All tokens of an identity that there were are revoked: none is handed out any more, and the service is told. */
  | 'TOKENS_REVOKED'
  /** A new token was asked for at the service and handed out. */
  | 'TOKEN_ISSUED'
  /** A token was asked for and not given; `reason` has the code. */
  | 'TOKEN_REFUSED'
  /** A token that was issued before was handed out again. */
  | 'TOKEN_REUSED';

/** Conditions that must all hold; one that is left out or null holds always. */
export type AuditEventFilter = {
  /** The action is one of these. */
  action?: Array<AuditAction> | null | undefined;
  /** This user asked. */
  actor?: ApplicationUserInput | null | undefined;
  /** It is about this identity, deleted or not. */
  identityId?: string | number | null | undefined;
  /** Recorded at this instant or later. */
  since?: string | null | undefined;
  /** It names the token with this fingerprint. */
  tokenFingerprint?: string | null | undefined;
  /** Recorded before this instant. */
  until?: string | null | undefined;
};

/** Work that needs the service is recorded twice, so that a crash in between leaves a trace. */
export type AuditPhase =
  /** Written before the service was asked. Without an OUTCOME of the same request: asked, outcome unknown. */
  | 'INTENT'
  /** What happened. What the service is told of a revocation, suspension or deletion comes after it, however often that takes. */
  | 'OUTCOME';

/** Conditions that must all hold; one that is left out or null holds always. */
export type IdentityFilter = {
  /** Asked for at this instant or later. */
  createdSince?: string | null | undefined;
  /** Asked for before this instant. */
  createdUntil?: string | null | undefined;
  /** The user's issuer is exactly this. */
  issuer?: string | null | undefined;
  /** The status is one of these. */
  status?: Array<IdentityStatus> | null | undefined;
  /** The user's subject begins with this, case and all. 1 to 255 characters. */
  subjectPrefix?: string | null | undefined;
};

/** An order of identities. Equal ones are ordered by id, so that pages never overlap. */
export type IdentityOrder = {
  /** Which end comes first. */
  direction: OrderDirection;
  /** What to order by. */
  field: IdentityOrderField;
};

/** What identities can be ordered by. */
export type IdentityOrderField =
  /** When the identity was asked for. */
  | 'CREATED_AT'
  /** When it last got a token; identities that never did count as oldest. */
  | 'LAST_TOKEN_ISSUED_AT';

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

/** Which end of an order comes first. */
export type OrderDirection =
  /** Lowest, or oldest, first. */
  | 'ASC'
  /** Highest, or newest, first. */
  | 'DESC';

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

/** What the service has to do to an identity. */
export type ServiceAction =
  /** Delete the identity with all that belongs to it. */
  | 'DELETE'
  /** Revoke every token issued so far. */
  | 'REVOKE';

/** How long a bucket of a plot is; buckets begin in UTC. */
export type TimeBucket =
  /** A whole day, from midnight. */
  | 'DAY'
  /** A whole hour. */
  | 'HOUR'
  /** A whole minute. */
  | 'MINUTE';

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

export type IdentitiesQueryVariables = Exact<{
  first?: number | null | undefined;
  after?: string | null | undefined;
  last?: number | null | undefined;
  before?: string | null | undefined;
  filter?: IdentityFilter | null | undefined;
  orderBy?: IdentityOrder | null | undefined;
}>;


export type IdentitiesQuery = { identities: { totalCount: number, edges: Array<{ cursor: string, node: { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } } };

export type IdentityQueryVariables = Exact<{
  id: string | number;
}>;


export type IdentityQuery = { node:
    | { id: string }
    | { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null }
    | { id: string }
   | null };

export type IdentitiesByIdQueryVariables = Exact<{
  ids: Array<string | number> | string | number;
}>;


export type IdentitiesByIdQuery = { nodes: Array<
    | { id: string }
    | { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null }
    | { id: string }
   | null> };

export type IdentityByUserQueryVariables = Exact<{
  user: ApplicationUserInput;
}>;


export type IdentityByUserQuery = { identityByUser: { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null } | null };

export type IdentityByCommunicationUserIdQueryVariables = Exact<{
  communicationUserId: string;
}>;


export type IdentityByCommunicationUserIdQuery = { identityByCommunicationUserId: { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null } | null };

export type ProvisionIdentityMutationVariables = Exact<{
  user: ApplicationUserInput;
}>;


export type ProvisionIdentityMutation = { provisionIdentity: { identity: { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null } | null, userErrors: Array<{ code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null }> } };

export type IssueAccessTokenOnBehalfMutationVariables = Exact<{
  identityId: string | number;
  scopes: Array<TokenScope> | TokenScope;
  lifetimeMinutes?: number | null | undefined;
}>;


export type IssueAccessTokenOnBehalfMutation = { issueAccessToken: { accessToken: { token: string, expiresOn: string, refreshAfter: string, scopes: Array<TokenScope>, identity: { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null } } | null, userErrors: Array<{ code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null }> } };

export type RevokeAccessTokensMutationVariables = Exact<{
  identityId: string | number;
  reason?: string | null | undefined;
}>;


export type RevokeAccessTokensMutation = { revokeAccessTokens: { effectiveBy: string | null, identity: { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null } | null, userErrors: Array<{ code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null }> } };

export type SuspendIdentityMutationVariables = Exact<{
  identityId: string | number;
  reason?: string | null | undefined;
}>;


export type SuspendIdentityMutation = { suspendIdentity: { identity: { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null } | null, userErrors: Array<{ code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null }> } };

export type ReinstateIdentityMutationVariables = Exact<{
  identityId: string | number;
  reason?: string | null | undefined;
}>;


export type ReinstateIdentityMutation = { reinstateIdentity: { identity: { id: string, communicationUserId: string | null, status: IdentityStatus, createdAt: string, lastTokenIssuedAt: string | null, tokensValidAfter: string | null, revocationPending: boolean, user: { issuer: string, subject: string } | null } | null, userErrors: Array<{ code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null }> } };

export type DeleteIdentityMutationVariables = Exact<{
  identityId: string | number;
  reason?: string | null | undefined;
}>;


export type DeleteIdentityMutation = { deleteIdentity: { deletedIdentityId: string | null, userErrors: Array<{ code: UserErrorCode, message: string, path: Array<string>, retryAfterSeconds: number | null }> } };

export type OperationsQueryVariables = Exact<{ [key: string]: never; }>;


export type OperationsQuery = { provisioningAttemptsInDoubt: Array<{ id: string, startedAt: string, endedAt: string | null, identity: { id: string } | null }>, pendingServiceWork: Array<{ communicationUserId: string, action: ServiceAction, createdAt: string, nextTryAt: string, tries: number, lastError: string | null, identity: { id: string } | null }> };

export type AuditEventsQueryVariables = Exact<{
  first?: number | null | undefined;
  after?: string | null | undefined;
  last?: number | null | undefined;
  before?: string | null | undefined;
  filter?: AuditEventFilter | null | undefined;
}>;


export type AuditEventsQuery = { auditEvents: { edges: Array<{ cursor: string, node: { id: string, at: string, action: AuditAction, phase: AuditPhase, scopes: Array<TokenScope> | null, tokenFingerprint: string | null, tokenExpiresOn: string | null, reason: string | null, requestId: string, clientName: string | null, clientVersion: string | null, sequence: number, hash: string, actor: { issuer: string, subject: string } | null, identity: { id: string } | null } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } } };

export type AuditEventAddedSubscriptionVariables = Exact<{
  after?: string | null | undefined;
  filter?: AuditEventFilter | null | undefined;
}>;


export type AuditEventAddedSubscription = { auditEventAdded: { cursor: string, node: { id: string, at: string, action: AuditAction, phase: AuditPhase, scopes: Array<TokenScope> | null, tokenFingerprint: string | null, tokenExpiresOn: string | null, reason: string | null, requestId: string, clientName: string | null, clientVersion: string | null, sequence: number, hash: string, actor: { issuer: string, subject: string } | null, identity: { id: string } | null } } };

export type CountAuditEventsQueryVariables = Exact<{
  filter?: AuditEventFilter | null | undefined;
}>;


export type CountAuditEventsQuery = { auditEvents: { totalCount: number } };

export type IdentityAuditEventsQueryVariables = Exact<{
  id: string | number;
  first?: number | null | undefined;
  after?: string | null | undefined;
  last?: number | null | undefined;
  before?: string | null | undefined;
}>;


export type IdentityAuditEventsQuery = { node:
    | { id: string }
    | { id: string, auditEvents: { totalCount: number, edges: Array<{ cursor: string, node: { id: string, at: string, action: AuditAction, phase: AuditPhase, scopes: Array<TokenScope> | null, tokenFingerprint: string | null, tokenExpiresOn: string | null, reason: string | null, requestId: string, clientName: string | null, clientVersion: string | null, sequence: number, hash: string, actor: { issuer: string, subject: string } | null, identity: { id: string } | null } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } } }
    | { id: string }
   | null };

export type IdentityTokenRecordsQueryVariables = Exact<{
  id: string | number;
  first?: number | null | undefined;
  after?: string | null | undefined;
  last?: number | null | undefined;
  before?: string | null | undefined;
}>;


export type IdentityTokenRecordsQuery = { node:
    | { id: string }
    | { id: string, tokenRecords: { totalCount: number, edges: Array<{ cursor: string, node: { id: string, scopes: Array<TokenScope>, issuedAt: string, expiresOn: string, fingerprint: string, revoked: boolean, identity: { id: string } } }>, pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null } } }
    | { id: string }
   | null };

export type AuditEventsByIdQueryVariables = Exact<{
  ids: Array<string | number> | string | number;
}>;


export type AuditEventsByIdQuery = { nodes: Array<
    | { id: string, at: string, action: AuditAction, phase: AuditPhase, scopes: Array<TokenScope> | null, tokenFingerprint: string | null, tokenExpiresOn: string | null, reason: string | null, requestId: string, clientName: string | null, clientVersion: string | null, sequence: number, hash: string, actor: { issuer: string, subject: string } | null, identity: { id: string } | null }
    | { id: string }
    | { id: string }
   | null> };

export type TokenRecordsByIdQueryVariables = Exact<{
  ids: Array<string | number> | string | number;
}>;


export type TokenRecordsByIdQuery = { nodes: Array<
    | { id: string }
    | { id: string }
    | { id: string, scopes: Array<TokenScope>, issuedAt: string, expiresOn: string, fingerprint: string, revoked: boolean, identity: { id: string } }
   | null> };

export type TokenActivityQueryVariables = Exact<{
  since: string;
  until?: string | null | undefined;
  bucket?: TimeBucket;
}>;


export type TokenActivityQuery = { tokenActivity: Array<{ start: string, issued: number, reused: number, refused: number, revoked: number }> };

export type AuditEventFieldsFragment = { id: string, at: string, action: AuditAction, phase: AuditPhase, scopes: Array<TokenScope> | null, tokenFingerprint: string | null, tokenExpiresOn: string | null, reason: string | null, requestId: string, clientName: string | null, clientVersion: string | null, sequence: number, hash: string, actor: { issuer: string, subject: string } | null, identity: { id: string } | null };

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
export const AuditEventFieldsFragmentDoc = new TypedDocumentString(`
    fragment AuditEventFields on AuditEvent {
  id
  at
  action
  phase
  actor {
    issuer
    subject
  }
  identity {
    id
  }
  scopes
  tokenFingerprint
  tokenExpiresOn
  reason
  requestId
  clientName
  clientVersion
  sequence
  hash
}
    `, {"fragmentName":"AuditEventFields"}) as unknown as TypedDocumentString<AuditEventFieldsFragment, unknown>;
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
export const IdentitiesDocument = new TypedDocumentString(`
    query Identities($first: Int, $after: String, $last: Int, $before: String, $filter: IdentityFilter, $orderBy: IdentityOrder) {
  identities(
    first: $first
    after: $after
    last: $last
    before: $before
    filter: $filter
    orderBy: $orderBy
  ) {
    totalCount
    edges {
      cursor
      node {
        ...IdentityFields
      }
    }
    pageInfo {
      hasNextPage
      hasPreviousPage
      startCursor
      endCursor
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
}`, {"hash":"sha256:f52568f33e2afa4e0c8083ec4551cab33bea830ee0eadaa749f8159817e33ca1"}) as unknown as TypedDocumentString<IdentitiesQuery, IdentitiesQueryVariables>;
export const IdentityDocument = new TypedDocumentString(`
    query Identity($id: ID!) {
  node(id: $id) {
    id
    ...IdentityFields
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
}`, {"hash":"sha256:cd12a9984bc931e1f913b3127beeed4c34b459c58641bf47c2c1c72ed70fcb64"}) as unknown as TypedDocumentString<IdentityQuery, IdentityQueryVariables>;
export const IdentitiesByIdDocument = new TypedDocumentString(`
    query IdentitiesById($ids: [ID!]!) {
  nodes(ids: $ids) {
    id
    ...IdentityFields
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
}`, {"hash":"sha256:6ca1f882ea391add67753f40a6a010d627540d2fc680c74c4b889c49703b6fc5"}) as unknown as TypedDocumentString<IdentitiesByIdQuery, IdentitiesByIdQueryVariables>;
export const IdentityByUserDocument = new TypedDocumentString(`
    query IdentityByUser($user: ApplicationUserInput!) {
  identityByUser(user: $user) {
    ...IdentityFields
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
}`, {"hash":"sha256:79370d43a4871cde12fe32698d9c0dc68ac42cdeacb4df0f298a84f5989df953"}) as unknown as TypedDocumentString<IdentityByUserQuery, IdentityByUserQueryVariables>;
export const IdentityByCommunicationUserIdDocument = new TypedDocumentString(`
    query IdentityByCommunicationUserId($communicationUserId: CommunicationUserId!) {
  identityByCommunicationUserId(communicationUserId: $communicationUserId) {
    ...IdentityFields
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
}`, {"hash":"sha256:8eb51c99e5c350aed484c1cc5594e1c17e1e436f6465bff4ac3ca6dd096cf20d"}) as unknown as TypedDocumentString<IdentityByCommunicationUserIdQuery, IdentityByCommunicationUserIdQueryVariables>;
export const ProvisionIdentityDocument = new TypedDocumentString(`
    mutation ProvisionIdentity($user: ApplicationUserInput!) {
  provisionIdentity(input: {user: $user}) {
    identity {
      ...IdentityFields
    }
    userErrors {
      ...UserErrorFields
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
}
fragment UserErrorFields on UserError {
  code
  message
  path
  retryAfterSeconds
}`, {"hash":"sha256:314bf15563a7ff0907795946135182e1ce1cbfcc8317f0f7552108374fb6d7d6"}) as unknown as TypedDocumentString<ProvisionIdentityMutation, ProvisionIdentityMutationVariables>;
export const IssueAccessTokenOnBehalfDocument = new TypedDocumentString(`
    mutation IssueAccessTokenOnBehalf($identityId: ID!, $scopes: [TokenScope!]!, $lifetimeMinutes: Int) {
  issueAccessToken(
    input: {identityId: $identityId, scopes: $scopes, lifetimeMinutes: $lifetimeMinutes}
  ) {
    accessToken {
      token
      expiresOn
      refreshAfter
      scopes
      identity {
        ...IdentityFields
      }
    }
    userErrors {
      ...UserErrorFields
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
}
fragment UserErrorFields on UserError {
  code
  message
  path
  retryAfterSeconds
}`, {"hash":"sha256:263e7844d8879d30f35332f7835c0a0cc7bd5096d2e16ef661823f3dbf85a26a"}) as unknown as TypedDocumentString<IssueAccessTokenOnBehalfMutation, IssueAccessTokenOnBehalfMutationVariables>;
export const RevokeAccessTokensDocument = new TypedDocumentString(`
    mutation RevokeAccessTokens($identityId: ID!, $reason: String) {
  revokeAccessTokens(input: {identityId: $identityId, reason: $reason}) {
    effectiveBy
    identity {
      ...IdentityFields
    }
    userErrors {
      ...UserErrorFields
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
}
fragment UserErrorFields on UserError {
  code
  message
  path
  retryAfterSeconds
}`, {"hash":"sha256:9d5b172321fcfe70e8e492225733ab773ef16687aab9b2c38a4e8b29aeffea09"}) as unknown as TypedDocumentString<RevokeAccessTokensMutation, RevokeAccessTokensMutationVariables>;
export const SuspendIdentityDocument = new TypedDocumentString(`
    mutation SuspendIdentity($identityId: ID!, $reason: String) {
  suspendIdentity(input: {identityId: $identityId, reason: $reason}) {
    identity {
      ...IdentityFields
    }
    userErrors {
      ...UserErrorFields
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
}
fragment UserErrorFields on UserError {
  code
  message
  path
  retryAfterSeconds
}`, {"hash":"sha256:981eb38b71bcbc6a8f9b218ae3b4b874c6ce4b9af58537d0943e2c18f1e1965a"}) as unknown as TypedDocumentString<SuspendIdentityMutation, SuspendIdentityMutationVariables>;
export const ReinstateIdentityDocument = new TypedDocumentString(`
    mutation ReinstateIdentity($identityId: ID!, $reason: String) {
  reinstateIdentity(input: {identityId: $identityId, reason: $reason}) {
    identity {
      ...IdentityFields
    }
    userErrors {
      ...UserErrorFields
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
}
fragment UserErrorFields on UserError {
  code
  message
  path
  retryAfterSeconds
}`, {"hash":"sha256:266a47cd86bf7b7dbcb7c90e15ebc313329cb06a0101805ec7e1ab2fe3b1fd30"}) as unknown as TypedDocumentString<ReinstateIdentityMutation, ReinstateIdentityMutationVariables>;
export const DeleteIdentityDocument = new TypedDocumentString(`
    mutation DeleteIdentity($identityId: ID!, $reason: String) {
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
}`, {"hash":"sha256:77050f1bd82c20646d176496a534ff66bd405d0b56ef69dc982e84721aff5d80"}) as unknown as TypedDocumentString<DeleteIdentityMutation, DeleteIdentityMutationVariables>;
export const OperationsDocument = new TypedDocumentString(`
    query Operations {
  provisioningAttemptsInDoubt {
    id
    startedAt
    endedAt
    identity {
      id
    }
  }
  pendingServiceWork {
    communicationUserId
    action
    createdAt
    nextTryAt
    tries
    lastError
    identity {
      id
    }
  }
}
    `, {"hash":"sha256:e7a0bff98290284296cc72498540e5721d4651d86b29662503d59a1a078e6ba7"}) as unknown as TypedDocumentString<OperationsQuery, OperationsQueryVariables>;
export const AuditEventsDocument = new TypedDocumentString(`
    query AuditEvents($first: Int, $after: String, $last: Int, $before: String, $filter: AuditEventFilter) {
  auditEvents(
    first: $first
    after: $after
    last: $last
    before: $before
    filter: $filter
  ) {
    edges {
      cursor
      node {
        ...AuditEventFields
      }
    }
    pageInfo {
      ...PageFields
    }
  }
}
    fragment AuditEventFields on AuditEvent {
  id
  at
  action
  phase
  actor {
    issuer
    subject
  }
  identity {
    id
  }
  scopes
  tokenFingerprint
  tokenExpiresOn
  reason
  requestId
  clientName
  clientVersion
  sequence
  hash
}
fragment PageFields on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}`, {"hash":"sha256:5dda1213a0d95fa07803c8b4a73601a01ecac9a55d3efd0436c7fab8213c74fc"}) as unknown as TypedDocumentString<AuditEventsQuery, AuditEventsQueryVariables>;
export const AuditEventAddedDocument = new TypedDocumentString(`
    subscription AuditEventAdded($after: String, $filter: AuditEventFilter) {
  auditEventAdded(after: $after, filter: $filter) {
    cursor
    node {
      ...AuditEventFields
    }
  }
}
    fragment AuditEventFields on AuditEvent {
  id
  at
  action
  phase
  actor {
    issuer
    subject
  }
  identity {
    id
  }
  scopes
  tokenFingerprint
  tokenExpiresOn
  reason
  requestId
  clientName
  clientVersion
  sequence
  hash
}`, {"hash":"sha256:6181eee757f18a8c100cba9ed968d9d09fbb74ff35eb6159f9fe14363e6301b6"}) as unknown as TypedDocumentString<AuditEventAddedSubscription, AuditEventAddedSubscriptionVariables>;
export const CountAuditEventsDocument = new TypedDocumentString(`
    query CountAuditEvents($filter: AuditEventFilter) {
  auditEvents(first: 1, filter: $filter) {
    totalCount
  }
}
    `, {"hash":"sha256:9726f2c718d7af7c94fcedbcbeb1b952a54824695f043cac0b86209a6a3a6218"}) as unknown as TypedDocumentString<CountAuditEventsQuery, CountAuditEventsQueryVariables>;
export const IdentityAuditEventsDocument = new TypedDocumentString(`
    query IdentityAuditEvents($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
  node(id: $id) {
    id
    ... on CommunicationIdentity {
      auditEvents(first: $first, after: $after, last: $last, before: $before) {
        totalCount
        edges {
          cursor
          node {
            ...AuditEventFields
          }
        }
        pageInfo {
          ...PageFields
        }
      }
    }
  }
}
    fragment AuditEventFields on AuditEvent {
  id
  at
  action
  phase
  actor {
    issuer
    subject
  }
  identity {
    id
  }
  scopes
  tokenFingerprint
  tokenExpiresOn
  reason
  requestId
  clientName
  clientVersion
  sequence
  hash
}
fragment PageFields on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}`, {"hash":"sha256:6c9c3f9df607efa43247b81e3ef4062ce664e0bcaae5dbcec6fff500d0d48b4e"}) as unknown as TypedDocumentString<IdentityAuditEventsQuery, IdentityAuditEventsQueryVariables>;
export const IdentityTokenRecordsDocument = new TypedDocumentString(`
    query IdentityTokenRecords($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
  node(id: $id) {
    id
    ... on CommunicationIdentity {
      tokenRecords(first: $first, after: $after, last: $last, before: $before) {
        totalCount
        edges {
          cursor
          node {
            ...TokenRecordFields
          }
        }
        pageInfo {
          ...PageFields
        }
      }
    }
  }
}
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
fragment PageFields on PageInfo {
  hasNextPage
  hasPreviousPage
  startCursor
  endCursor
}`, {"hash":"sha256:5420f0c887036053e2125397f73bcd49c5487ff841da95ea68c976b8ebe53e6b"}) as unknown as TypedDocumentString<IdentityTokenRecordsQuery, IdentityTokenRecordsQueryVariables>;
export const AuditEventsByIdDocument = new TypedDocumentString(`
    query AuditEventsById($ids: [ID!]!) {
  nodes(ids: $ids) {
    id
    ...AuditEventFields
  }
}
    fragment AuditEventFields on AuditEvent {
  id
  at
  action
  phase
  actor {
    issuer
    subject
  }
  identity {
    id
  }
  scopes
  tokenFingerprint
  tokenExpiresOn
  reason
  requestId
  clientName
  clientVersion
  sequence
  hash
}`, {"hash":"sha256:289022efeb5c537ef09a5c158e3f7487e0c40dd95ffbb9efa1448667c5bae0b9"}) as unknown as TypedDocumentString<AuditEventsByIdQuery, AuditEventsByIdQueryVariables>;
export const TokenRecordsByIdDocument = new TypedDocumentString(`
    query TokenRecordsById($ids: [ID!]!) {
  nodes(ids: $ids) {
    id
    ...TokenRecordFields
  }
}
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
}`, {"hash":"sha256:8edab43430964aadea516b3ccc04c4c31d06621361a0246490e45b222149f7bb"}) as unknown as TypedDocumentString<TokenRecordsByIdQuery, TokenRecordsByIdQueryVariables>;
export const TokenActivityDocument = new TypedDocumentString(`
    query TokenActivity($since: DateTime!, $until: DateTime, $bucket: TimeBucket! = HOUR) {
  tokenActivity(since: $since, until: $until, bucket: $bucket) {
    start
    issued
    reused
    refused
    revoked
  }
}
    `, {"hash":"sha256:87033d3bfd41727848b748cd2fd3ee9ab7374e65586d5de0718f124c6e45e85c"}) as unknown as TypedDocumentString<TokenActivityQuery, TokenActivityQueryVariables>;
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