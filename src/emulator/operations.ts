import { type Answer, jsonAnswer, NO_CONTENT } from "./answer.js";
import { identityNotOwned } from "./errors.js";
import type { JsonObject } from "./http.js";
import type { Identities, Identity } from "./identities.js";
import type { LimitedCall } from "./rate-limits.js";
import { asksForToken, parseCreate, parseIssue, type TokenRequest } from "./requests.js";
import type { AccessKey } from "./resource.js";
import { parseExchange } from "./teams.js";
import type { Grant, Tokens } from "./tokens.js";

export const OPERATION_NAMES = [
  "createIdentity",
  "deleteIdentity",
  "issueAccessToken",
  "revokeAccessTokens",
  "exchangeTeamsUserAccessToken",
] as const;
export type OperationName = (typeof OPERATION_NAMES)[number];

/** An authenticated call. `identity` is the id in the path, decoded, or empty where the path has none. */
export interface Call {
  readonly identity: string;
  readonly body: JsonObject | undefined;
  readonly accessKey: AccessKey;
}

export interface Service {
  readonly identities: Identities;
  readonly tokens: Tokens;
  readonly now: () => number;
}

export interface Operation {
  readonly name: OperationName;
  readonly method: "POST" | "DELETE";
  /** Segments of the path; `{id}` stands for any one. */
  readonly path: readonly string[];
  readonly apiVersions: readonly string[];
  /** Least and most server-side time seen, in ms. */
  readonly latency: readonly [number, number];
  readonly limit: (body: JsonObject | undefined) => LimitedCall;
  readonly perform: (call: Call, service: Service) => Answer | Promise<Answer>;
}

const TEAMS_API_VERSIONS = ["2022-06-01", "2022-10-01", "2023-10-01"];
const API_VERSIONS = ["2021-03-07", ...TEAMS_API_VERSIONS];
const TEAMS_SCOPES = ["chat", "voip"];

/**
 * Everything that the operations do not share. The bodies are those of the newest api-version whichever is named. Where only
 * one time was seen, the range is a tenth to either side.
 */
export const OPERATIONS: readonly Operation[] = [
  {
    name: "createIdentity",
    method: "POST",
    path: ["identities"],
    apiVersions: API_VERSIONS,
    latency: [31, 54],
    limit: (body) => (asksForToken(body) ? "createIdentityWithToken" : "createIdentity"),
    perform: createIdentity,
  },
  {
    name: "deleteIdentity",
    method: "DELETE",
    path: ["identities", "{id}"],
    apiVersions: API_VERSIONS,
    latency: [204, 250],
    limit: () => "deleteIdentity",
    perform: deleteIdentity,
  },
  {
    name: "issueAccessToken",
    method: "POST",
    path: ["identities", "{id}", ":issueAccessToken"],
    apiVersions: API_VERSIONS,
    latency: [42, 53],
    limit: () => "issueAccessToken",
    perform: issueAccessToken,
  },
  {
    name: "revokeAccessTokens",
    method: "POST",
    path: ["identities", "{id}", ":revokeAccessTokens"],
    apiVersions: API_VERSIONS,
    latency: [403, 493],
    limit: () => "revokeAccessTokens",
    perform: revokeAccessTokens,
  },
  {
    name: "exchangeTeamsUserAccessToken",
    method: "POST",
    path: ["teamsUser", ":exchangeAccessToken"],
    apiVersions: TEAMS_API_VERSIONS,
    latency: [276, 833],
    limit: () => "exchangeTeamsUserAccessToken",
    perform: exchangeTeamsUserAccessToken,
  },
];

async function createIdentity(call: Call, { identities, tokens, now }: Service): Promise<Answer> {
  const wanted = parseCreate(call.body);
  const identity = identities.create(now());
  const answer = { identity: { id: identity.id } };
  if (wanted === undefined) return jsonAnswer(201, answer);
  const accessToken = await tokens.issue(grantTo(identity, wanted, { accessKey: call.accessKey, issuedAt: now() }));
  return jsonAnswer(201, { ...answer, accessToken });
}

async function issueAccessToken(call: Call, { identities, tokens, now }: Service): Promise<Answer> {
  const wanted = parseIssue(call.body);
  const identity = identities.find(call.identity);
  if (identity === undefined || identity.deletedAt !== undefined) throw identityNotOwned();
  return jsonAnswer(200, await tokens.issue(grantTo(identity, wanted, { accessKey: call.accessKey, issuedAt: now() })));
}

function revokeAccessTokens(call: Call, { identities, now }: Service): Answer {
  if (!identities.revokeTokens(call.identity, now())) throw identityNotOwned();
  return NO_CONTENT;
}

function deleteIdentity(call: Call, { identities, now }: Service): Answer {
  if (!identities.delete(call.identity, now())) throw identityNotOwned();
  return NO_CONTENT;
}

/** Which scopes the service puts into a Teams user's token is not published. */
async function exchangeTeamsUserAccessToken({ body, accessKey }: Call, { tokens, now }: Service): Promise<Answer> {
  const issuedAt = now();
  const { id, expiresAt } = parseExchange(body, issuedAt);
  return jsonAnswer(200, await tokens.issue({ subject: id, scopes: TEAMS_SCOPES, issuedAt, expiresAt, accessKey }));
}

function grantTo(identity: Identity, wanted: TokenRequest, given: { accessKey: AccessKey; issuedAt: number }): Grant {
  return {
    subject: identity.id,
    scopes: wanted.scopes,
    expiresAt: given.issuedAt + wanted.lifetimeMinutes * 60_000,
    revocations: identity.revocations,
    ...given,
  };
}
