import { Arg, Ctx, FieldResolver, Int, Query, Resolver, Root } from "type-graphql";
import type { Identity } from "../../identities/identity.js";
import type { Operations } from "../../identities/operations.js";
import { badArgument } from "../bad-argument.js";
import type { RequestContext } from "../context.js";
import { CommunicationIdentity } from "../types/identity.js";
import { ProvisioningAttempt, ServiceWork } from "../types/operations.js";

const MAX_LISTED = 100;
const FIRST = { defaultValue: MAX_LISTED, description: `How many: 1 to ${MAX_LISTED}.` };

@Resolver(() => ProvisioningAttempt)
export class AttemptsResolver {
  constructor(private readonly operations: Operations) {}

  @Query(() => [ProvisioningAttempt], {
    description: "The provisioning attempts whose outcome nobody knows, newest first. Needs IDENTITY_READ.",
  })
  async provisioningAttemptsInDoubt(
    @Arg("first", () => Int, FIRST) first: number,
    @Ctx() { call }: RequestContext,
  ): Promise<ProvisioningAttempt[]> {
    return await this.operations.attemptsInDoubt(call, readFirst(first));
  }

  @FieldResolver(() => CommunicationIdentity, { nullable: true, description: "For whom the service was asked." })
  async identity(
    @Root() { identityId }: ProvisioningAttempt,
    @Ctx() { identities }: RequestContext,
  ): Promise<Identity | null> {
    return await identities.byId(identityId);
  }
}

@Resolver(() => ServiceWork)
export class WorkResolver {
  constructor(private readonly operations: Operations) {}

  @Query(() => [ServiceWork], {
    description: "Revocations and deletions that the service has yet to carry out, oldest first. Needs IDENTITY_READ.",
  })
  async pendingServiceWork(
    @Arg("first", () => Int, FIRST) first: number,
    @Ctx() { call }: RequestContext,
  ): Promise<ServiceWork[]> {
    return await this.operations.pendingWork(call, readFirst(first));
  }

  @FieldResolver(() => CommunicationIdentity, {
    nullable: true,
    description: "Whose it is. Null for an identity that came too late for its user and is being cleaned up.",
  })
  async identity(@Root() { identityId }: ServiceWork, @Ctx() { identities }: RequestContext): Promise<Identity | null> {
    return identityId === null ? null : await identities.byId(identityId);
  }
}

function readFirst(first: number): number {
  if (first < 1 || first > MAX_LISTED) throw badArgument("first", `must be 1 to ${MAX_LISTED}`);
  return first;
}
