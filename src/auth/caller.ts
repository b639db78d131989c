/**
 * Who is calling.
 *
 * `readCredentials` takes what a request brings to prove it: a token, and a proof or a certificate. The `Authenticator`
 * goes from there: is this token known to be good → its form → the issuer that it names → that issuer's key → the signature
 * → its claims → the proof that whoever sends it may. What comes out is a `Caller`; everything else is an
 * `AuthenticationFailure` when the caller is at fault, KEYS_UNAVAILABLE or STORE_UNAVAILABLE when what has to be asked
 * cannot be. Only this folder uses jose on what callers send.
 */

/** UTF-16 code units of a user's name, by which the issuer knows them. */
export const MAX_SUBJECT_LENGTH = 255;

/** The same object for each request with a token that is remembered, so that what follows from it can be remembered with it. */
export interface Caller {
  /** The token's `iss`, exactly as configured. */
  readonly issuer: string;
  /** The value of the issuer's subject claim, 1 to `MAX_SUBJECT_LENGTH` characters. */
  readonly subject: string;
  readonly claims: Readonly<Record<string, unknown>>;
  /** How the caller has proven to be the one that the token was issued to; null for a bearer token. */
  readonly senderConstraint: "dpop" | "certificate" | null;
}
