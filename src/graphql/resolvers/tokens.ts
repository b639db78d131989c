import { Arg, Ctx, Mutation, Resolver } from "type-graphql";
import type { Revocation } from "../../identities/revocation.js";
import type { TeamsExchange } from "../../tokens/exchange.js";
import type { TokenIssuance } from "../../tokens/issue.js";
import type { RequestContext } from "../context.js";
import { payload, readReason } from "../payload.js";
import {
  ExchangeTeamsUserTokenPayload,
  IssueAccessTokenPayload,
  RevokeAccessTokensInput,
  RevokeAccessTokensPayload,
} from "../types/payloads.js";
import { ExchangeTeamsUserTokenInput, IssueAccessTokenInput } from "../types/token.js";

@Resolver()
export class TokensResolver {
  constructor(
    private readonly issuance: TokenIssuance,
    private readonly teams: TeamsExchange,
    private readonly revocation: Revocation,
  ) {}

  @Mutation(() => IssueAccessTokenPayload, {
    description:
      "Gets or creates the caller's identity and returns a token for it. Calling it again is how a client refreshes. Safe to repeat: the identity is the same, the token perhaps too, and earlier tokens stay good; but one that arrives late, after the identity was deleted, makes a new one.",
  })
  async issueAccessToken(
    @Arg("input", () => IssueAccessTokenInput, { description: "What token, and for whom." })
    input: IssueAccessTokenInput,
    @Ctx() { call }: RequestContext,
  ): Promise<IssueAccessTokenPayload> {
    return await payload({ accessToken: null }, async () => ({
      accessToken: await this.issuance.issue(call, {
        scopes: input.scopes,
        lifetimeMinutes: input.lifetimeMinutes ?? null,
        identityId: input.identityId ?? null,
        forceNew: input.forceNew ?? false,
      }),
    }));
  }

  @Mutation(() => ExchangeTeamsUserTokenPayload, {
    description:
      "Exchanges a Teams user's Entra ID token for a communication token. Makes no identity. Safe to repeat: each answer has a token of its own, and earlier ones stay good.",
  })
  async exchangeTeamsUserToken(
    @Arg("input", () => ExchangeTeamsUserTokenInput, { description: "The Entra ID token, and whose it is." })
    input: ExchangeTeamsUserTokenInput,
    @Ctx() { call }: RequestContext,
  ): Promise<ExchangeTeamsUserTokenPayload> {
    return await payload({ accessToken: null }, async () => ({
      accessToken: await this.teams.exchange(call, input),
    }));
  }

  @Mutation(() => RevokeAccessTokensPayload, {
    description:
      "Revokes every token issued so far. The gateway hands none of them out from then on; the service is told at once, and again until it has confirmed. Until then new tokens are refused with REVOCATION_PENDING. Safe to repeat: revoked tokens stay revoked, and what was issued since is revoked, too; so ask for a new token once this is answered.",
  })
  async revokeAccessTokens(
    @Arg("input", () => RevokeAccessTokensInput, { description: "Whose tokens." }) input: RevokeAccessTokensInput,
    @Ctx() { call }: RequestContext,
  ): Promise<RevokeAccessTokensPayload> {
    return await payload({ identity: null, effectiveBy: null }, async () =>
      this.revocation.revoke(call, { identityId: input.identityId ?? null, reason: readReason(input) }),
    );
  }
}
