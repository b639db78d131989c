import { Arg, Args, Ctx, FieldResolver, Int, Query, Resolver, Root } from "type-graphql";
import type { AuditFilter, TimeBucket as Bucket, StoredRecord } from "../../audit/query.js";
import type { AuditAccess } from "../../identities/audit-access.js";
import type { Identity } from "../../identities/identity.js";
import { ConnectionArgs, readPageRequest, toPage, writeCursor } from "../connection.js";
import type { RequestContext } from "../context.js";
import { TimeBucket } from "../enums.js";
import { DateTime } from "../scalars.js";
import { AuditEvent, AuditEventConnection, AuditEventFilter, TokenActivityPoint } from "../types/audit.js";
import { CommunicationIdentity } from "../types/identity.js";

/** What cursors of audit events belong to. */
const LIST = "AUDIT_EVENT";

type Connection = Omit<AuditEventConnection, "totalCount">;

@Resolver(() => AuditEventConnection)
export class AuditEventsResolver {
  constructor(private readonly audit: AuditAccess) {}

  @Query(() => AuditEventConnection, {
    description:
      "The audit trail, newest first. first or last is required, 1 to 100. Needs AUDIT_READ. A page is as quick far into the trail as at its beginning; `totalCount` looks at up to 100,000 events.",
  })
  async auditEvents(
    @Args(() => ConnectionArgs) args: ConnectionArgs,
    @Arg("filter", () => AuditEventFilter, { nullable: true, description: "Left out: all events." })
    filter: AuditEventFilter | null,
    @Ctx() context: RequestContext,
  ): Promise<Connection> {
    return await pageOf(this.audit, context, args, readFilter(filter));
  }

  @Query(() => [TokenActivityPoint], {
    description: "Counts per time bucket, for plots: oldest first, at most 1500, empty buckets too. Needs AUDIT_READ.",
  })
  async tokenActivity(
    @Arg("since", () => DateTime, { description: "From this instant on; the first bucket is the one that it is in." })
    since: number,
    @Arg("until", () => DateTime, { nullable: true, description: "Before this instant. Left out: until now." })
    until: number | null,
    @Arg("bucket", () => TimeBucket, { defaultValue: "HOUR", description: "How long a bucket is." }) bucket: Bucket,
    @Ctx() { call }: RequestContext,
  ): Promise<TokenActivityPoint[]> {
    return await this.audit.activity(call, { since, until: until ?? undefined, bucket });
  }

  @FieldResolver(() => Int, {
    description:
      "How many events the filter lets through, on all pages together: 0 or more. Counted up to 100,000; 100001 stands for any more.",
  })
  async totalCount(@Root() { filter }: AuditEventConnection, @Ctx() { call }: RequestContext): Promise<number> {
    return await this.audit.countEvents(call, filter);
  }
}

@Resolver(() => CommunicationIdentity)
export class IdentityAuditResolver {
  constructor(private readonly audit: AuditAccess) {}

  @FieldResolver(() => AuditEventConnection, {
    description: "The audit events about this identity, newest first. first or last is required. Needs AUDIT_READ.",
  })
  async auditEvents(
    @Root() { id: identityId }: Identity,
    @Args(() => ConnectionArgs) args: ConnectionArgs,
    @Ctx() context: RequestContext,
  ): Promise<Connection> {
    return await pageOf(this.audit, context, args, { identityId });
  }
}

@Resolver(() => AuditEvent)
export class AuditEventResolver {
  @FieldResolver(() => CommunicationIdentity, {
    nullable: true,
    description:
      "Whom it is about. Null for a user who has no identity yet, and for an identity that the caller may not see.",
  })
  async identity(
    @Root() { identityId }: StoredRecord,
    @Ctx() { identities }: RequestContext,
  ): Promise<Identity | null> {
    return identityId === null ? null : await identities.byId(identityId);
  }
}

async function pageOf(
  audit: AuditAccess,
  { call }: RequestContext,
  args: ConnectionArgs,
  filter: AuditFilter,
): Promise<Connection> {
  const request = readPageRequest(args, LIST);
  const records = await audit.events(call, { ...request, limit: request.size + 1, filter });
  return { ...toPage(request, records, ({ at, id }) => writeCursor(LIST, { value: at, id })), filter };
}

export function readFilter(filter: AuditEventFilter | null): AuditFilter {
  return {
    action: filter?.action ?? undefined,
    identityId: filter?.identityId ?? undefined,
    actor: filter?.actor ?? undefined,
    since: filter?.since ?? undefined,
    until: filter?.until ?? undefined,
    tokenFingerprint: filter?.tokenFingerprint ?? undefined,
  };
}
