import { Extensions, Field, ID, InputType, Int, ObjectType } from "type-graphql";
import type { AuditFilter, TokenActivityPoint as Point, StoredRecord } from "../../audit/query.js";
import type { AuditAction as Action, AuditPhase as Phase } from "../../audit/record.js";
import type { TokenScope as ScopeName } from "../../config/config.js";
import type { ApplicationUser as User } from "../../identities/identity.js";
import { PAGE_COST } from "../connection.js";
import { AuditAction, AuditPhase, TokenScope } from "../enums.js";
import { DateTime } from "../scalars.js";
import { ApplicationUser, ApplicationUserInput, PageInfo } from "./identity.js";
import { Node } from "./node.js";

@ObjectType({ implements: Node, description: "A record of the audit trail. It was stored before its answer left." })
export class AuditEvent extends Node {
  @Field(() => DateTime, { description: "When it was recorded." })
  readonly at!: number;

  @Field(() => AuditAction, { description: "What it is about." })
  readonly action!: Action;

  @Field(() => AuditPhase, { description: "Whether it says what was to be done or what came of it." })
  readonly phase!: Phase;

  @Field(() => ApplicationUser, {
    nullable: true,
    description: "Who asked. Null when no user did, and once that user is erased.",
  })
  readonly actor!: User | null;

  @Field(() => [TokenScope], { nullable: true, description: "Of the token that was asked for or given." })
  readonly scopes!: readonly ScopeName[] | null;

  @Field(() => String, {
    nullable: true,
    description: "A keyed hash of the token, so that a leaked one can be matched to its records.",
  })
  readonly tokenFingerprint!: string | null;

  @Field(() => DateTime, { nullable: true, description: "When that token stops working." })
  readonly tokenExpiresOn!: number | null;

  @Field(() => String, {
    nullable: true,
    description: "What the operator gave as the reason, or the code of a refusal. Null once erased.",
  })
  readonly reason!: string | null;

  @Field(() => String, { description: "The `x-request-id` of the answer; the same in the log." })
  readonly requestId!: string;

  @Field(() => String, { nullable: true, description: "Which app asked, by its own word, at most 100 characters." })
  readonly clientName!: string | null;

  @Field(() => String, { nullable: true, description: "Which version of it, at most 100 characters." })
  readonly clientVersion!: string | null;

  @Field(() => Int, { description: "Position in its writer's hash chain: 1 or more." })
  readonly sequence!: number;

  @Field(() => String, { description: "SHA-256, base64url, of this record and all before it in its writer's chain." })
  readonly hash!: string;

  readonly identityId!: string | null;
}

@ObjectType({ description: "An audit event and its place in the list." })
export class AuditEventEdge {
  @Field(() => String, {
    description: "Opaque; good for `after` and `before` with the same filter, and where it came from.",
  })
  readonly cursor!: string;

  @Field(() => AuditEvent, { description: "The event." })
  readonly node!: StoredRecord;
}

@ObjectType({ description: "A page of audit events." })
@Extensions({ cost: PAGE_COST })
export class AuditEventConnection {
  @Field(() => [AuditEventEdge], { description: "The page's events with their cursors." })
  readonly edges!: readonly AuditEventEdge[];

  @Field(() => [AuditEvent], { description: "The page's events alone." })
  readonly nodes!: readonly StoredRecord[];

  @Field(() => PageInfo, { description: "Where this page stands in the list." })
  readonly pageInfo!: PageInfo;

  /** For `totalCount`, which is counted only when asked for. */
  readonly filter!: AuditFilter;
}

@InputType({ description: "Conditions that must all hold; one that is left out or null holds always." })
export class AuditEventFilter {
  @Field(() => [AuditAction], { nullable: true, description: "The action is one of these." })
  declare readonly action?: readonly Action[] | null;

  @Field(() => ID, { nullable: true, description: "It is about this identity, deleted or not." })
  declare readonly identityId?: string | null;

  @Field(() => ApplicationUserInput, { nullable: true, description: "This user asked." })
  declare readonly actor?: User | null;

  @Field(() => DateTime, { nullable: true, description: "Recorded at this instant or later." })
  declare readonly since?: number | null;

  @Field(() => DateTime, { nullable: true, description: "Recorded before this instant." })
  declare readonly until?: number | null;

  @Field(() => String, { nullable: true, description: "It names the token with this fingerprint." })
  declare readonly tokenFingerprint?: string | null;
}

/** As how many objects a whole plot counts: each record of its time is looked at. */
const PLOT_COST = 100;

@ObjectType({ description: "What happened in one time bucket." })
@Extensions({ cost: PLOT_COST })
export class TokenActivityPoint implements Point {
  @Field(() => DateTime, { description: "When the bucket begins." })
  readonly start!: number;

  @Field(() => Int, { description: "Tokens that the service made and the gateway handed out: 0 or more." })
  readonly issued!: number;

  @Field(() => Int, { description: "Tokens that were handed out again: 0 or more." })
  readonly reused!: number;

  @Field(() => Int, { description: "Requests for a token that were refused: 0 or more." })
  readonly refused!: number;

  @Field(() => Int, { description: "Revocations, each of all tokens of an identity: 0 or more." })
  readonly revoked!: number;
}
