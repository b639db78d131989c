import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseStrictJson } from "../src/json.js";

const parse = (text: string) => parseStrictJson(Buffer.from(text));

describe("strict JSON", () => {
  it("reads what JSON.parse reads", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it("refuses a member that an object has twice, wherever it is and however it is spelled", () => {
    const name = fc.string({ unit: "binary", maxLength: 4 });
    fc.assert(
      fc.property(fc.json(), fc.json(), name, fc.boolean(), fc.nat(3), (one, other, text, escaped, depth) => {
        const spelled = JSON.stringify(text);
        const again = escaped
          ? `"${[...Array(text.length).keys()].map((at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`).join("")}"`
          : spelled;
        const twice = `{${spelled}:${one}, "other member":[],${again}:${other}}`;
        const nested = `${'{"a":['.repeat(depth)}${twice}${"]}".repeat(depth)}`;
        expect(() => JSON.parse(nested)).not.toThrow();
        expect(() => parse(nested)).toThrow("an object has a member twice");
      }),
    );
  });

  it("takes the same name in different objects, and the same text as a value", () => {
    expect(parse('{"a":{"a":["a","a",":","{\\"a\\":1"]},"b":[{"a":1},{"a":2}]}')).toBeDefined();
  });

  it("refuses a byte order mark, bytes that are not UTF-8, and what is no JSON, without quoting it", () => {
    expect(() => parse("\ufeff{}")).toThrow(/^it begins with a byte order mark$/);
    for (const text of ["{secret}", "", "{} {}", '{"a":01}']) expect(() => parse(text)).toThrow(/^not JSON$/);
    expect(() => parseStrictJson(Buffer.from([0x22, 0xc3, 0x28, 0x22]))).toThrow(/^not UTF-8$/);
  });

  it("is not ended by depth", () => {
    const deep = 30_000;
    expect(() => parse(`${"[".repeat(deep)}{"a":1,"a":2}${"]".repeat(deep)}`)).toThrow("twice");
    expect(() => parse(`${"[".repeat(deep)}${"]".repeat(deep)}`)).not.toThrow();
  });
});
