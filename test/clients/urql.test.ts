import { cacheExchange, type Exchange, fetchExchange, Client as Urql } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { describe, expect, expectTypeOf, it } from "vitest";
import type { Client } from "../fixtures/rig.js";
import {
  IdentityByUserDocument,
  IdentityDocument,
  IssueAccessTokenDocument,
  ProvisionIdentityDocument,
  SuspendIdentityDocument,
  ViewerDocument,
} from "../generated/trees/graphql.js";
import { Gateways, manifest } from "./gateways.js";

const gateways = Gateways.use();

function clientFor({ token }: Pick<Client, "token">, url: string, ...exchanges: Exchange[]): Urql {
  return new Urql({
    url,
    exchanges: [cacheExchange, ...exchanges, fetchExchange],
    // urql's own default is GET for whatever fits into an address.
    preferGetMethod: false,
    fetch: gateways.fetch,
    fetchOptions: { headers: { authorization: `Bearer ${token}` } },
  });
}

/** As urql has it, with the ids that codegen has put into the documents: those of the manifest. */
const persisted = () =>
  persistedExchange({
    enforcePersistedQueries: true,
    enableForMutation: true,
    preferGetForPersistedQueries: false,
    generateHash: async (_, document) => (document as { __meta__?: { hash: string } }).__meta__?.hash ?? "",
  });

describe.each([
  ["by documents' texts", () => ({ url: gateways.openUrl, exchanges: [] })],
  [
    "by a manifest's ids, where only its documents are run",
    () => ({ url: gateways.trustingUrl, exchanges: [persisted()] }),
  ],
])("urql, %s", (how, setup) => {
  const isPersisted = how.includes("ids");
  const client = (caller: Pick<Client, "token">) => {
    const { url, exchanges } = setup();
    return clientFor(caller, url, ...exchanges);
  };

  it("asks", async () => {
    const member = client(gateways.member);
    const issued = await member.mutation(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    expect(issued.error).toBeUndefined();
    expect(await gateways.rig.isActive(issued.data?.issueAccessToken.accessToken?.token ?? "")).toBe(true);
    const { data } = await member.query(ViewerDocument, {});
    expect(data?.viewer).toMatchObject({ user: { subject: "alice" }, identity: { status: "ACTIVE" } });
    for (const { method, body } of gateways.sent) {
      expect(method).toBe("POST");
      expect("query" in body).toBe(!isPersisted);
    }
  });

  it("asks again for what a mutation has changed, which it knows by its type's name, and for nothing else", async () => {
    const admin = client(gateways.admin);
    const user = { issuer: gateways.rig.issuer.url, subject: how };
    const provisioned = await admin.mutation(ProvisionIdentityDocument, { user });
    const id = provisioned.data?.provisionIdentity.identity?.id ?? expect.fail("not provisioned");
    const statusNow = async () => {
      const { data } = await admin.query(IdentityDocument, { id });
      return data?.node?.__typename === "CommunicationIdentity" ? data.node.status : undefined;
    };
    expect(await statusNow()).toBe("ACTIVE");
    const asked = gateways.sent.length;
    expect(await statusNow()).toBe("ACTIVE");
    expect(gateways.sent).toHaveLength(asked);
    await admin.mutation(SuspendIdentityDocument, { identityId: id });
    expect(await statusNow()).toBe("SUSPENDED");
  });

  it("shows a refusal as data", async () => {
    const refused = await client(gateways.member).mutation(IssueAccessTokenDocument, { scopes: ["CHAT_JOIN_LIMITED"] });
    expect(refused.error).toBeUndefined();
    expect(refused.data?.issueAccessToken).toMatchObject({
      accessToken: null,
      userErrors: [{ code: "SCOPE_NOT_ALLOWED", path: ["input", "scopes"] }],
    });
  });

  it("shows an error with its code, whatever the HTTP status", async () => {
    const user = { issuer: "https://issuer.example.com", subject: "somebody" };
    const forbidden = await client(gateways.member).query(IdentityByUserDocument, { user });
    expect(forbidden.error?.graphQLErrors).toMatchObject([{ extensions: { code: "FORBIDDEN", retryable: false } }]);
    expect(forbidden.error?.networkError).toBeUndefined();
    const unknown = await client({ token: "no.token.atall" }).query(ViewerDocument, {});
    expect(unknown.error?.graphQLErrors).toMatchObject([{ extensions: { code: "UNAUTHENTICATED" } }]);
  });
});

describe("urql", () => {
  it("has the manifest's ids from codegen", () => {
    const ids = manifest.operations.map(({ id }) => `sha256:${id}`);
    for (const document of [IdentityDocument, IssueAccessTokenDocument, ViewerDocument]) {
      expect(ids).toContain((document as { __meta__?: { hash: string } }).__meta__?.hash);
    }
  });

  it("is refused where only a manifest's documents are run, when it sends its own text", async () => {
    const bare = clientFor(gateways.member, gateways.trustingUrl);
    const { error } = await bare.query(ViewerDocument, {});
    expect(error?.graphQLErrors).toMatchObject([{ extensions: { code: "BAD_REQUEST" } }]);
  });

  it("is typed by the documents, which `npm run check` checks", async () => {
    const client = clientFor(gateways.member, gateways.openUrl);
    const { data } = await client.query(ViewerDocument, {});
    expectTypeOf(data?.viewer.maxTokenLifetimeMinutes).toEqualTypeOf<number | undefined>();
    // @ts-expect-error There is no such field.
    data?.viewer.nope;
    const mistakes = [
      // @ts-expect-error A variable is missing.
      () => client.query(IdentityDocument, {}),
      // @ts-expect-error A variable has another type.
      () => client.query(IdentityDocument, { id: true }),
      // @ts-expect-error There is no such scope.
      () => client.mutation(IssueAccessTokenDocument, { scopes: ["FLY"] }),
    ];
    expect(mistakes).toHaveLength(3);
  });
});
