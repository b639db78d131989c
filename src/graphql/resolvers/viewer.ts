import { Ctx, FieldResolver, Query, Resolver } from "type-graphql";
import type { Identity } from "../../identities/identity.js";
import type { RequestContext } from "../context.js";
import { CommunicationIdentity } from "../types/identity.js";
import { Viewer } from "../types/token.js";

@Resolver(() => Viewer)
export class ViewerResolver {
  @Query(() => Viewer, { description: "The calling user." })
  viewer(@Ctx() { call }: RequestContext): Viewer {
    const { permissions, scopes } = call.entitlements;
    return {
      user: call.caller,
      permissions: [...permissions],
      allowedScopes: [...scopes.keys()],
      maxTokenLifetimeMinutes: Math.max(0, ...scopes.values()),
    };
  }

  @FieldResolver(() => CommunicationIdentity, {
    nullable: true,
    description: "Null until the first token is issued or the identity is provisioned.",
  })
  async identity(@Ctx() { identities }: RequestContext): Promise<Identity | null> {
    return await identities.own();
  }
}
