const POOL_BYTES = 4096;

/** The same, drawn by the thousand: to ask for a few bytes costs nearly as much. None is given out twice. */
export function pooled(randomBytes: (length: number) => Buffer): (length: number) => Buffer {
  let pool: Buffer = Buffer.alloc(0);
  return (length) => {
    if (pool.length < length) pool = randomBytes(Math.max(POOL_BYTES, length));
    const bytes = pool.subarray(0, length);
    pool = pool.subarray(length);
    return bytes;
  };
}
