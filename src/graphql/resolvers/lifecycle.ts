import { Arg, Ctx, Mutation, Resolver } from "type-graphql";
import type { IdentityLifecycle } from "../../identities/lifecycle.js";
import type { RequestContext } from "../context.js";
import { payload, readReason } from "../payload.js";
import {
  DeleteIdentityInput,
  DeleteIdentityPayload,
  ProvisionIdentityInput,
  ProvisionIdentityPayload,
  ReinstateIdentityInput,
  ReinstateIdentityPayload,
  SuspendIdentityInput,
  SuspendIdentityPayload,
} from "../types/payloads.js";

@Resolver()
export class LifecycleResolver {
  constructor(private readonly lifecycle: IdentityLifecycle) {}

  @Mutation(() => ProvisionIdentityPayload, {
    description:
      "Gives a user an identity before they ask for a token. Safe to repeat: answers the identity that the user has, if they have one; but one that arrives late, after it was deleted, makes a new one. Needs IDENTITY_MANAGE.",
  })
  async provisionIdentity(
    @Arg("input", () => ProvisionIdentityInput, { description: "Whom." }) { user }: ProvisionIdentityInput,
    @Ctx() { call }: RequestContext,
  ): Promise<ProvisionIdentityPayload> {
    return await payload({ identity: null }, async () => ({ identity: await this.lifecycle.provision(call, user) }));
  }

  @Mutation(() => SuspendIdentityPayload, {
    description:
      "Stops an identity's tokens: revokes what it has and issues no more. Safe to repeat: an identity that is suspended stays as it is; but one that arrives late, after it was reinstated, suspends it again. Needs IDENTITY_MANAGE.",
  })
  async suspendIdentity(
    @Arg("input", () => SuspendIdentityInput, { description: "Which, and why." }) input: SuspendIdentityInput,
    @Ctx() { call }: RequestContext,
  ): Promise<SuspendIdentityPayload> {
    return await payload({ identity: null }, async () => ({
      identity: await this.lifecycle.suspend(call, { identityId: input.identityId, reason: readReason(input) }),
    }));
  }

  @Mutation(() => ReinstateIdentityPayload, {
    description:
      "Lets a suspended identity have tokens again; old ones stay revoked. Safe to repeat: an identity that is not suspended stays as it is; but one that arrives late, after it was suspended again, reinstates it again. Needs IDENTITY_MANAGE.",
  })
  async reinstateIdentity(
    @Arg("input", () => ReinstateIdentityInput, { description: "Which, and why." }) input: ReinstateIdentityInput,
    @Ctx() { call }: RequestContext,
  ): Promise<ReinstateIdentityPayload> {
    return await payload({ identity: null }, async () => ({
      identity: await this.lifecycle.reinstate(call, { identityId: input.identityId, reason: readReason(input) }),
    }));
  }

  @Mutation(() => DeleteIdentityPayload, {
    description:
      "Revokes an identity's tokens and erases it at the service, with its chats and calls, and the user from the gateway. Cannot be undone; the user coming back gets a new identity. Safe to repeat: answers the same id, and deletes nothing more unless the user has a new identity by then; named by `identityId`, that one is left alone.",
  })
  async deleteIdentity(
    @Arg("input", () => DeleteIdentityInput, { description: "Which, and why." }) input: DeleteIdentityInput,
    @Ctx() { call }: RequestContext,
  ): Promise<DeleteIdentityPayload> {
    return await payload({ deletedIdentityId: null }, async () => ({
      deletedIdentityId: await this.lifecycle.delete(call, {
        identityId: input.identityId ?? null,
        reason: readReason(input),
      }),
    }));
  }
}
