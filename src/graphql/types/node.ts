import { Field, ID, InterfaceType } from "type-graphql";

@InterfaceType({
  description: "An object with an id that is unique among all objects of this API. `node` finds it again.",
  resolveType: () => "CommunicationIdentity",
})
export abstract class Node {
  @Field(() => ID, { description: "Opaque and stable. At most 255 characters." })
  readonly id!: string;
}
