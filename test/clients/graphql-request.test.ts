import { ClientError, GraphQLClient, type RequestMiddleware } from "graphql-request";
import { describe, expect, expectTypeOf, it } from "vitest";
import type { Client } from "../fixtures/rig.js";
import {
  IdentityByUserDocument,
  IdentityDocument,
  IssueAccessTokenDocument,
  ViewerDocument,
} from "../generated/trees/graphql.js";
import { Gateways, manifest } from "./gateways.js";

const gateways = Gateways.use();

/** It knows nothing of ids: what it is about to send is changed on its way, to GraphQL over HTTP's own form. */
const byId: RequestMiddleware = (request) => {
  const { variables } = JSON.parse(String(request.body)) as { variables?: unknown };
  const { id } = manifest.operations.find(({ name }) => name === request.operationName) ?? expect.fail("not listed");
  return { ...request, body: JSON.stringify({ documentId: `sha256:${id}`, variables }) };
};

describe.each([
  ["by documents' texts", () => ({ url: gateways.openUrl })],
  [
    "by a manifest's ids, where only its documents are run",
    () => ({ url: gateways.trustingUrl, requestMiddleware: byId }),
  ],
])("graphql-request, %s", (how, setup) => {
  const isPersisted = how.includes("ids");
  const client = ({ token }: Pick<Client, "token">) => {
    const { url, ...options } = setup();
    const headers = { authorization: `Bearer ${token}` };
    return new GraphQLClient(url, { ...options, fetch: gateways.fetch, headers });
  };

  it("asks", async () => {
    const { issueAccessToken } = await client(gateways.member).request(IssueAccessTokenDocument, { scopes: ["CHAT"] });
    expect(await gateways.rig.isActive(issueAccessToken.accessToken?.token ?? "")).toBe(true);
    const { viewer } = await client(gateways.member).request(ViewerDocument);
    expect(viewer).toMatchObject({ user: { subject: "alice" }, identity: { status: "ACTIVE" } });
    expect(gateways.sent.map(({ body }) => "query" in body)).toEqual([!isPersisted, !isPersisted]);
  });

  it("shows a refusal as data", async () => {
    const scopes = ["CHAT_JOIN_LIMITED" as const];
    const { issueAccessToken } = await client(gateways.member).request(IssueAccessTokenDocument, { scopes });
    expect(issueAccessToken).toMatchObject({
      accessToken: null,
      userErrors: [{ code: "SCOPE_NOT_ALLOWED", path: ["input", "scopes"] }],
    });
  });

  it("throws an error with its code, whatever the HTTP status", async () => {
    const user = { issuer: "https://issuer.example.com", subject: "somebody" };
    const forbidden = client(gateways.member).request(IdentityByUserDocument, { user });
    await expect(forbidden).rejects.toBeInstanceOf(ClientError);
    await expect(forbidden).rejects.toMatchObject({
      response: { status: 403, errors: [{ extensions: { code: "FORBIDDEN", retryable: false } }] },
    });
    await expect(client({ token: "no.token.atall" }).request(ViewerDocument)).rejects.toMatchObject({
      response: { status: 401, errors: [{ extensions: { code: "UNAUTHENTICATED" } }] },
    });
  });
});

describe("graphql-request", () => {
  it("is refused where only a manifest's documents are run, when it sends its own text", async () => {
    const headers = { authorization: `Bearer ${gateways.member.token}` };
    const bare = new GraphQLClient(gateways.trustingUrl, { headers });
    await expect(bare.request(ViewerDocument)).rejects.toMatchObject({
      response: { status: 400, errors: [{ extensions: { code: "BAD_REQUEST" } }] },
    });
  });

  it("is typed by the documents, which `npm run check` checks", async () => {
    const headers = { authorization: `Bearer ${gateways.member.token}` };
    const client = new GraphQLClient(gateways.openUrl, { headers });
    const { viewer } = await client.request(ViewerDocument);
    expectTypeOf(viewer.maxTokenLifetimeMinutes).toEqualTypeOf<number>();
    // @ts-expect-error There is no such field.
    viewer.nope;
    const mistakes = [
      // @ts-expect-error A variable is missing.
      () => client.request(IdentityDocument),
      // @ts-expect-error A variable has another type.
      () => client.request(IdentityDocument, { id: true }),
      // @ts-expect-error There is no such scope.
      () => client.request(IssueAccessTokenDocument, { scopes: ["FLY"] }),
    ];
    expect(mistakes).toHaveLength(3);
  });
});
