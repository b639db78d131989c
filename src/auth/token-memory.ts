import { hash } from "node:crypto";
import type { IssuerConfig } from "../config/config.js";
import { keepRecent, type Recent } from "../recent.js";
import type { Caller } from "./caller.js";
import type { IssuerKeys } from "./issuer-keys.js";
import type { PublicKey } from "./public-key.js";

export interface Issuer {
  readonly config: IssuerConfig;
  readonly keys: IssuerKeys;
}

/** A token whose form, signature and claims are good, as far as they never change. */
export interface VerifiedToken {
  readonly issuer: Issuer;
  readonly key: PublicKey;
  readonly header: { readonly alg: string; readonly kid: string | undefined };
  readonly claims: Readonly<Record<string, unknown>>;
  readonly subject: string;
  /** Who may send it, by how they have proven to be who it was issued to: the same object each time. */
  readonly callers: Map<Caller["senderConstraint"], Caller>;
}

/** Characters of one token; one that has more takes the place of several, as its claims do. */
const USUAL_LENGTH = 2048;

interface Remembered {
  readonly verified: VerifiedToken;
  readonly length: number;
}

/**
 * Tokens that have been verified, so that it is not done again: by a hash of the whole token, so that nothing that differs
 * in a single character is taken for it, and no token is kept. When full, the one goes that was not used for longest. Whether
 * it is still the token's time, and its key still the issuer's, is for the caller to see, at each use.
 */
export class TokenMemory {
  /** Undefined where none may be kept. */
  readonly #tokens: Recent<Remembered> | undefined;

  constructor(most: number) {
    const places = ({ length }: Remembered) => Math.ceil(length / USUAL_LENGTH);
    this.#tokens = most > 0 ? keepRecent(most, places) : undefined;
  }

  find(token: string): VerifiedToken | undefined {
    return this.#tokens?.get(keyOf(token))?.verified;
  }

  keep(token: string, verified: VerifiedToken): void {
    this.#tokens?.set(keyOf(token), { verified, length: token.length });
  }

  forget(token: string): void {
    this.#tokens?.delete(keyOf(token));
  }
}

function keyOf(token: string): string {
  return hash("sha256", token, "base64url");
}
