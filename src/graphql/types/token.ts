import { Field, ID, InputType, Int, ObjectType } from "type-graphql";
import type { Permission as PermissionName, TokenScope as ScopeName } from "../../config/config.js";
import type { RefusalCode } from "../../errors.js";
import type { Identity, ApplicationUser as User } from "../../identities/identity.js";
import { Permission, TokenScope, UserErrorCode } from "../enums.js";
import { DateTime } from "../scalars.js";
import { ApplicationUser, CommunicationIdentity } from "./identity.js";

@ObjectType({
  description: "The calling user: who the gateway takes them to be and what the policy lets them ask for.",
})
export class Viewer {
  @Field(() => ApplicationUser, { description: "The user that the caller's token names." })
  readonly user!: User;

  @Field(() => [Permission], { description: "What the policy lets the caller do." })
  readonly permissions!: readonly PermissionName[];

  @Field(() => [TokenScope], { description: "What `issueAccessToken` may be asked for." })
  readonly allowedScopes!: readonly ScopeName[];

  @Field(() => Int, {
    description:
      "Of the scope that may be had for longest: in minutes, 60 to 1440; 0 when no scope is allowed. A token lasts no longer than each of its scopes may.",
  })
  readonly maxTokenLifetimeMinutes!: number;
}

@ObjectType({ description: "A refusal that the caller can act on." })
export class UserError {
  @Field(() => UserErrorCode, { description: "For the program." })
  readonly code!: RefusalCode;

  @Field(() => String, {
    description: "For the developer: what was wrong and what would be accepted. Not for end users.",
  })
  readonly message!: string;

  @Field(() => [String], { description: "The input field at fault, outermost first." })
  readonly path!: readonly string[];

  @Field(() => Int, {
    nullable: true,
    description: "Whole seconds, 1 or more, after which the same call can succeed. Null when it cannot.",
  })
  readonly retryAfterSeconds!: number | null;
}

@ObjectType({ description: "A token for Communication Services and when to replace it." })
export class AccessToken {
  @Field(() => String, { description: "A bearer secret. Opaque: do not parse it." })
  readonly token!: string;

  @Field(() => DateTime, { description: "When the token stops working." })
  readonly expiresOn!: number;

  @Field(() => DateTime, {
    description: "When to ask for the next one: jittered, and always before the client SDK's own refresh window.",
  })
  readonly refreshAfter!: number;

  @Field(() => [TokenScope], { description: "What the token is good for: what was asked for, each once." })
  readonly scopes!: readonly ScopeName[];

  @Field(() => CommunicationIdentity, { description: "Whose token it is." })
  readonly identity!: Identity;
}

@ObjectType({ description: "A token for Communication Services in the name of a Teams user." })
export class TeamsAccessToken {
  @Field(() => String, { description: "A bearer secret. Opaque: do not parse it." })
  readonly token!: string;

  @Field(() => DateTime, { description: "When the token stops working: with the Entra ID token it was made from." })
  readonly expiresOn!: number;

  @Field(() => DateTime, { description: "When to exchange a new Entra ID token; jittered." })
  readonly refreshAfter!: number;
}

@InputType({ description: "What token to issue, and for whom." })
export class IssueAccessTokenInput {
  @Field(() => [TokenScope], {
    description: "Least privilege: what is asked for must be a subset of what the policy allows. At least one.",
  })
  declare readonly scopes: readonly ScopeName[];

  @Field(() => Int, {
    nullable: true,
    description: "In minutes, 60 to 1440. Left out: the most that the policy allows for these scopes.",
  })
  declare readonly lifetimeMinutes?: number | null;

  @Field(() => ID, {
    nullable: true,
    description: "On behalf of this identity; needs TOKEN_ISSUE_ANY. Left out: the caller's own.",
  })
  declare readonly identityId?: string | null;

  @Field(() => Boolean, {
    nullable: true,
    defaultValue: false,
    description: "Skip the token cache: the token is a new one.",
  })
  declare readonly forceNew?: boolean | null;
}

@InputType({ description: "A Teams user's Entra ID token, and whom it is said to belong to." })
export class ExchangeTeamsUserTokenInput {
  @Field(() => String, {
    description: "The Entra ID access token of the Teams user; a secret. At most 16384 characters.",
  })
  declare readonly teamsUserAadToken: string;

  @Field(() => String, { description: "The client id (a GUID) of the Entra ID application that got the token." })
  declare readonly clientId: string;

  @Field(() => String, { description: "The object id (a GUID) of the Teams user." })
  declare readonly userObjectId: string;
}
