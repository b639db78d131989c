/**
 * An OpenID issuer for development: whoever is named gets tokens, without a password. An app signs its user in by
 * authorization code with PKCE (RFC 6749 §4.1, RFC 7636, RFC 8252); a shell takes a token by `/token?subject=`. Key and
 * port are kept in a file, so that tokens and users outlive a restart. It answers to loopback names only.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { GatewayError, StartError } from "../errors.js";
import { type Answer, fixedHeaders, json, send } from "../http/answer.js";
import { getOnly, type Handler, type Routes, route } from "../http/routes.js";
import { forPagesHere } from "./issuer/cors.js";
import { Grants } from "./issuer/grants.js";
import { LIFE_SECONDS } from "./issuer/life.js";
import { answerShellToken } from "./issuer/shell-token.js";
import { SignIn } from "./issuer/sign-in.js";
import { ALGORITHM, type DevUser, NO_APP, newKey, Signer } from "./issuer/signer.js";
import { readState, writeState } from "./issuer/state.js";
import { TokenEndpoint } from "./issuer/token-endpoint.js";
import { isFromHere } from "./loopback.js";
import { listenHere, startOnPort } from "./port.js";

interface IssuerOptions {
  /** Where key and port are kept. */
  readonly file: string;
  /**
   * At a first start the one that is tried before any free one: 4001 when left out, any when 0. Later it is the remembered
   * one or is left out.
   */
  readonly port?: number | undefined;
  readonly audience: string;
  /** ms since 1970, for codes and sessions; the system's clock unless a test brings its own. */
  readonly now?: () => number;
}

export interface DevIssuer {
  /** The `iss` of its tokens, and its address. */
  readonly issuer: string;
  /** An access token (RFC 9068) for this user, good for 12 hours. */
  token(user: DevUser): Promise<string>;
  close(): Promise<void>;
}

const FIRST_PORT = 4001;

/** Throws a `StartError`, also for another port than the remembered one. */
export async function startIssuer({ file, port: wanted, audience, now = Date.now }: IssuerOptions): Promise<DevIssuer> {
  const saved = readState(file);
  if (saved && wanted) refuseAnother(wanted, saved.port);
  const key = saved?.key ?? (await newKey());
  const server = createServer();
  const choice = { remembered: saved?.port, preferred: wanted ?? FIRST_PORT, name: "the embedded issuer" };
  const port = await startOnPort(choice, (wanted) => listenHere(server, wanted));
  if (saved === undefined) writeState(file, { port, key });
  const issuer = `http://127.0.0.1:${port}`;
  const signer = await Signer.create(issuer, audience, key);
  const routes = issuerRoutes(issuer, signer, new Grants(now));
  server.on("request", (request, response) => void respond(routes, request, response));
  return {
    issuer,
    token: (user) => signer.accessToken(user, { clientId: NO_APP, expiresIn: LIFE_SECONDS }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Users are known by their issuer's address, so on another port each would be somebody else. */
function refuseAnother(wanted: number, remembered: number): void {
  if (wanted === remembered) return;
  throw new StartError(
    `ISSUER_PORT is ${wanted}, but the embedded issuer had port ${remembered} before, which is part of every user's identity: leave ISSUER_PORT out, or delete the data folder to start afresh.`,
  );
}

function issuerRoutes(issuer: string, signer: Signer, grants: Grants): Routes {
  const signIn = new SignIn(issuer, grants);
  const tokens = new TokenEndpoint(grants, signer);
  const found = (value: object) => forPagesHere(getOnly(async () => json(200, value)));
  return new Map<string, Handler>([
    ["/.well-known/openid-configuration", found(metadata(issuer))],
    ["/jwks", found({ keys: [signer.publicKey] })],
    ["/authorize", getOnly((request) => signIn.authorize(request))],
    ["/sign-in", postOnly((request) => signIn.decide(request))],
    ["/oauth/token", forPagesHere(postOnly((request) => tokens.answer(request)))],
    ["/token", getOnly((request) => answerShellToken(request, signer))],
    ["/token.txt", getOnly((request) => answerShellToken(request, signer))],
  ]);
}

async function respond(routes: Routes, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const requestId = crypto.randomUUID();
  const answer = await answerTo(routes, request, requestId).catch((error: unknown) => {
    const isTheirs = error instanceof GatewayError;
    return json(isTheirs ? 400 : 500, { error: isTheirs ? "invalid_request" : "server_error" });
  });
  // A body that was too long to be read whole ends with its connection.
  if (!request.complete) response.setHeader("connection", "close");
  send(response, requestId, answer, fixedHeaders(null));
}

async function answerTo(routes: Routes, request: IncomingMessage, requestId: string): Promise<Answer> {
  if (!isFromHere(request)) return json(403, { error: "Ask at http://127.0.0.1 or http://localhost." });
  return await route(routes, request, requestId);
}

function postOnly(handler: Handler): Handler {
  return async (request, requestId) => {
    if (request.method === "POST") return await handler(request, requestId);
    return json(405, { error: "This is served by POST only." }, { allow: "POST" });
  };
}

/** OpenID Connect Discovery §3, RFC 8414 §2 */
function metadata(issuer: string): object {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/oauth/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ["code"],
    response_modes_supported: ["query"],
    grant_types_supported: ["authorization_code", "refresh_token"],
    scopes_supported: ["openid", "offline_access"],
    code_challenge_methods_supported: ["S256"],
    token_endpoint_auth_methods_supported: ["none"],
    authorization_response_iss_parameter_supported: true,
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: [ALGORITHM],
  };
}
