import { Extensions, Field, ObjectType } from "type-graphql";
import type { TokenRecord as Token } from "../../audit/query.js";
import type { TokenScope as ScopeName } from "../../config/config.js";
import { PAGE_COST } from "../connection.js";
import { TokenScope } from "../enums.js";
import { DateTime } from "../scalars.js";
import { PageInfo } from "./identity.js";
import { Node } from "./node.js";

@ObjectType({ implements: Node, description: "What is known of an issued token. Never the token itself." })
export class TokenRecord extends Node implements Token {
  @Field(() => [TokenScope], { description: "What the token is good for." })
  readonly scopes!: readonly ScopeName[];

  @Field(() => DateTime, { description: "When it was recorded, just before it was handed out." })
  readonly issuedAt!: number;

  @Field(() => DateTime, { description: "When the token stops working." })
  readonly expiresOn!: number;

  @Field(() => String, { description: "A keyed hash, so that a leaked token can be matched to its record." })
  readonly fingerprint!: string;

  readonly identityId!: string;
}

@ObjectType({ description: "A token record and its place in the list." })
export class TokenRecordEdge {
  @Field(() => String, { description: "Opaque; good for `after` and `before` of the same identity." })
  readonly cursor!: string;

  @Field(() => TokenRecord, { description: "The token record." })
  readonly node!: Token;
}

@ObjectType({ description: "A page of token records." })
@Extensions({ cost: PAGE_COST })
export class TokenRecordConnection {
  @Field(() => [TokenRecordEdge], { description: "The page's token records with their cursors." })
  readonly edges!: readonly TokenRecordEdge[];

  @Field(() => [TokenRecord], { description: "The page's token records alone." })
  readonly nodes!: readonly Token[];

  @Field(() => PageInfo, { description: "Where this page stands in the list." })
  readonly pageInfo!: PageInfo;

  /** For `totalCount`, which is counted only when asked for. */
  readonly identityId!: string;
}
