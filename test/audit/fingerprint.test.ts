import { describe, expect, it } from "vitest";
import { createFingerprint } from "../../src/audit/fingerprint.js";
import { Secret } from "../../src/config/secret.js";

const key = (byte: number) => new Secret(Buffer.alloc(32, byte).toString("base64"));
const fingerprint = createFingerprint(key(7));

describe("the fingerprint of a token", () => {
  it("stays what it is from version to version: tokens issued long ago are found by it", () => {
    expect(fingerprint("a.b.c")).toMatchInlineSnapshot(`"70ECkdg-wqQhmFpvg4WK4Wgf-wnx2HiealPRJ7LawOc"`);
  });

  it("is the same for the same token, and for no other", () => {
    expect(createFingerprint(key(7))("a.b.c")).toBe(fingerprint("a.b.c"));
    expect(fingerprint("a.b.d")).not.toBe(fingerprint("a.b.c"));
  });

  it("differs with the key, and tells nothing of the token", () => {
    expect(createFingerprint(key(8))("a.b.c")).not.toBe(fingerprint("a.b.c"));
    expect(fingerprint("a".repeat(5000))).toMatch(/^[\w-]{43}$/);
  });
});
