import { isLoopbackName } from "../loopback.js";
import { BadParameters, type Parameters } from "./parameters.js";

/** What an app asks for when it sends its user here (RFC 6749 §4.1.1). */
export interface AuthorizationRequest {
  readonly clientId: string;
  /** Where the answer goes; as the app wrote it. */
  readonly redirectUri: string;
  readonly state: string | undefined;
  /** RFC 7636 §4.3 */
  readonly challenge: string;
  readonly scope: string | undefined;
  readonly nonce: string | undefined;
  /** Whom to suggest. */
  readonly loginHint: string | undefined;
}

/** The app is told, by a redirect (RFC 6749 §4.1.2.1). */
export class AuthorizationError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Where an answer to the app goes, good or bad. */
export type Return = Pick<AuthorizationRequest, "redirectUri" | "state">;

/** SHA-256 in base64url. */
const CHALLENGE = /^[A-Za-z0-9_-]{43}$/;

/**
 * What has to be known before anything is sent back to the app: an address of an app on this machine. Throws
 * `BadParameters`, which is told to the user and never redirected.
 */
export function readReturn(parameters: Parameters): Return {
  const redirectUri = parameters.require("redirect_uri");
  if (!isOnThisMachine(redirectUri)) {
    throw new BadParameters(
      "The redirect_uri has to be an address on this machine, such as http://127.0.0.1:8080/callback, without a fragment.",
    );
  }
  return { redirectUri, state: parameters.get("state") };
}

/** Any port and path of a loopback address (RFC 8252 §7.3), and of localhost, as web apps under development have it. */
function isOnThisMachine(redirectUri: string): boolean {
  const url = URL.parse(redirectUri);
  if (url === null || !["http:", "https:"].includes(url.protocol)) return false;
  return isLoopbackName(url.hostname) && url.username === "" && url.password === "" && !redirectUri.includes("#");
}

/** Throws `BadParameters` or an `AuthorizationError`. */
export function readAuthorizationRequest(parameters: Parameters): AuthorizationRequest {
  const back = readReturn(parameters);
  const clientId = parameters.require("client_id");
  if (parameters.get("response_type") !== "code") {
    throw new AuthorizationError("unsupported_response_type", "response_type has to be code");
  }
  if ((parameters.get("response_mode") ?? "query") !== "query") {
    throw new AuthorizationError("invalid_request", "response_mode has to be query");
  }
  if (parameters.get("prompt") === "none") throw new AuthorizationError("login_required", "nobody is signed in here");
  return {
    ...back,
    clientId,
    challenge: readChallenge(parameters),
    scope: parameters.get("scope"),
    nonce: parameters.get("nonce"),
    loginHint: parameters.get("login_hint"),
  };
}

/** A method that is left out means `plain` (RFC 7636 §4.3), which protects from nobody who sees the request. */
function readChallenge(parameters: Parameters): string {
  const challenge = parameters.get("code_challenge");
  if (challenge === undefined || parameters.get("code_challenge_method") !== "S256") {
    throw new AuthorizationError("invalid_request", "PKCE with code_challenge_method S256 is required");
  }
  if (!CHALLENGE.test(challenge)) {
    throw new AuthorizationError("invalid_request", "code_challenge has to be 43 characters of base64url");
  }
  return challenge;
}
