import { AuthenticationFailure } from "./failure.js";

/** What a request brings to prove who sends it. */
export interface Credentials {
  /** RFC 6750 §2.1, RFC 9449 §7.1 */
  readonly scheme: "Bearer" | "DPoP";
  readonly token: string;
  /** The DPoP proof. */
  readonly proof: string | undefined;
  /** What the proof has to be for. */
  readonly method: string;
  readonly uri: string;
  /** Of the client, in DER, as told by a proxy that is trusted. */
  readonly certificate: Buffer | undefined;
}

/** By header, its lines. */
export interface AuthenticationHeaders {
  readonly authorization?: readonly string[] | undefined;
  readonly dpop?: readonly string[] | undefined;
}

/** RFC 9110 §11.6.2 with the one kind of credentials that both schemes have; names of schemes ignore case. */
const AUTHORIZATION = /^(Bearer|DPoP) +([A-Za-z0-9._~+/=-]+)$/i;

/** Each value stands for a header line of its own. Throws an `AuthenticationFailure`. */
export function readCredentials({
  authorization = [],
  dpop = [],
}: AuthenticationHeaders): Pick<Credentials, "scheme" | "token" | "proof"> {
  const [line, ...more] = authorization;
  if (line === undefined || line === "") throw new AuthenticationFailure("no_token", "no authorization header");
  const [, scheme, token] = (more.length === 0 && AUTHORIZATION.exec(line)) || [];
  if (scheme === undefined || token === undefined) {
    throw new AuthenticationFailure("malformed", "authorization is not one token of a known scheme");
  }
  if (scheme.toLowerCase() === "bearer") return { scheme: "Bearer", token, proof: undefined };
  // RFC 9449 §4.3, check 1
  if (dpop.length !== 1) throw new AuthenticationFailure("bad_proof", "not one DPoP header");
  return { scheme: "DPoP", token, proof: dpop[0] };
}
