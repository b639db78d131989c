import { decodeJwt, type JWTVerifyResult, jwtVerify } from "jose";
import type { IssuerConfig } from "../config/config.js";
import { GatewayError } from "../errors.js";
import { isStorable } from "../text.js";
import { type Caller, Unauthenticated } from "./caller.js";
import { IssuerKeys } from "./issuer-keys.js";
import { profileViolation } from "./profiles.js";

const MAX_SUBJECT_LENGTH = 255;

interface Issuer {
  readonly config: IssuerConfig;
  readonly keys: IssuerKeys;
}

/** Turns a JWT into a `Caller`, or throws `Unauthenticated` or KEYS_UNAVAILABLE. */
export class Verifier {
  readonly #issuers: ReadonlyMap<string, Issuer>;
  readonly #now: () => number;

  constructor(issuers: readonly IssuerConfig[], now: () => number) {
    this.#issuers = new Map(issuers.map((config) => [config.issuer, { config, keys: new IssuerKeys(config) }]));
    this.#now = now;
  }

  async verify(token: string): Promise<Caller> {
    const issuer = this.#issuerOf(token);
    const { protectedHeader, payload } = await this.#verifySignature(token, issuer);
    const violation = profileViolation(issuer.config.profile, protectedHeader, payload);
    if (violation !== undefined) throw new Unauthenticated(violation, true);
    // A token bound to a key (RFC 9449, RFC 8705) is worth nothing without proof of that key, which is not read here.
    if (payload.cnf !== undefined)
      throw new Unauthenticated("token is sender-constrained and came without proof", true);
    return { issuer: issuer.config.issuer, subject: subjectOf(payload, issuer.config), claims: payload };
  }

  /** Per issuer: resolves when its keys are at hand, throws KEYS_UNAVAILABLE otherwise. */
  checks(): { issuer: string; check: () => Promise<void> }[] {
    return [...this.#issuers.values()].map(({ config, keys }) => ({
      issuer: config.issuer,
      check: () => keys.check(),
    }));
  }

  /** Read before anything is verified, and used for nothing but to choose whose keys must verify it. */
  #issuerOf(token: string): Issuer {
    let claimed: unknown;
    try {
      claimed = decodeJwt(token).iss;
    } catch (error) {
      throw new Unauthenticated("not a JWT", true, error);
    }
    const issuer = typeof claimed === "string" ? this.#issuers.get(claimed) : undefined;
    if (issuer === undefined) throw new Unauthenticated("issuer is not a configured one", true);
    return issuer;
  }

  async #verifySignature(token: string, { config, keys }: Issuer): Promise<JWTVerifyResult> {
    try {
      return await jwtVerify(token, keys.forToken, {
        issuer: config.issuer,
        audience: [...config.audience],
        algorithms: [...config.algorithms],
        clockTolerance: config.clockToleranceSeconds,
        requiredClaims: ["exp", "iat"],
        currentDate: new Date(this.#now()),
      });
    } catch (error) {
      if (error instanceof GatewayError) throw error;
      // Besides its own errors, jose throws a TypeError for a key that is too weak to be used.
      throw new Unauthenticated(error instanceof Error ? error.message : "not verified", true, error);
    }
  }
}

function subjectOf(claims: Readonly<Record<string, unknown>>, { subjectClaim }: IssuerConfig): string {
  const subject = claims[subjectClaim];
  if (typeof subject !== "string" || subject === "" || subject.length > MAX_SUBJECT_LENGTH) {
    throw new Unauthenticated(`claim ${subjectClaim} is not a text of 1 to ${MAX_SUBJECT_LENGTH} characters`, true);
  }
  if (!isStorable(subject)) throw new Unauthenticated(`claim ${subjectClaim} has a NUL or a lone surrogate`, true);
  return subject;
}
