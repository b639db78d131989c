import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK, type JWTPayload, SignJWT } from "jose";

export const ALGORITHM = "ES256";
/** The client of tokens that no app has asked for. */
export const NO_APP = "dev";

/** Whoever signs in: the development issuer takes everybody's word. */
export interface DevUser {
  readonly subject: string;
  readonly roles?: readonly string[];
}

export interface AccessTokenOptions {
  readonly clientId: string;
  /** The token's life in seconds. */
  readonly expiresIn: number;
  /** Thumbprint of the client's key, for a token that is bound to it (RFC 9449 §6.1). */
  readonly jkt?: string | undefined;
  /** As it was asked for. */
  readonly scope?: string | undefined;
}

interface IdTokenOptions {
  readonly clientId: string;
  readonly expiresIn: number;
  readonly nonce: string | undefined;
}

/** Signs the issuer's tokens with its one key. */
export class Signer {
  private constructor(
    private readonly issuer: string,
    private readonly audience: string,
    private readonly kid: string,
    private readonly privateKey: CryptoKey,
    /** As the issuer shows it. */
    readonly publicKey: JWK,
  ) {}

  static async create(issuer: string, audience: string, key: JWK): Promise<Signer> {
    const { d: _, ...publicKey } = key;
    const privateKey = (await importJWK(key, ALGORITHM)) as CryptoKey;
    return new Signer(issuer, audience, key.kid ?? "", privateKey, publicKey);
  }

  /** For the gateway (RFC 9068). */
  async accessToken({ subject, roles = [] }: DevUser, options: AccessTokenOptions): Promise<string> {
    const { clientId, expiresIn, jkt, scope } = options;
    const claims = {
      client_id: clientId,
      roles,
      ...(scope !== undefined && { scope }),
      ...(jkt !== undefined && { cnf: { jkt } }),
    };
    return await this.#sign(claims, { typ: "at+jwt", subject, audience: this.audience, expiresIn });
  }

  /** For the app (OpenID Connect Core §2). */
  async idToken({ subject }: DevUser, { clientId, expiresIn, nonce }: IdTokenOptions): Promise<string> {
    const claims = nonce === undefined ? {} : { nonce };
    return await this.#sign(claims, { typ: "JWT", subject, audience: clientId, expiresIn });
  }

  async #sign(
    claims: JWTPayload,
    { typ, subject, audience, expiresIn }: { typ: string; subject: string; audience: string; expiresIn: number },
  ): Promise<string> {
    const issuedAt = Math.floor(Date.now() / 1000);
    return await new SignJWT(claims)
      .setProtectedHeader({ alg: ALGORITHM, typ, kid: this.kid })
      .setIssuer(this.issuer)
      .setAudience(audience)
      .setSubject(subject)
      .setJti(crypto.randomUUID())
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + expiresIn)
      .sign(this.privateKey);
  }
}

export async function newKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: crypto.randomUUID(), alg: ALGORITHM, use: "sig" };
}
