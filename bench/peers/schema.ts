/** The part of the gateway's schema that the benchmark asks, in the form that GraphQL servers take. */
import { type IssueInput, type IssuePayload, issueAccessToken } from "./work.js";

export interface Context {
  readonly subject: string;
}

export const typeDefs = `
  enum TokenScope { CHAT CHAT_JOIN CHAT_JOIN_LIMITED VOIP VOIP_JOIN }
  type Query { ping: String }
  type Mutation { issueAccessToken(input: IssueAccessTokenInput!): IssueAccessTokenPayload! }
  input IssueAccessTokenInput { scopes: [TokenScope!]!, forceNew: Boolean }
  type IssueAccessTokenPayload { accessToken: AccessToken, userErrors: [UserError!]! }
  type AccessToken { token: String!, expiresOn: String!, scopes: [TokenScope!]!, identity: Identity! }
  type Identity { id: ID!, communicationUserId: String }
  type UserError { code: String!, message: String! }
`;

export const resolvers = {
  Mutation: {
    issueAccessToken: (_: unknown, { input }: { input: IssueInput }, { subject }: Context): Promise<IssuePayload> =>
      issueAccessToken(subject, input),
  },
};
