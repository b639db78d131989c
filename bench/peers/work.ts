/**
 * What every peer does, as most would write it who know their way around: verify the caller's token, find or make the
 * caller's identity, and a token for it that is kept until it is about to expire. No limits, no policy, no audit trail, no
 * database; what is known is known until the process ends.
 */
import { CommunicationIdentityClient } from "@azure/communication-identity";
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from "jose";

const LEAST_LIFE_MS = 5 * 60_000;
const MOST_REMEMBERED = 10_000;

const WIRE_SCOPES = {
  CHAT: "chat",
  CHAT_JOIN: "chat.join",
  CHAT_JOIN_LIMITED: "chat.join.limited",
  VOIP: "voip",
  VOIP_JOIN: "voip.join",
} as const;

export type Scope = keyof typeof WIRE_SCOPES;

export interface IssueInput {
  readonly scopes: readonly Scope[];
  readonly forceNew?: boolean | null;
}

export interface Identity {
  readonly id: string;
  readonly communicationUserId: string;
}

export interface AccessToken {
  readonly token: string;
  /** RFC 3339 */
  readonly expiresOn: string;
  readonly scopes: readonly Scope[];
  readonly identity: Identity;
}

/** As the schema has it. */
export interface IssuePayload {
  readonly accessToken: AccessToken;
  readonly userErrors: readonly never[];
}

export class Unauthenticated extends Error {}

const { ACS_CONNECTION_STRING = "", OIDC_ISSUER = "", OIDC_AUDIENCE = "", VERIFICATION = "each" } = process.env;

// The emulator speaks plain HTTP.
const service = new CommunicationIdentityClient(ACS_CONNECTION_STRING, { allowInsecureConnection: true });
const keys = createRemoteJWKSet(new URL(`${OIDC_ISSUER}/jwks`));
const identities = new Map<string, Identity>();
const tokens = new Map<string, { readonly accessToken: AccessToken; readonly expiresOn: number }>();
const verified = new Map<string, JWTPayload>();

/** The subject of the token in an `Authorization` header. Throws `Unauthenticated`. */
export async function authenticate(authorization: string | undefined): Promise<string> {
  const [scheme, token] = authorization?.split(" ") ?? [];
  if (scheme !== "Bearer" || token === undefined) throw new Unauthenticated("There is no token.");
  const { sub } = await (VERIFICATION === "remembered" ? verifyOnce(token) : verify(token));
  if (sub === undefined) throw new Unauthenticated("The token has no subject.");
  return sub;
}

async function verify(token: string): Promise<JWTPayload> {
  try {
    const options = { issuer: OIDC_ISSUER, audience: OIDC_AUDIENCE, algorithms: ["ES256"], typ: "at+jwt" };
    return (await jwtVerify(token, keys, options)).payload;
  } catch (error) {
    throw new Unauthenticated("The token is not good.", { cause: error });
  }
}

async function verifyOnce(token: string): Promise<JWTPayload> {
  const known = verified.get(token);
  if (known?.exp !== undefined && known.exp * 1000 > Date.now()) return known;
  const payload = await verify(token);
  const [oldest] = verified.keys();
  if (verified.size >= MOST_REMEMBERED && oldest !== undefined) verified.delete(oldest);
  verified.set(token, payload);
  return payload;
}

export async function issueAccessToken(subject: string, { scopes, forceNew }: IssueInput): Promise<IssuePayload> {
  const key = `${subject} ${scopes}`;
  const known = forceNew ? undefined : tokens.get(key);
  if (known !== undefined && known.expiresOn - LEAST_LIFE_MS > Date.now()) return payloadOf(known.accessToken);
  const identity = identities.get(subject) ?? (await makeIdentity(subject));
  const wireScopes = scopes.map((scope) => WIRE_SCOPES[scope]);
  const { communicationUserId } = identity;
  const { token, expiresOn } = await service.getToken({ communicationUserId }, wireScopes);
  const accessToken = { token, expiresOn: expiresOn.toISOString(), scopes, identity };
  tokens.set(key, { accessToken, expiresOn: expiresOn.getTime() });
  return payloadOf(accessToken);
}

async function makeIdentity(subject: string): Promise<Identity> {
  const { communicationUserId } = await service.createUser();
  const identity = { id: crypto.randomUUID(), communicationUserId };
  identities.set(subject, identity);
  return identity;
}

function payloadOf(accessToken: AccessToken): IssuePayload {
  return { accessToken, userErrors: [] };
}
