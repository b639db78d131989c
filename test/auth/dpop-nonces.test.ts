import { describe, expect, it } from "vitest";
import { DpopNonces } from "../../src/auth/dpop-nonces.js";
import { Secret } from "../../src/config/secret.js";

const [one, other] = [1, 2].map((byte) => new Secret(Buffer.alloc(32, byte).toString("base64")));
const noncesUnder = (...keys: (Secret | undefined)[]) =>
  new DpopNonces(
    keys.filter((key) => key !== undefined),
    () => 1_000_000,
  );

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
});
