import { Extensions, Field, InputType, ObjectType } from "type-graphql";
import type {
  IdentityFilter as Filter,
  Identity,
  IdentityOrder as Order,
  IdentityOrderField as OrderField,
  IdentityStatus as Status,
  ApplicationUser as User,
} from "../../identities/identity.js";
import { PAGE_COST } from "../connection.js";
import { IdentityOrderField, IdentityStatus, OrderDirection } from "../enums.js";
import { CommunicationUserId, DateTime } from "../scalars.js";
import { Node } from "./node.js";

@ObjectType({ description: "The user as the identity provider knows them: issuer and subject, both exact strings." })
export class ApplicationUser implements User {
  @Field(() => String, { description: "The `iss` of the user's tokens, such as https://login.example.com/v2.0." })
  readonly issuer!: string;

  @Field(() => String, {
    description: "The user's id at the issuer: the value of the configured subject claim, 1 to 255 characters.",
  })
  readonly subject!: string;
}

@InputType({ description: "A user as the identity provider knows them: issuer and subject, both compared exactly." })
export class ApplicationUserInput implements User {
  @Field(() => String, { description: "The `iss` of the user's tokens." })
  declare readonly issuer: string;

  @Field(() => String, { description: "The value of the configured subject claim, 1 to 255 characters." })
  declare readonly subject: string;
}

@ObjectType({
  implements: Node,
  description: "The mapping of one application user to one Communication Services identity.",
})
export class CommunicationIdentity extends Node {
  @Field(() => CommunicationUserId, { nullable: true, description: "Null while PROVISIONING and once DELETED." })
  readonly communicationUserId!: string | null;

  @Field(() => ApplicationUser, { nullable: true, description: "Null once DELETED: the subject is erased." })
  readonly user!: User | null;

  @Field(() => IdentityStatus, { description: "Whether the identity gets tokens." })
  readonly status!: Status;

  @Field(() => DateTime, { description: "When the identity was asked for." })
  readonly createdAt!: number;

  @Field(() => DateTime, { nullable: true, description: "Null until the first token." })
  readonly lastTokenIssuedAt!: number | null;

  @Field(() => DateTime, {
    nullable: true,
    description: "Tokens issued before this instant are revoked. Null when none ever were.",
  })
  readonly tokensValidAfter!: number | null;

  @Field(() => Boolean, { description: "A revocation that the service has not yet confirmed." })
  readonly revocationPending!: boolean;
}

@ObjectType({ description: "Where a page stands in its list, by the Relay connection specification." })
export class PageInfo {
  @Field(() => Boolean, { description: "Whether there is more after `endCursor`." })
  readonly hasNextPage!: boolean;

  @Field(() => Boolean, { description: "Whether there is more before `startCursor`." })
  readonly hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true, description: "For `before`. Null on an empty page." })
  readonly startCursor!: string | null;

  @Field(() => String, { nullable: true, description: "For `after`. Null on an empty page." })
  readonly endCursor!: string | null;
}

@ObjectType({ description: "An identity and its place in the list." })
export class CommunicationIdentityEdge {
  @Field(() => String, { description: "Opaque; good for `after` and `before` with the same filter and order." })
  readonly cursor!: string;

  @Field(() => CommunicationIdentity, { description: "The identity." })
  readonly node!: Identity;
}

@ObjectType({ description: "A page of identities." })
@Extensions({ cost: PAGE_COST })
export class CommunicationIdentityConnection {
  @Field(() => [CommunicationIdentityEdge], { description: "The page's identities with their cursors." })
  readonly edges!: readonly CommunicationIdentityEdge[];

  @Field(() => [CommunicationIdentity], { description: "The page's identities alone." })
  readonly nodes!: readonly Identity[];

  @Field(() => PageInfo, { description: "Where this page stands in the list." })
  readonly pageInfo!: PageInfo;

  /** For `totalCount`, which is counted only when asked for. */
  readonly filter!: Filter;
}

@InputType({ description: "Conditions that must all hold; one that is left out or null holds always." })
export class IdentityFilter {
  @Field(() => [IdentityStatus], { nullable: true, description: "The status is one of these." })
  declare readonly status?: readonly Status[] | null;

  @Field(() => String, { nullable: true, description: "The user's issuer is exactly this." })
  declare readonly issuer?: string | null;

  @Field(() => String, {
    nullable: true,
    description: "The user's subject begins with this, case and all. 1 to 255 characters.",
  })
  declare readonly subjectPrefix?: string | null;

  @Field(() => DateTime, { nullable: true, description: "Asked for at this instant or later." })
  declare readonly createdSince?: number | null;

  @Field(() => DateTime, { nullable: true, description: "Asked for before this instant." })
  declare readonly createdUntil?: number | null;
}

@InputType({ description: "An order of identities. Equal ones are ordered by id, so that pages never overlap." })
export class IdentityOrder implements Order {
  @Field(() => IdentityOrderField, { description: "What to order by." })
  declare readonly field: OrderField;

  @Field(() => OrderDirection, { description: "Which end comes first." })
  declare readonly direction: "ASC" | "DESC";
}
