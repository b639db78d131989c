import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { pooled } from "../../src/audit/random-pool.js";

describe("random bytes from a pool", () => {
  it("are as many as asked for, and none is given out twice", () => {
    const drawn: Buffer[] = [];
    const next = pooled((length) => {
      const bytes = randomBytes(length);
      drawn.push(bytes);
      return bytes;
    });
    const lengths = Array.from({ length: 1000 }, (_, index) => (index === 500 ? 10_000 : 1 + (index % 32)));
    const given = lengths.map(next);
    expect(given.map(({ length }) => length)).toEqual(lengths);
    let [pool, end] = [0, 0];
    for (const bytes of given) {
      while (drawn[pool]?.buffer !== bytes.buffer || bytes.byteOffset < end) [pool, end] = [pool + 1, 0];
      end = bytes.byteOffset + bytes.length;
    }
    expect(pool).toBe(drawn.length - 1);
    expect(drawn.length).toBeLessThan(20);
  });
});
