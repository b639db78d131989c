import { createRemoteJWKSet, errors, type JWTVerifyGetKey } from "jose";
import { isHttpsOrLoopback } from "../config/check.js";
import type { IssuerConfig } from "../config/config.js";
import { GatewayError } from "../errors.js";

const FETCH_TIMEOUT_MS = 3000;

/** The public keys of one issuer, found by OpenID discovery unless the configuration says where they are. */
export class IssuerKeys {
  #keySet: Promise<JWTVerifyGetKey> | undefined;

  constructor(private readonly config: Pick<IssuerConfig, "issuer" | "jwksUri">) {}

  /** For jose's `jwtVerify`. Throws KEYS_UNAVAILABLE when the issuer cannot be asked, jose's error for an unknown key. */
  readonly forToken: JWTVerifyGetKey = async (header, token) => {
    const keySet = await this.#load();
    try {
      return await keySet(header, token);
    } catch (error) {
      throw isAboutTheToken(error) ? error : unavailable(this.config.issuer, error);
    }
  };

  /** Resolves once the issuer has answered; throws KEYS_UNAVAILABLE until then. */
  async check(): Promise<void> {
    await this.#load();
  }

  /** One discovery at a time; a failed one is forgotten, so that the next token tries again. */
  #load(): Promise<JWTVerifyGetKey> {
    this.#keySet ??= this.#discover().catch((error: unknown) => {
      this.#keySet = undefined;
      throw unavailable(this.config.issuer, error);
    });
    return this.#keySet;
  }

  async #discover(): Promise<JWTVerifyGetKey> {
    const uri = this.config.jwksUri ?? (await discoverJwksUri(this.config.issuer));
    const keySet = createRemoteJWKSet(new URL(uri), { timeoutDuration: FETCH_TIMEOUT_MS });
    await keySet.reload();
    return keySet;
  }
}

/** OpenID Connect Discovery 1.0 §4: the `jwks_uri` of the issuer's metadata, whose `issuer` must be the same text. */
async function discoverJwksUri(issuer: string): Promise<string> {
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const response = await fetch(address, { redirect: "error", signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${address} answered ${response.status}`);
  const metadata = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
  if (metadata.issuer !== issuer) throw new Error(`${address} names another issuer`);
  const uri = typeof metadata.jwks_uri === "string" ? URL.parse(metadata.jwks_uri) : null;
  if (uri === null || !isHttpsOrLoopback(uri)) throw new Error(`${address} has no usable jwks_uri`);
  return uri.href;
}

function isAboutTheToken(error: unknown): boolean {
  return error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys;
}

function unavailable(issuer: string, cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  return new GatewayError("KEYS_UNAVAILABLE", `The keys of issuer ${issuer} cannot be fetched.`, { cause });
}
