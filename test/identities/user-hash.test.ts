import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Secret } from "../../src/config/secret.js";
import { hashUser } from "../../src/identities/user-hash.js";

const KEY = new Secret(Buffer.alloc(32, 7).toString("base64"));
const OTHER_KEY = new Secret(Buffer.alloc(32, 8).toString("base64"));
const ALICE = { issuer: "https://issuer.example.com", subject: "alice" };

const user = fc.record({ issuer: fc.string({ unit: "binary" }), subject: fc.string({ unit: "binary" }) });

describe("the hash that stands for a user", () => {
  it("stays what it is from version to version: records made long ago are found by it", () => {
    expect(hashUser(ALICE, KEY)).toMatchInlineSnapshot(`"C2P0j7R0_K_BY0CcE5CaRS05gQr4Ua1qjZgAHQit0kk"`);
  });

  it("differs with the key, and tells nothing of the user", () => {
    expect(hashUser(ALICE, OTHER_KEY)).not.toBe(hashUser(ALICE, KEY));
    expect(hashUser(ALICE, KEY)).toMatch(/^[\w-]{43}$/);
  });

  it("keeps any two users apart", () => {
    fc.assert(
      fc.property(user, user, (one, other) => {
        const same = one.issuer === other.issuer && one.subject === other.subject;
        expect(hashUser(one, KEY) === hashUser(other, KEY)).toBe(same);
      }),
    );
  });

  it.each([
    ["the border between issuer and subject", { issuer: "ab", subject: "c" }, { issuer: "a", subject: "bc" }],
    ["case", ALICE, { ...ALICE, subject: "Alice" }],
    ["the way an accent is composed", { ...ALICE, subject: "\u00e9" }, { ...ALICE, subject: "e\u0301" }],
    ["a lone surrogate", { ...ALICE, subject: "\ud800" }, { ...ALICE, subject: "\ud801" }],
  ])("keeps users apart that differ by %s", (_, one, other) => {
    expect(hashUser(one, KEY)).not.toBe(hashUser(other, KEY));
  });
});
