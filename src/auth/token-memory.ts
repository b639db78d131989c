import { hash } from "node:crypto";
import type { IssuerConfig } from "../config/config.js";
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

/**
 * Tokens that have been verified, so that it is not done again: by a hash of the whole token, so that nothing that differs
 * in a single character is taken for it, and no token is kept. When full, the one goes that was not used for longest. Whether
 * it is still the token's time, and its key still the issuer's, is for the caller to see, at each use.
 */
export class TokenMemory {
  readonly #most: number;
  /** In the order of their last use, with the length of their text, which their claims take room by. */
  readonly #tokens = new Map<string, { readonly verified: VerifiedToken; readonly length: number }>();
  #length = 0;

  constructor(most: number) {
    this.#most = most;
  }

  find(token: string): VerifiedToken | undefined {
    const key = keyOf(token);
    const found = this.#tokens.get(key);
    if (found === undefined) return undefined;
    this.#tokens.delete(key);
    this.#tokens.set(key, found);
    return found.verified;
  }

  keep(token: string, verified: VerifiedToken): void {
    this.forget(token);
    this.#tokens.set(keyOf(token), { verified, length: token.length });
    this.#length += token.length;
    for (const [oldest, { length }] of this.#tokens) {
      if (this.#tokens.size <= this.#most && this.#length <= this.#most * USUAL_LENGTH) break;
      this.#drop(oldest, length);
    }
  }

  forget(token: string): void {
    const key = keyOf(token);
    if (this.#tokens.has(key)) this.#drop(key, token.length);
  }

  #drop(key: string, length: number): void {
    this.#tokens.delete(key);
    this.#length -= length;
  }
}

/** Characters that one token may have on the average before fewer are remembered. */
const USUAL_LENGTH = 2048;

function keyOf(token: string): string {
  return hash("sha256", token, "base64url");
}
