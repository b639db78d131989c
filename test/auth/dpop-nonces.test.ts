import { describe, expect, it } from "vitest";
import { DpopNonces } from "../../src/auth/dpop-nonces.js";
import { Secret } from "../../src/config/secret.js";

const [one, other] = [1, 2].map((byte) => new Secret(Buffer.alloc(32, byte).toString("base64")));
const noncesAt = (now: number, ...keys: (Secret | undefined)[]) =>
  new DpopNonces(
    keys.filter((key) => key !== undefined),
    () => now,
  );
const noncesUnder = (...keys: (Secret | undefined)[]) => noncesAt(1_000_000, ...keys);

describe("nonces", () => {
  it("of one instance are good for every other under the same key, and for none under another", () => {
    const nonce = noncesUnder(one).current();
    expect(noncesUnder(one).isGood(nonce)).toBe(true);
    expect(noncesUnder(other).isGood(nonce)).toBe(false);
  });

  it("are made with the first key and taken under each, so that a rotation refuses nobody", () => {
    const rotating = noncesUnder(other, one);
    expect(rotating.isGood(noncesUnder(one).current())).toBe(true);
    expect(noncesUnder(other).isGood(rotating.current())).toBe(true);
    expect(noncesUnder(one).isGood(rotating.current())).toBe(false);
  });

  it("are good until the end of the period after their own, and not before it", () => {
    const at = (now: number) => noncesAt(now, one);
    const nonce = at(240_000).current();
    expect([119_999, 239_999, 240_000, 479_999, 480_000].map((now) => at(now).isGood(nonce))).toEqual([
      false,
      false,
      true,
      true,
      false,
    ]);
    expect(at(359_999).current()).toBe(nonce);
    expect(at(360_000).current()).not.toBe(nonce);
    expect(at(240_000).isGood(`${nonce}x`)).toBe(false);
    expect(at(240_000).isGood("")).toBe(false);
  });

  it("are of one form for ever, since instances of different versions take each other's", () => {
    const nonce = noncesAt(240_000_000, one).current();
    expect(nonce).toBe("1jk.RD-lZDzp1NprWQDsceEUvjGqudE565aqsQ9GhPO2Gik");
  });

  it("cannot be made without a key, and none is good then", () => {
    const keyless = noncesUnder();
    expect(() => keyless.current()).toThrow("nonces need a key");
    expect(keyless.isGood(noncesUnder(one).current())).toBe(false);
  });
});
