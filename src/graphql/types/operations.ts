import { Field, ID, Int, ObjectType } from "type-graphql";
import type { ServiceAction as Action } from "../../identities/service-work.js";
import { ServiceAction } from "../enums.js";
import { CommunicationUserId, DateTime } from "../scalars.js";

@ObjectType({
  description:
    "A call that asked the service for an identity and whose outcome nobody knows. The service may hold an identity that no user has.",
})
export class ProvisioningAttempt {
  @Field(() => ID, { description: "Opaque; the same in the log." })
  readonly id!: string;

  @Field(() => DateTime, { description: "When the service was asked." })
  readonly startedAt!: number;

  @Field(() => DateTime, { nullable: true, description: "When the outcome was given up." })
  readonly endedAt!: number | null;

  readonly identityId!: string;
}

@ObjectType({ description: "What has been promised and the service has yet to do. It is tried until it succeeds." })
export class ServiceWork {
  @Field(() => CommunicationUserId, { description: "The identity of the service that it is about." })
  readonly communicationUserId!: string;

  @Field(() => ServiceAction, { description: "What has to be done." })
  readonly action!: Action;

  @Field(() => DateTime, { description: "Since when it is pending." })
  readonly createdAt!: number;

  @Field(() => DateTime, { description: "When it is tried next, unless it is being tried now." })
  readonly nextTryAt!: number;

  @Field(() => Int, { description: "Tries that failed: 0 or more." })
  readonly tries!: number;

  @Field(() => String, { nullable: true, description: "What the last try failed with. Null when none did." })
  readonly lastError!: string | null;

  readonly identityId!: string | null;
}
