import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Secret } from "../../src/config/secret.js";
import { createSeal } from "../../src/tokens/seal.js";

const key = (fill: number) => new Secret(Buffer.alloc(32, fill).toString("base64"));
const seal = createSeal([key(1)]);
const plain = fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes));
const context = fc.string();

describe("a seal", () => {
  it("opens what it closed, for the same context only", () => {
    fc.assert(
      fc.property(plain, context, context, (text, one, other) => {
        const sealed = seal.close(text, one);
        expect(seal.open(sealed, one)?.equals(text)).toBe(true);
        if (one !== other) expect(seal.open(sealed, other)).toBeUndefined();
      }),
    );
  });

  it("does not open what has a bit changed, wherever it is", () => {
    const sealed = seal.close(Buffer.from("a token"), "context");
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const altered = Buffer.from(sealed);
      altered.writeUInt8(altered.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(seal.open(altered, "context")).toBeUndefined();
    }
  });

  it("does not open what is cut off at either end, or longer", () => {
    const sealed = seal.close(Buffer.from("a token"), "context");
    for (let length = 0; length < sealed.length; length++) {
      expect(seal.open(sealed.subarray(0, length), "context")).toBeUndefined();
      expect(seal.open(sealed.subarray(sealed.length - length), "context")).toBeUndefined();
    }
    expect(seal.open(Buffer.concat([sealed, Buffer.of(0)]), "context")).toBeUndefined();
  });

  it("does not open, nor trip over, any bytes whatever", () => {
    const head = seal.close(Buffer.alloc(0), "").subarray(0, 9);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, withHead) => {
        const foreign = Buffer.concat([withHead ? head : Buffer.alloc(0), bytes]);
        expect(seal.open(foreign, "")).toBeUndefined();
      }),
    );
  });

  it("never shows the text, nor the same bytes for the same text", () => {
    const text = Buffer.from("eyJ a bearer secret");
    const sealed = Array.from({ length: 100 }, () => seal.close(text, "context"));
    expect(sealed.some((bytes) => bytes.includes(text))).toBe(false);
    const nonces = new Set(sealed.map((bytes) => bytes.subarray(9, 21).toString("hex")));
    expect(nonces.size).toBe(100);
  });

  it("opens what an older key closed through a rotation, and closes with the first", () => {
    const before = createSeal([key(1)]);
    const during = createSeal([key(2), key(1)]);
    const after = createSeal([key(2)]);
    const old = before.close(Buffer.from("old"), "context");
    expect(during.open(old, "context")?.toString()).toBe("old");
    expect(after.open(old, "context")).toBeUndefined();
    const fresh = during.close(Buffer.from("fresh"), "context");
    expect(after.open(fresh, "context")?.toString()).toBe("fresh");
    expect(before.open(fresh, "context")).toBeUndefined();
  });

  it("needs a key", () => {
    expect(() => createSeal([])).toThrow("a seal needs a key");
  });
});
