/** Texts that may be used once: Redis for what instances share, memory for one that is alone. */
export interface SingleUse {
  /**
   * True for the first claim of a key, false for each further one within `ttlMs` (above 0) of the first. Of concurrent
   * claims one is the first. Rejects when that cannot be told; whoever asked must then refuse. `owner`: whose room it takes.
   */
  claim(key: string, ttlMs: number, owner: string): Promise<boolean>;
}
