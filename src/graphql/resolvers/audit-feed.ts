import { Arg, type PubSub, Resolver, Root, Subscription } from "type-graphql";
import type { FeedItem } from "../../audit/feed.js";
import type { AuditAccess } from "../../identities/audit-access.js";
import type { RequestContext } from "../context.js";
import { readFeedCursor, writeFeedCursor } from "../feed-cursor.js";
import { AuditEventEdge, AuditEventFilter } from "../types/audit.js";
import { readFilter } from "./audit.js";

const TOPIC = "AUDIT_EVENT";

interface Asked {
  readonly args: { readonly after?: string | null; readonly filter?: AuditEventFilter | null };
  readonly context: RequestContext;
}

@Resolver()
export class AuditFeedResolver {
  @Subscription(() => AuditEventEdge, {
    topics: TOPIC,
    topicId: ({ args, context }): Asked => ({ args, context: context as RequestContext }),
    description:
      "Audit events as they are recorded, by whatever instance, within about a second; each once, those of one instance in their order. Needs AUDIT_READ. Ends when the caller's token expires: subscribe again with a new one, `after` the last cursor that came.",
  })
  auditEventAdded(
    @Root() edge: AuditEventEdge,
    @Arg("after", () => String, {
      nullable: true,
      description:
        "The cursor of the last event that came: what was recorded since comes first. Left out: from now on. Cursors of `auditEvents` are others.",
    })
    _after: string | null,
    @Arg("filter", () => AuditEventFilter, { nullable: true, description: "Left out: all events." })
    _filter: AuditEventFilter | null,
  ): AuditEventEdge {
    return edge;
  }
}

/** What type-graphql asks for the events of a subscription. Throws what the caller is to be told in place of any. */
export function auditTopic(audit: AuditAccess): PubSub {
  return {
    // Passed on as it is to graphql-js, which waits for it (GraphQL specification §6.2.3.1).
    subscribe: (_, asked) => follow(audit, asked as Asked) as unknown as AsyncIterable<AuditEventEdge>,
    publish: () => {
      throw new Error("events come from the trail alone");
    },
  };
}

async function follow(audit: AuditAccess, { args, context }: Asked): Promise<AsyncIterable<AuditEventEdge>> {
  const { after, filter } = args;
  const items = await audit.follow(context.call, {
    filter: readFilter(filter ?? null),
    position: typeof after === "string" ? readFeedCursor(after) : undefined,
    signal: context.ended ?? AbortSignal.abort(),
  });
  return edgesOf(items);
}

async function* edgesOf(items: AsyncGenerator<FeedItem>): AsyncGenerator<AuditEventEdge> {
  for await (const { record, position } of items) yield { cursor: writeFeedCursor(position), node: record };
}
