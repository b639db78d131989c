import type { Config, IssuerConfig } from "../config/config.js";
import type { Tracing } from "../observe/tracing.js";
import { allows } from "./algorithms.js";
import type { Caller } from "./caller.js";
import { checkClaims, isInTime } from "./claims.js";
import { type CompactJws, parseCompactJws } from "./compact-jws.js";
import type { Credentials } from "./credentials.js";
import type { Dpop } from "./dpop.js";
import type { DpopNonces } from "./dpop-nonces.js";
import { AuthenticationFailure, NonceNeeded } from "./failure.js";
import { IssuerKeys, type ObserveFetch } from "./issuer-keys.js";
import { checkRequiredClaims, checkType } from "./profiles.js";
import { checkSender } from "./sender-constraint.js";
import { verifySignature } from "./signature.js";
import { type Issuer, TokenMemory, type VerifiedToken } from "./token-memory.js";

interface AuthenticatorParts {
  readonly issuers: readonly IssuerConfig[];
  readonly settings: Pick<Config["auth"], "rememberedTokens">;
  /** Who wait for a key that is not at hand, of all issuers; and for any of one issuer, where there are none. */
  readonly mostWaiting: { readonly forOne: number; readonly forAny: number };
  readonly dpop: Dpop;
  readonly nonces: DpopNonces;
  /** ms since 1970 */
  readonly now: () => number;
  /** ms by a clock that is never set. */
  readonly elapsed: () => number;
  readonly observeFetch: ObserveFetch;
  readonly tracing?: Tracing | undefined;
}

/** Turns credentials into a `Caller`: see caller.ts for the way. */
export class Authenticator {
  readonly #parts: AuthenticatorParts;
  readonly #issuers: ReadonlyMap<string, Issuer>;
  readonly #memory: TokenMemory;
  readonly #tokens = new WeakMap<Caller, VerifiedToken>();

  constructor(parts: AuthenticatorParts) {
    const { issuers, elapsed, observeFetch: observe, settings, mostWaiting, tracing } = parts;
    const waiting = { count: 0, most: mostWaiting.forOne };
    const common = { elapsed, observe, tracing, waiting, mostForAny: mostWaiting.forAny };
    const makeIssuer = (config: IssuerConfig) => ({ config, keys: new IssuerKeys(config, common) });
    this.#parts = parts;
    this.#issuers = new Map(issuers.map((config) => [config.issuer, makeIssuer(config)]));
    this.#memory = new TokenMemory(settings.rememberedTokens);
  }

  async authenticate(credentials: Credentials): Promise<Caller> {
    const token = await this.#verify(credentials.token);
    return this.#callerOf(token, await checkSender(credentials, token, this.#parts.dpop));
  }

  /**
   * Whether a caller from before, who is connected since, would be let in once more by the same token. Throws KEYS_UNAVAILABLE when its
   * issuer has to be asked and cannot be.
   */
  async isStillGood(caller: Caller): Promise<boolean> {
    const token = this.#tokens.get(caller);
    if (token === undefined || !isInTime(token, this.#parts.now())) return false;
    return (await token.issuer.keys.has(token.key)) || (await isPublishedAnew(token));
  }

  /** What the answer has to bring in `DPoP-Nonce` (RFC 9449 §8.1, §8.2); undefined for callers who need none. */
  nonceFor(outcome: Caller | AuthenticationFailure): string | undefined {
    const isNeeded =
      outcome instanceof AuthenticationFailure
        ? outcome instanceof NonceNeeded
        : outcome.senderConstraint === "dpop" && this.#issuers.get(outcome.issuer)?.config.dpopNonce === true;
    return isNeeded ? this.#parts.nonces.current() : undefined;
  }

  /** Per issuer: resolves when its keys are at hand, throws KEYS_UNAVAILABLE otherwise. */
  checks(): { issuer: string; check: () => Promise<void> }[] {
    return [...this.#issuers].map(([issuer, { keys }]) => ({ issuer, check: () => keys.check() }));
  }

  /** Of the issuers whose keys are at hand. */
  keyAges(): { issuer: string; milliseconds: number }[] {
    const ages = [...this.#issuers].map(([issuer, { keys }]) => ({ issuer, milliseconds: keys.age }));
    return ages.filter(({ milliseconds }) => Number.isFinite(milliseconds));
  }

  async #verify(text: string): Promise<VerifiedToken> {
    const known = await this.#recall(text);
    if (known !== undefined) return known;
    const token = parseCompactJws(text, { ownKey: "refused" });
    const issuer = this.#issuerOf(token);
    const verified = await this.#verifyNew(token, issuer);
    this.#memory.keep(text, verified);
    return verified;
  }

  /** A token that was verified before, if it is still its time and its key is still its issuer's. */
  async #recall(text: string): Promise<VerifiedToken | undefined> {
    const known = this.#memory.find(text);
    if (known === undefined) return undefined;
    if (isInTime(known, this.#parts.now()) && (await known.issuer.keys.has(known.key))) return known;
    // Judged anew, it gets the refusal that it deserves.
    this.#memory.forget(text);
    return undefined;
  }

  #callerOf(token: VerifiedToken, senderConstraint: Caller["senderConstraint"]): Caller {
    const known = token.callers.get(senderConstraint);
    if (known !== undefined) return known;
    const { issuer, subject, claims } = token;
    const caller = { issuer: issuer.config.issuer, subject, claims, senderConstraint };
    token.callers.set(senderConstraint, caller);
    this.#tokens.set(caller, token);
    return caller;
  }

  /** By what nobody has verified yet, and for nothing but to choose whose keys must verify it. */
  #issuerOf({ payload }: CompactJws): Issuer {
    const issuer = typeof payload.iss === "string" ? this.#issuers.get(payload.iss) : undefined;
    if (issuer === undefined) throw new AuthenticationFailure("unknown_issuer", "iss is not a configured issuer");
    return issuer;
  }

  async #verifyNew(token: CompactJws, issuer: Issuer): Promise<VerifiedToken> {
    const { header, payload } = token;
    const { config, keys } = issuer;
    if (!allows(config.algorithms, header.alg)) {
      throw new AuthenticationFailure("algorithm_refused", "alg is not one that is configured for the issuer");
    }
    checkType(config.profile, header);
    const key = await keys.find(header.alg, header.kid);
    await verifySignature(token, key, "bad_signature");
    checkRequiredClaims(config.profile, payload);
    const { subject } = checkClaims(payload, config, this.#parts.now());
    const { alg, kid } = header;
    return { issuer, key, header: { alg, kid }, claims: payload, subject, callers: new Map() };
  }
}

/** Whether the issuer has the key of a token under which it was verified once more: back after a while, or told of in other words. */
async function isPublishedAnew({ issuer, key, header: { alg, kid } }: VerifiedToken): Promise<boolean> {
  try {
    return (await issuer.keys.find(alg, kid)).thumbprint === key.thumbprint;
  } catch (error) {
    if (error instanceof AuthenticationFailure) return false;
    throw error;
  }
}
