/** The schema's enums. Inside, each value is its own name, so that services need none of this. */
import { registerEnumType } from "type-graphql";
import type { TimeBucket as BucketName } from "../audit/query.js";
import type { AuditPhase as PhaseName, AuditAction as TrailActionName } from "../audit/record.js";
import type { Permission as PermissionName, TokenScope as ScopeName } from "../config/config.js";
import type { RefusalCode } from "../errors.js";
import type { IdentityOrderField as OrderFieldName, IdentityStatus as StatusName } from "../identities/identity.js";

import type { ServiceAction as ActionName } from "../identities/service-work.js";

type Descriptions<Name extends string> = Readonly<Record<Name, string>>;

function enumeration<Name extends string>(
  name: string,
  description: string,
  values: Descriptions<Name>,
): { [Key in Name]: Key } {
  const names = Object.keys(values) as Name[];
  const enumObject = Object.fromEntries(names.map((value) => [value, value])) as { [Key in Name]: Key };
  const valuesConfig = Object.fromEntries(names.map((value) => [value, { description: values[value] }]));
  registerEnumType<Record<string, string>>(enumObject, { name, description, valuesConfig });
  return enumObject;
}

export const TokenScope = enumeration<ScopeName>(
  "TokenScope",
  "What an access token lets its bearer do. Maps to the service's chat, chat.join, chat.join.limited, voip, voip.join.",
  {
    CHAT: "Full chat: create threads, add and remove participants, send and receive.",
    CHAT_JOIN: "Take part in chat threads to which the identity was added; no threads of its own.",
    CHAT_JOIN_LIMITED: "As CHAT_JOIN, without adding or removing participants.",
    VOIP: "Full calling: start and join calls.",
    VOIP_JOIN: "Join calls that exist; start none.",
  },
);

export const Permission = enumeration<PermissionName>("Permission", "What the gateway's policy lets a caller do.", {
  TOKEN_ISSUE: "Issue, refresh and revoke one's own tokens; delete one's own identity.",
  TOKEN_ISSUE_ANY: "Issue tokens for any identity, on behalf of its user.",
  IDENTITY_READ: "Read identities and their token records, and what the service has yet to do about them.",
  IDENTITY_MANAGE: "Provision, suspend, reinstate, revoke and delete any identity.",
  AUDIT_READ: "Read the audit trail.",
});

export const IdentityStatus = enumeration<StatusName>("IdentityStatus", "Where an identity stands in its life.", {
  PROVISIONING: "Asked for; the service has not made it yet. Asking for a token finishes it.",
  ACTIVE: "Gets tokens.",
  SUSPENDED: "Gets no tokens until it is reinstated; those it had are revoked.",
  DELETING: "Being erased at the service; gets no tokens.",
  DELETED: "Erased. What remains has neither user nor communication user id.",
});

export const UserErrorCode = enumeration<RefusalCode>("UserErrorCode", "Why a mutation was refused.", {
  SCOPE_NOT_ALLOWED: "The policy does not allow a scope that was asked for. `viewer.allowedScopes` lists what it does.",
  LIFETIME_NOT_ALLOWED: "The lifetime is under 60 minutes, or over what the policy allows.",
  IDENTITY_NOT_FOUND: "There is no such identity.",
  IDENTITY_SUSPENDED: "The identity is suspended; an administrator can reinstate it.",
  IDENTITY_DELETING: "The identity is being deleted; try again when that is done.",
  REVOCATION_PENDING:
    "A revocation is under way and would take a new token with it; try again after `retryAfterSeconds`.",
  TEAMS_TOKEN_REJECTED: "The service did not accept the Teams user's token for this client and user.",
  INVALID_INPUT: "A value is not one that could ever be accepted; the message says what is.",
});

export const IdentityOrderField = enumeration<OrderFieldName>(
  "IdentityOrderField",
  "What identities can be ordered by.",
  {
    CREATED_AT: "When the identity was asked for.",
    LAST_TOKEN_ISSUED_AT: "When it last got a token; identities that never did count as oldest.",
  },
);

export const OrderDirection = enumeration<"ASC" | "DESC">("OrderDirection", "Which end of an order comes first.", {
  ASC: "Lowest, or oldest, first.",
  DESC: "Highest, or newest, first.",
});

export const ServiceAction = enumeration<ActionName>("ServiceAction", "What the service has to do to an identity.", {
  REVOKE: "Revoke every token issued so far.",
  DELETE: "Delete the identity with all that belongs to it.",
});

export const AuditAction = enumeration<TrailActionName>("AuditAction", "What an audit event is about.", {
  TOKEN_ISSUED: "A new token was asked for at the service and handed out.",
  TOKEN_REUSED: "A token that was issued before was handed out again.",
  TOKEN_REFUSED: "A token was asked for and not given; `reason` has the code.",
  TEAMS_TOKEN_EXCHANGED: "A token in the name of a Teams user was handed out.",
  TOKENS_REVOKED:
    "All tokens of an identity that there were are revoked: none is handed out any more, and the service is told.",
  IDENTITY_PROVISIONED: "An identity was made.",
  IDENTITY_SUSPENDED: "An identity was suspended, and its tokens are revoked, as by TOKENS_REVOKED.",
  IDENTITY_REINSTATED: "A suspended identity gets tokens again.",
  IDENTITY_DELETED:
    "An identity was deleted, and its tokens with it: it is of no use any more, and the service is told.",
});

export const AuditPhase = enumeration<PhaseName>(
  "AuditPhase",
  "Work that needs the service is recorded twice, so that a crash in between leaves a trace.",
  {
    INTENT: "Written before the service was asked. Without an OUTCOME of the same request: asked, outcome unknown.",
    OUTCOME:
      "What happened. What the service is told of a revocation, suspension or deletion comes after it, however often that takes.",
  },
);

export const TimeBucket = enumeration<BucketName>(
  "TimeBucket",
  "How long a bucket of a plot is; buckets begin in UTC.",
  {
    MINUTE: "A whole minute.",
    HOUR: "A whole hour.",
    DAY: "A whole day, from midnight.",
  },
);
