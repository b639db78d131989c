import { Arg, Args, Ctx, FieldResolver, Int, Query, Resolver, Root } from "type-graphql";
import {
  type IdentityFilter as Filter,
  type Identity,
  type IdentityOrder as Order,
  positionOf,
} from "../../identities/identity.js";
import { badArgument } from "../bad-argument.js";
import { ConnectionArgs, readPageRequest, toPage, writeCursor } from "../connection.js";
import type { RequestContext } from "../context.js";
import { CommunicationUserId } from "../scalars.js";
import {
  ApplicationUserInput,
  CommunicationIdentity,
  CommunicationIdentityConnection,
  IdentityFilter,
  IdentityOrder,
} from "../types/identity.js";

const MAX_PREFIX_LENGTH = 255;
const NEWEST_FIRST: Order = { field: "CREATED_AT", direction: "DESC" };

@Resolver(() => CommunicationIdentityConnection)
export class IdentitiesResolver {
  @Query(() => CommunicationIdentity, {
    nullable: true,
    description: "The identity of a user; another's than the caller needs IDENTITY_READ.",
  })
  async identityByUser(
    @Arg("user", () => ApplicationUserInput, { description: "Whose identity." }) user: ApplicationUserInput,
    @Ctx() { identities }: RequestContext,
  ): Promise<Identity | null> {
    return await identities.byUser(user);
  }

  @Query(() => CommunicationIdentity, {
    nullable: true,
    description: "The identity behind a communication user id; another's than the caller needs IDENTITY_READ.",
  })
  async identityByCommunicationUserId(
    @Arg("communicationUserId", () => CommunicationUserId, { description: "As seen in chats and calls." })
    communicationUserId: string,
    @Ctx() { identities }: RequestContext,
  ): Promise<Identity | null> {
    return await identities.byCommunicationUserId(communicationUserId);
  }

  @Query(() => CommunicationIdentityConnection, {
    description:
      "Newest first unless ordered otherwise. first or last is required, 1 to 100. Needs IDENTITY_READ. A page costs one database query, and one more when `totalCount` is asked for.",
  })
  async identities(
    @Args(() => ConnectionArgs) args: ConnectionArgs,
    @Arg("filter", () => IdentityFilter, { nullable: true, description: "Left out: all identities." })
    filter: IdentityFilter | null,
    @Arg("orderBy", () => IdentityOrder, { nullable: true, description: "Left out: CREATED_AT, DESC." })
    orderBy: IdentityOrder | null,
    @Ctx() { identities }: RequestContext,
  ): Promise<Omit<CommunicationIdentityConnection, "totalCount">> {
    const order = orderBy ?? NEWEST_FIRST;
    const list = `${order.field} ${order.direction}`;
    const request = readPageRequest(args, list);
    const query = { ...request, limit: request.size + 1, filter: readFilter(filter), order };
    const rows = await identities.page(query);
    const page = toPage(request, rows, (identity) => writeCursor(list, positionOf(identity, order.field)));
    return { ...page, filter: query.filter };
  }

  @FieldResolver(() => Int, {
    description: "How many identities the filter lets through, on all pages together: 0 or more.",
  })
  async totalCount(
    @Root() { filter }: CommunicationIdentityConnection,
    @Ctx() { identities }: RequestContext,
  ): Promise<number> {
    return await identities.count(filter);
  }
}

function readFilter(filter: IdentityFilter | null): Filter {
  const prefix = filter?.subjectPrefix ?? undefined;
  if (prefix !== undefined && (prefix === "" || prefix.length > MAX_PREFIX_LENGTH)) {
    throw badArgument("filter.subjectPrefix", `must have 1 to ${MAX_PREFIX_LENGTH} characters`);
  }
  return {
    status: filter?.status ?? undefined,
    issuer: filter?.issuer ?? undefined,
    subjectPrefix: prefix,
    createdSince: filter?.createdSince ?? undefined,
    createdUntil: filter?.createdUntil ?? undefined,
  };
}
