import { Arg, Ctx, ID, Query, Resolver } from "type-graphql";
import { isEventId, isTokenId, type StoredRecord, type TokenRecord } from "../../audit/query.js";
import type { AuditAccess } from "../../identities/audit-access.js";
import type { Identity } from "../../identities/identity.js";
import { badArgument } from "../bad-argument.js";
import type { RequestContext } from "../context.js";
import { Node } from "../types/node.js";

const MAX_NODES = 100;

type Found = Identity | StoredRecord | TokenRecord;

@Resolver(() => Node)
export class NodesResolver {
  constructor(private readonly audit: AuditAccess) {}

  @Query(() => Node, {
    nullable: true,
    description: "The object with this id. Null when there is none or the caller may not see it.",
  })
  async node(
    @Arg("id", () => ID, { description: "From any object's `id`." }) id: string,
    @Ctx() context: RequestContext,
  ): Promise<Found | null> {
    return (await this.#find([id], context))[0] ?? null;
  }

  @Query(() => [Node], {
    nullable: "items",
    description: "The objects with these ids, in the same order; null for each that `node` would answer null for.",
  })
  async nodes(
    @Arg("ids", () => [ID], { description: `At most ${MAX_NODES}.` }) ids: string[],
    @Ctx() context: RequestContext,
  ): Promise<(Found | null)[]> {
    if (ids.length > MAX_NODES) throw badArgument("ids", `must have at most ${MAX_NODES} entries`);
    return await this.#find(ids, context);
  }

  /** One read for each kind, however many ids. */
  async #find(ids: readonly string[], context: RequestContext): Promise<(Found | null)[]> {
    const isOther = (id: string) => !isEventId(id) && !isTokenId(id);
    const found: readonly (Found | null)[][] = await Promise.all([
      this.audit.eventsByIds(context.call, ids.filter(isEventId)),
      this.audit.tokensByIds(context, ids.filter(isTokenId)),
      Promise.all(ids.filter(isOther).map((id) => context.identities.byId(id))),
    ]);
    const byId = new Map(found.flat().map((node) => [node?.id, node]));
    return ids.map((id) => byId.get(id) ?? null);
  }
}
