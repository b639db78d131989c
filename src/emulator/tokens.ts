import { randomUUID, sign, verify } from "node:crypto";
import { promisify } from "node:util";
import type { JsonObject } from "./http.js";
import type { Identities } from "./identities.js";
import type { AccessKey, Resource } from "./resource.js";
import type { SigningKey } from "./signing-key.js";

/** What a successful issue or exchange answers. */
export interface AccessToken {
  readonly token: string;
  readonly expiresOn: string;
}

/** Whom a token is for, and which counts of revocations it must not outlive. */
export interface Grant {
  /** `8:acs:…` or `8:orgid:…` */
  readonly subject: string;
  readonly scopes: readonly string[];
  /** Ms since 1970. */
  readonly issuedAt: number;
  /** Ms since 1970. */
  readonly expiresAt: number;
  readonly accessKey: AccessKey;
  /** Left out for a Teams user, who is no identity of the resource and whose tokens it cannot revoke. */
  readonly revocations?: number;
}

export type InactiveReason = "malformed" | "unknown_signature" | "expired" | "identity_deleted" | "revoked";

/** After RFC 7662 §2.2, with a reason. The claims are present as soon as the signature is known to be ours. */
export interface Introspection {
  readonly active: boolean;
  readonly reason?: InactiveReason;
  readonly identity?: string;
  readonly scopes?: readonly string[];
  readonly exp?: number;
  readonly iat?: number;
}

/**
 * The documented claims, and two of the emulator's own. `jti` tells apart two tokens of the same second. `emulator`
 * holds the counts of revocations at the time of issue: a token is dead once any of them has moved on, however
 * close in time, and nothing has to be kept for each token.
 */
interface Claims {
  readonly skypeid: string;
  readonly scp: number;
  readonly csi: string;
  readonly exp: number;
  readonly acsScope: string;
  readonly resourceId: string;
  readonly resourceLocation: string;
  readonly iat: number;
  readonly jti: string;
  readonly emulator: {
    readonly accessKey: AccessKey["slot"];
    readonly rotations: number;
    readonly revocations?: number;
  };
}

export interface TokensParts {
  readonly resource: Resource;
  readonly identities: Identities;
  readonly signingKey: Promise<SigningKey>;
  readonly now: () => number;
}

const SCP = 1792;
const RESOURCE_LOCATION = "unitedstates";
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;

const signOffThread = promisify(sign);

/** Issues tokens and says of any token whether it still is good. */
export class Tokens {
  readonly #parts: TokensParts;

  constructor(parts: TokensParts) {
    this.#parts = parts;
  }

  async issue(grant: Grant): Promise<AccessToken> {
    const claims = this.#claims(grant);
    const { privateKey, kid, x5t } = await this.#parts.signingKey;
    const signed = `${encode({ alg: "RS256", kid, x5t, typ: "JWT" })}.${encode(claims)}`;
    const signature = await signOffThread("RSA-SHA256", Buffer.from(signed), privateKey);
    return { token: `${signed}.${signature.toString("base64url")}`, expiresOn: formatExpiry(grant.expiresAt) };
  }

  async introspect(token: string): Promise<Introspection> {
    const payload = TOKEN.test(token) ? decodeSegment(token, 1) : undefined;
    if (payload === undefined) return { active: false, reason: "malformed" };
    if (!isSignedBy(await this.#parts.signingKey, token)) return { active: false, reason: "unknown_signature" };
    const claims = payload as unknown as Claims;
    const reason = this.#whyInactive(claims);
    const facts = {
      identity: `8:${claims.skypeid}`,
      scopes: claims.acsScope.split(","),
      exp: claims.exp,
      iat: claims.iat,
    };
    return reason === undefined ? { active: true, ...facts } : { active: false, reason, ...facts };
  }

  #claims({ subject, scopes, issuedAt, expiresAt, accessKey, revocations }: Grant): Claims {
    const iat = Math.floor(issuedAt / 1000);
    return {
      skypeid: subject.replace(/^8:/, ""),
      scp: SCP,
      csi: String(iat),
      exp: Math.floor(expiresAt / 1000),
      acsScope: scopes.join(","),
      resourceId: this.#parts.resource.id,
      resourceLocation: RESOURCE_LOCATION,
      iat,
      jti: randomUUID(),
      emulator: {
        accessKey: accessKey.slot,
        rotations: accessKey.rotations,
        ...(revocations === undefined ? {} : { revocations }),
      },
    };
  }

  #whyInactive({ exp, skypeid, emulator }: Claims): InactiveReason | undefined {
    if (this.#parts.now() >= exp * 1000) return "expired";
    if (this.#parts.resource.accessKey(emulator.accessKey).rotations !== emulator.rotations) return "revoked";
    if (emulator.revocations === undefined) return undefined;
    const identity = this.#parts.identities.find(`8:${skypeid}`);
    if (identity === undefined || identity.deletedAt !== undefined) return "identity_deleted";
    return identity.revocations === emulator.revocations ? undefined : "revoked";
  }
}

/** The JSON object in a segment of a compact JWS (RFC 7515 §3.1); undefined if there is none. Verifies nothing. */
export function decodeSegment(token: string, index: number): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(token.split(".")[index] ?? "", "base64url").toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

/** A signature with altered trailing bits decodes to the same bytes, so the text must be the canonical one too. */
function isSignedBy(key: SigningKey, token: string): boolean {
  const dot = token.lastIndexOf(".");
  const signature = Buffer.from(token.slice(dot + 1), "base64url");
  if (signature.toString("base64url") !== token.slice(dot + 1)) return false;
  return verify("RSA-SHA256", Buffer.from(token.slice(0, dot)), key.publicKey, signature);
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** Seven fractional digits and an offset, as .NET writes a time: 2023-10-19T15:34:17.0490000+00:00. */
function formatExpiry(at: number): string {
  return new Date(at).toISOString().replace("Z", "0000+00:00");
}
