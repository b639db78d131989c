/**
 * Who is calling.
 *
 * `readAuthorization` takes the token out of the `Authorization` header; a `Verifier` picks the issuer by the token's
 * exact `iss`, verifies the signature with one of that issuer's keys and checks the claims that the issuer's profile
 * demands. What comes out is a `Caller`; everything else is one `GatewayError`: UNAUTHENTICATED when the token is at
 * fault, KEYS_UNAVAILABLE when the issuer cannot be asked. Only this folder uses jose on what callers send.
 */
import { GatewayError } from "../errors.js";

export interface Caller {
  /** The token's `iss`, exactly as configured. */
  readonly issuer: string;
  /** The value of the issuer's subject claim, 1 to 255 characters. */
  readonly subject: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Says no without saying why: the reason is for the log, the answer is the same for every token that fails. */
export class Unauthenticated extends GatewayError {
  constructor(
    readonly reason: string,
    /** RFC 6750 §3.1: a request without any token gets no error code. */
    readonly tokenGiven: boolean,
    cause?: unknown,
  ) {
    super("UNAUTHENTICATED", "A valid access token is required.", { cause });
  }

  /** The value of `WWW-Authenticate` (RFC 6750 §3). */
  get challenge(): string {
    return this.tokenGiven
      ? 'Bearer realm="acs-token-gateway", error="invalid_token"'
      : 'Bearer realm="acs-token-gateway"';
  }
}

/** The bearer token of an `Authorization` header (RFC 6750 §2.1). */
export function readAuthorization(header: string | undefined): string {
  if (header === undefined || header === "") throw new Unauthenticated("no authorization header", false);
  const token = /^Bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(header)?.[1];
  if (token === undefined) throw new Unauthenticated("authorization header is not a bearer token", true);
  return token;
}
