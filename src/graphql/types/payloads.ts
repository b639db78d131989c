import { Field, ID, InputType, ObjectType } from "type-graphql";
import type { Identity } from "../../identities/identity.js";
import { DateTime } from "../scalars.js";
import { ApplicationUserInput, CommunicationIdentity } from "./identity.js";
import { AccessToken, TeamsAccessToken, UserError } from "./token.js";

const REASON = "For the operator's records. At most 500 characters.";
const IDENTITY = { nullable: true, description: "The identity as it is now. Null when refused." } as const;

@ObjectType()
abstract class Payload {
  @Field(() => [UserError], { description: "Why the call was refused; empty when it was not." })
  readonly userErrors!: readonly UserError[];
}

@ObjectType({ description: "The token, or why there is none." })
export class IssueAccessTokenPayload extends Payload {
  @Field(() => AccessToken, { nullable: true, description: "Null when refused." })
  readonly accessToken!: AccessToken | null;
}

@ObjectType({ description: "The token, or why there is none." })
export class ExchangeTeamsUserTokenPayload extends Payload {
  @Field(() => TeamsAccessToken, { nullable: true, description: "Null when refused." })
  readonly accessToken!: TeamsAccessToken | null;
}

@ObjectType({ description: "What was revoked, and by when that is true everywhere." })
export class RevokeAccessTokensPayload extends Payload {
  @Field(() => CommunicationIdentity, IDENTITY)
  readonly identity!: Identity | null;

  @Field(() => DateTime, {
    nullable: true,
    description: "By when the service promises that no revoked token works. Null while it has yet to confirm.",
  })
  readonly effectiveBy!: number | null;
}

@ObjectType({ description: "The identity, or why there is none." })
export class ProvisionIdentityPayload extends Payload {
  @Field(() => CommunicationIdentity, IDENTITY)
  readonly identity!: Identity | null;
}

@ObjectType({ description: "The suspended identity, or why it is not." })
export class SuspendIdentityPayload extends Payload {
  @Field(() => CommunicationIdentity, IDENTITY)
  readonly identity!: Identity | null;
}

@ObjectType({ description: "The reinstated identity, or why it is not." })
export class ReinstateIdentityPayload extends Payload {
  @Field(() => CommunicationIdentity, IDENTITY)
  readonly identity!: Identity | null;
}

@ObjectType({ description: "What was deleted, or why it was not." })
export class DeleteIdentityPayload extends Payload {
  @Field(() => ID, {
    nullable: true,
    description: "The id of the identity that is deleted, or will be as soon as the service can. Null when refused.",
  })
  readonly deletedIdentityId!: string | null;
}

@InputType({ description: "Whose tokens to revoke." })
export class RevokeAccessTokensInput {
  @Field(() => ID, { nullable: true, description: "Left out: the caller's own. Another's needs IDENTITY_MANAGE." })
  declare readonly identityId?: string | null;

  @Field(() => String, { nullable: true, description: REASON })
  declare readonly reason?: string | null;
}

@InputType({ description: "Whom to give an identity." })
export class ProvisionIdentityInput {
  @Field(() => ApplicationUserInput, { description: "The issuer must be one that the gateway accepts." })
  declare readonly user: ApplicationUserInput;
}

@InputType({ description: "Which identity to suspend." })
export class SuspendIdentityInput {
  @Field(() => ID, { description: "The identity's id." })
  declare readonly identityId: string;

  @Field(() => String, { nullable: true, description: REASON })
  declare readonly reason?: string | null;
}

@InputType({ description: "Which identity to reinstate." })
export class ReinstateIdentityInput {
  @Field(() => ID, { description: "The identity's id." })
  declare readonly identityId: string;

  @Field(() => String, { nullable: true, description: REASON })
  declare readonly reason?: string | null;
}

@InputType({ description: "Which identity to delete." })
export class DeleteIdentityInput {
  @Field(() => ID, { nullable: true, description: "Left out: the caller's own. Another's needs IDENTITY_MANAGE." })
  declare readonly identityId?: string | null;

  @Field(() => String, { nullable: true, description: REASON })
  declare readonly reason?: string | null;
}
