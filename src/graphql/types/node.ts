import { Field, ID, InterfaceType } from "type-graphql";
import { isEventId, isTokenId } from "../../audit/query.js";

@InterfaceType({
  description: "An object with an id that is unique among all objects of this API. `node` finds it again.",
  resolveType: ({ id }: { readonly id: string }) => {
    if (isEventId(id)) return "AuditEvent";
    return isTokenId(id) ? "TokenRecord" : "CommunicationIdentity";
  },
})
export abstract class Node {
  @Field(() => ID, { description: "Opaque and stable. At most 255 characters." })
  readonly id!: string;
}
