/**
 * A cache of bytes under short text keys, which may forget anything at any time: Redis for what instances share, memory for
 * one that is alone.
 */
export interface ByteCache {
  /** Undefined when there is none, or no longer. Rejects when the cache cannot be asked. */
  get(key: string): Promise<Buffer | undefined>;
  /** Replaces what was there, for `ttlMs` (above 0) from now. Rejects when the cache cannot be reached. */
  set(key: string, value: Buffer, ttlMs: number): Promise<void>;
}
