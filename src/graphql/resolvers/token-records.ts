import { Args, Ctx, FieldResolver, Int, Resolver, Root } from "type-graphql";
import { eventIdOf, type TokenRecord as Token } from "../../audit/query.js";
import type { AuditAccess } from "../../identities/audit-access.js";
import type { Identity } from "../../identities/identity.js";
import { ConnectionArgs, readPageRequest, toPage, writeCursor } from "../connection.js";
import type { RequestContext } from "../context.js";
import { CommunicationIdentity } from "../types/identity.js";
import { TokenRecord, TokenRecordConnection } from "../types/token-records.js";

/** What cursors of token records belong to. */
const LIST = "TOKEN_RECORD";

@Resolver(() => CommunicationIdentity)
export class IdentityTokensResolver {
  constructor(private readonly audit: AuditAccess) {}

  @FieldResolver(() => TokenRecordConnection, {
    description:
      "The tokens that were issued for this identity, newest first. first or last is required. Those of another than the caller need IDENTITY_READ.",
  })
  async tokenRecords(
    @Root() { id: identityId }: Identity,
    @Args(() => ConnectionArgs) args: ConnectionArgs,
    @Ctx() context: RequestContext,
  ): Promise<Omit<TokenRecordConnection, "totalCount">> {
    const request = readPageRequest(args, LIST);
    const tokens = await this.audit.tokens(context, identityId, { ...request, limit: request.size + 1 });
    const cursorOf = ({ issuedAt, id }: Token) => writeCursor(LIST, { value: issuedAt, id: eventIdOf(id) });
    return { ...toPage(request, tokens, cursorOf), identityId };
  }
}

@Resolver(() => TokenRecordConnection)
export class TokenRecordsResolver {
  constructor(private readonly audit: AuditAccess) {}

  @FieldResolver(() => Int, {
    description:
      "How many tokens were issued for this identity, on all pages together: 0 or more. Counted up to 100,000; 100001 stands for any more.",
  })
  async totalCount(@Root() { identityId }: TokenRecordConnection, @Ctx() context: RequestContext): Promise<number> {
    return await this.audit.countTokens(context, identityId);
  }
}

@Resolver(() => TokenRecord)
export class TokenRecordResolver {
  @FieldResolver(() => CommunicationIdentity, { description: "Whose token it is." })
  async identity(@Root() { identityId }: Token, @Ctx() { identities }: RequestContext): Promise<Identity | null> {
    return await identities.byId(identityId);
  }

  @FieldResolver(() => Boolean, {
    description:
      "Whether it was revoked: by `revokeAccessTokens`, or as the identity was suspended or deleted. Told by when it was issued: for as long around a revocation as the clocks of two instances differ it may be wrong either way.",
  })
  async revoked(@Root() { identityId, issuedAt }: Token, @Ctx() { identities }: RequestContext): Promise<boolean> {
    const identity = await identities.byId(identityId);
    if (identity === null || identity.status === "DELETING" || identity.status === "DELETED") return true;
    return identity.tokensValidAfter !== null && issuedAt < identity.tokensValidAfter;
  }
}
