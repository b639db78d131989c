import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { generatePersistedQueryIdsFromManifest } from "@apollo/persisted-query-lists";
import { describe, expect, expectTypeOf, it } from "vitest";
import type { Client } from "../fixtures/rig.js";
import {
  IdentitiesDocument,
  IdentityByUserDocument,
  IdentityDocument,
  IssueAccessTokenDocument,
  ViewerDocument,
} from "../generated/trees/graphql.js";
import { Gateways, manifest } from "./gateways.js";

const gateways = Gateways.use();

function clientFor({ token }: Client, ...links: ApolloLink[]): ApolloClient {
  const uri = links.length === 0 ? gateways.openUrl : gateways.trustingUrl;
  const http = new HttpLink({ uri, fetch: gateways.fetch, headers: { authorization: `Bearer ${token}` } });
  return new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.from([...links, http]),
    clientAwareness: { name: "apollo-app", version: "1.2" },
  });
}

/** As Apollo has it: the ids of a manifest, by the operations' names. */
const persisted = () =>
  new PersistedQueryLink(generatePersistedQueryIdsFromManifest({ loadManifest: async () => manifest }));

describe.each([
  ["by documents' texts", () => []],
  ["by a manifest's ids, where only its documents are run", () => [persisted()]],
])("Apollo Client, %s", (how, links) => {
  const isPersisted = how.includes("ids");

  it("asks, and keeps objects in its cache by their ids", async () => {
    const client = clientFor(gateways.member, ...links());
    const variables = { scopes: ["CHAT" as const] };
    const { data } = await client.mutate({ mutation: IssueAccessTokenDocument, variables });
    const issued = data?.issueAccessToken.accessToken ?? expect.fail("no token");
    expect(await gateways.rig.isActive(issued.token)).toBe(true);

    const { data: viewer } = await client.query({ query: ViewerDocument });
    expect(viewer?.viewer).toMatchObject({ user: { subject: "alice" }, identity: { id: issued.identity.id } });
    const { data: node } = await client.query({ query: IdentityDocument, variables: { id: issued.identity.id } });
    expect(node?.node).toMatchObject({ status: "ACTIVE" });
    expect(client.cache.extract()).toMatchObject({
      [`CommunicationIdentity:${issued.identity.id}`]: { status: "ACTIVE" },
    });
    const before = gateways.sent.length;
    expect((await client.query({ query: ViewerDocument })).data).toEqual(viewer);
    expect(gateways.sent).toHaveLength(before);
    for (const { body } of gateways.sent) {
      expect("query" in body).toBe(!isPersisted);
      if (isPersisted)
        expect(body.extensions).toMatchObject({ persistedQuery: { version: 1, sha256Hash: expect.any(String) } });
    }
  });

  it("shows a refusal as data", async () => {
    const variables = { scopes: ["CHAT_JOIN_LIMITED" as const] };
    const { data, error } = await clientFor(gateways.member, ...links()).mutate({
      mutation: IssueAccessTokenDocument,
      variables,
    });
    expect(error).toBeUndefined();
    expect(data?.issueAccessToken).toMatchObject({
      accessToken: null,
      userErrors: [{ code: "SCOPE_NOT_ALLOWED", path: ["input", "scopes"] }],
    });
  });

  it("shows an error with its code, whatever the HTTP status", async () => {
    const variables = { user: { issuer: "https://issuer.example.com", subject: "somebody" } };
    const forbidden = clientFor(gateways.member, ...links()).query({ query: IdentityByUserDocument, variables });
    const error = await forbidden.catch((error: unknown) => error);
    if (!CombinedGraphQLErrors.is(error)) expect.fail(String(error));
    expect(error.errors).toMatchObject([{ extensions: { code: "FORBIDDEN", retryable: false } }]);

    const stranger = { ...gateways.member, token: "no.token.atall" } as Client;
    const unknown = await clientFor(stranger, ...links())
      .query({ query: ViewerDocument })
      .catch((error: unknown) => error);
    if (!CombinedGraphQLErrors.is(unknown)) expect.fail(String(unknown));
    expect(unknown.errors).toMatchObject([{ extensions: { code: "UNAUTHENTICATED" } }]);
  });

  it("pages through a connection", async () => {
    const client = clientFor(gateways.admin, ...links());
    const { data } = await client.query({ query: IdentitiesDocument, variables: { first: 1 } });
    expect(data?.identities).toMatchObject({ totalCount: expect.any(Number), pageInfo: { hasPreviousPage: false } });
    expect(data?.identities.edges).toHaveLength(1);
  });
});

describe("Apollo Client", () => {
  it("names the app where the log and the trail show it", async () => {
    gateways.rig.logLines.length = 0;
    await clientFor(gateways.member).query({ query: ViewerDocument });
    expect(gateways.rig.logLines.join("")).toContain('"clientName":"apollo-app"');
  });

  it("is refused where only a manifest's documents are run, when it sends its own text", async () => {
    const bare = clientFor(gateways.member, new ApolloLink((operation, forward) => forward(operation)));
    const error = await bare.query({ query: ViewerDocument }).catch((error: unknown) => error);
    if (!CombinedGraphQLErrors.is(error)) expect.fail(String(error));
    expect(error.errors).toMatchObject([{ extensions: { code: "BAD_REQUEST" } }]);
  });

  it("is typed by the documents, which `npm run check` checks", async () => {
    const client = clientFor(gateways.member);
    const { data } = await client.query({ query: ViewerDocument });
    expectTypeOf(data?.viewer.maxTokenLifetimeMinutes).toEqualTypeOf<number | undefined>();
    // @ts-expect-error There is no such field.
    data?.viewer.nope;
    const mistakes = [
      // @ts-expect-error A variable is missing.
      () => client.query({ query: IdentityDocument }),
      // @ts-expect-error A variable has another type.
      () => client.query({ query: IdentityDocument, variables: { id: true } }),
      // @ts-expect-error There is no such scope.
      () => client.mutate({ mutation: IssueAccessTokenDocument, variables: { scopes: ["FLY"] } }),
    ];
    expect(mistakes).toHaveLength(3);
  });
});
